package serve

import "github.com/pasteline/pasteline/internal/command/scaffold"

// What depends on how a program was built, or on the system that it runs on.
var (
	SourceOf       = sourceOf
	BrowserCommand = browserCommand
	QuoteForShell  = scaffold.QuoteForShell
)
