package serve

import (
	"github.com/pasteline/pasteline/internal/logging"
	"github.com/pasteline/pasteline/pipeline"
)

// logs is where a command logs, as the .ini file says.
type logs = logging.Log

// openLog reads how to log from the file that a CONFIG names, with the settings from outside. The error is of type
// [pipeline.Errors].
func (c *call) openLog(config string, given outside) (*logs, error) {
	return logging.Open(config, c.logOptions(given))
}

// openLogOnStderr is openLog for a command whose standard output is the answer to something, and that leaves the files of a log
// alone, which may be of a server elsewhere: the log goes to the standard error in their place.
func (c *call) openLogOnStderr(config string, given outside) (*logs, error) {
	options := c.logOptions(given)
	options.Stdout, options.NoFiles = options.Stderr, true
	return logging.Open(config, options)
}

// checkLog returns the faults that openLog would return, and what it would warn of. It neither opens nor makes a file.
func (c *call) checkLog(config string, given outside) ([]pipeline.Warning, error) {
	return logging.Check(config, c.logOptions(given))
}

func (c *call) logOptions(given outside) logging.Options {
	return logging.Options{Global: given.global, Set: given.set, Stdout: c.Out, Stderr: c.Err, Level: c.level}
}
