package engine

import (
	"fmt"
	"strings"

	"github.com/pasteline/pasteline/internal/redact"
)

// UnknownOption returns the error for a query parameter of a URI that an engine does not know.
func UnknownOption(name string, known ...string) error {
	return fmt.Errorf("no option %q: have %s", redact.Key(name), strings.Join(known, ", "))
}
