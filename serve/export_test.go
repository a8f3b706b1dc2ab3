package serve

// What depends on how a program was built, or on the system that it runs on.
var (
	VersionOf      = versionOf
	SourceOf       = sourceOf
	BrowserCommand = browserCommand
	QuoteForShell  = quoteForShell
)
