package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pasteline/pasteline/internal/command/progress"
	"github.com/pasteline/pasteline/pipeline"
)

// Stdio has the streams of a command. A nil field reads nothing, or discards.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	// Reload makes a server reload its file for each value received, as SIGHUP does for [Main]. It
	// may be nil.
	Reload <-chan struct{}
}

// The exit codes of [Run].
const (
	ExitOK     = 0 // the command succeeded
	ExitFailed = 1 // the command could not start, or failed
	ExitUsage  = 2 // the command line is wrong
)

// Main runs the command with the arguments of the process, and never returns. A func main needs no
// other call. Each register function adds to the standard set, so that .ini files can use names
// such as "egg:acme#guestbook".
func Main(register ...func(*pipeline.Registry)) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // from now on a signal has its default effect
		cancel()
	}()
	c := &call{
		Stdio: Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, register: register,
		program: nameOf(os.Args[0]),
		reloads: func() <-chan struct{} { return notifyReload(cancel) },
		hurry:   hurryOnSignal,
	}
	os.Exit(c.run(ctx, os.Args[1:]))
}

// hurryOnSignal calls end at the next signal to stop, in place of the signal's default effect, until
// stop is called.
func hurryOnSignal(end func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		select {
		case <-signals:
			end()
		case <-stopped:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(stopped)
	}
}

// Run runs the command with args, without the program's name, and returns its exit code. When ctx
// is done, a server is shut down as by a first signal; that is no failure. Errors are written to
// the standard error, one line each.
func Run(ctx context.Context, args []string, stdio Stdio,
	register ...func(*pipeline.Registry),
) int {
	if stdio.In == nil {
		stdio.In = strings.NewReader("")
	}
	if stdio.Out == nil {
		stdio.Out = io.Discard
	}
	if stdio.Err == nil {
		stdio.Err = io.Discard
	}
	c := &call{
		Stdio: stdio, register: register, program: standardName,
		reloads: func() <-chan struct{} { return stdio.Reload },
	}
	return c.run(ctx, args)
}

func (c *call) run(ctx context.Context, args []string) int {
	c.args = args
	c.screen = progress.NewScreen(c.Err)
	c.Err = c.screen
	err := c.dispatch(ctx, args)
	if err == nil {
		return ExitOK
	}
	switch {
	case errors.Is(err, errNoArguments):
		return ExitUsage
	case errors.Is(err, errPrinted):
		return ExitFailed
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		command := strings.TrimSpace(c.program + " " + usage.command)
		help := strings.TrimSpace(c.program + " help " + usage.command)
		c.printError(fmt.Sprintf("%s: %v (%s says more)", command, usage, help))
		return ExitUsage
	}
	c.printError(err)
	return ExitFailed
}

// standardName is the name of the command of this package, also in the examples of the help.
const standardName = "serve"

// nameOf returns the name of the program at a path.
func nameOf(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".exe")
	if !programPattern.MatchString(name) {
		return standardName
	}
	return name
}

// A call is one run of the command.
type call struct {
	Stdio
	register []func(*pipeline.Registry)
	program  string                 // its name
	args     []string               // of the command line
	screen   *progress.Screen       // Err, on which progress is shown
	reloads  func() <-chan struct{} // called by a server; returns the channel of reload requests
	level    *slog.Level            // of the log, from the command line; nil means that of the file

	hurry func(end func()) (stop func()) // see site.Options; may be nil
}

// printError prints a line to the standard error. A failure to do so can't be reported.
func (c *call) printError(line any) { _, _ = fmt.Fprintln(c.Err, line) }

// A usageError is an error in the command line.
type usageError struct {
	err     error
	command string // "" for serve CONFIG
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string,
	args ...any,
) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}
