package serve

import (
	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// logs is the log of a command, as the .ini file configures it.
type logs = logging.Log

// openLog opens the log that the file of a CONFIG configures, with the settings from outside. The
// error is of type [tree.Errors].
func (c *call) openLog(config string, given outside) (*logs, error) {
	return logging.Open(config, c.logOptions(given))
}

// openLogOnStderr is openLog for a command whose standard output is a result. It logs to the
// standard error in place of log files, which a server may be using.
func (c *call) openLogOnStderr(config string, given outside) (*logs, error) {
	options := c.logOptions(given)
	options.Stdout, options.NoFiles = options.Stderr, true
	return logging.Open(config, options)
}

// checkLog returns the errors and warnings of openLog. It neither opens nor creates a file.
func (c *call) checkLog(config string, given outside) ([]tree.Warning, error) {
	return logging.Check(config, c.logOptions(given))
}

func (c *call) logOptions(given outside) logging.Options {
	return logging.Options{
		Global: given.global, Set: given.set, Stdout: c.Out, Stderr: c.Err,
		Level: c.level,
	}
}
