package logging_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/internal/command/logging"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "site.ini")
	text := `
[app:guestbook]
use = egg:guestbook

[filter:browserid]
use = egg:pasteline#browserid

[logging]
level = warn
level.browserid = debug
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		panic(err)
	}
	var lines buffer // a strings.Builder, were it not for the time that each line has
	log, err := logging.Open(config, logging.Options{Stderr: &lines})
	if err != nil {
		panic(err)
	}
	for _, section := range []string{"app:guestbook", "filter:browserid"} {
		logger := log.Logger().With(slog.String("section", section))
		logger.Debug("a detail")
		logger.Warn("a warning")
	}
	if err := log.Close(); err != nil {
		panic(err)
	}
	fmt.Print(&lines)
	// Output:
	// level=WARN msg="a warning" section=app:guestbook
	// level=DEBUG msg="a detail" section=filter:browserid
	// level=WARN msg="a warning" section=filter:browserid
}
