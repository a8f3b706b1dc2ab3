package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/pasteline/pasteline/internal/command/changes"
	"github.com/pasteline/pasteline/internal/handover"
)

// Options describe the program to watch.
type Options struct {
	Package string    // as for go build; "" is the package of the working folder
	Name    string    // of the built program, and so of its process
	Args    []string  // of the program
	Stdout  io.Writer // of the program; nil discards
	Stderr  io.Writer // of the program, of go build and of Run; nil discards

	Interval time.Duration   // between two looks at the files; 0 means one second
	Limit    time.Duration   // for the program to end, until it is killed; 0 means ten seconds
	Reload   <-chan struct{} // each received value sends the program SIGHUP; may be nil
}

// environment is the variable by which a program learns that it is watched: the process id of the
// watching process, and the number of the start.
const environment = "PASTELINE_WATCHED"

// Started returns how often a watching process has started this program, with this process, or 0 if
// no process watches it.
func Started() int {
	var parent, start int
	_, err := fmt.Sscanf(os.Getenv(environment), "%d %d", &parent, &start)
	if err != nil || parent != os.Getppid() { // the variable may be inherited from further above
		return 0
	}
	return start
}

// Run builds and runs the program until ctx is done, then ends it and returns nil. It returns an
// error if it can't build at all, for example without the command go.
func Run(ctx context.Context, o Options) (err error) {
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.Limit = cmp.Or(o.Limit, 10*time.Second)
	o.Package = cmp.Or(o.Package, ".")
	if o.Stdout == nil {
		o.Stdout = io.Discard
	}
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the command go, which builds the program, can't be run: %w", err)
	}
	folder, err := os.MkdirTemp("", "watch-")
	if err != nil {
		return err
	}
	w := &watcher{Options: o, folder: folder}
	if w.sockets, err = handover.NewKeeper(); err != nil {
		return errors.Join(err, os.RemoveAll(folder))
	}
	defer func() { err = errors.Join(err, w.stop(), w.sockets.Close(), os.RemoveAll(folder)) }()
	for ctx.Err() == nil {
		before := w.look(w.files(ctx)) // before the build, so that a later change is noticed
		if err := w.build(ctx); ctx.Err() == nil {
			if err != nil {
				w.say("the build failed, %s", w.instead())
			} else if err := w.restart(ctx); err != nil {
				return err
			}
		}
		w.wait(ctx, before)
	}
	return nil
}

// A watcher has the running program. Its methods are called by one goroutine.
type watcher struct {
	Options
	folder string
	builds int
	starts int
	built  string // the path of the last successful build
	run    *exec.Cmd
	ended  chan exit // receives the end of the process, once; nil if none runs

	sockets *handover.Keeper // keeps those of the program open while it is restarted
}

// An exit is the end of a process, with the error of a failed one.
type exit struct{ err error }

// say prints a line.
func (w *watcher) say(format string, args ...any) {
	_, _ = fmt.Fprintf(w.Stderr, "watch: "+format+"\n", args...)
}

// instead says what happens after a failed build.
func (w *watcher) instead() string {
	if w.ended != nil {
		return "the program of before keeps running"
	}
	return "waiting for a change"
}

// build builds the program to a new path: a running program can't be overwritten everywhere.
func (w *watcher) build(ctx context.Context) error {
	w.builds++
	path := filepath.Join(w.folder, strconv.Itoa(w.builds), cmp.Or(w.Name, "program"))
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	//nolint:gosec // the package is the user's
	build := exec.CommandContext(ctx, "go", "build", "-o", path, w.Package)
	build.Stdout, build.Stderr = w.Stderr, w.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	w.built = path
	return nil
}

// restart ends the running program, and starts the one that was built last.
func (w *watcher) restart(ctx context.Context) error {
	last := w.run
	if err := w.stop(); err != nil {
		return err
	}
	if last != nil {
		w.say("restarting")
		_ = os.RemoveAll(filepath.Dir(last.Path)) // or else at the end
	}
	w.starts++
	//nolint:gosec // the program was just built
	w.run = exec.CommandContext(context.WithoutCancel(ctx), w.built, w.Args...)
	w.run.Stdout, w.run.Stderr = w.Stdout, w.Stderr
	w.run.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", environment, os.Getpid(), w.starts))
	detach(w.run)
	if err := w.sockets.Start(w.run); err != nil {
		return err
	}
	ended, run := make(chan exit, 1), w.run
	go func() { ended <- exit{run.Wait()} }()
	w.ended = ended
	return nil
}

// stop ends the running program, if there is one: it may finish its requests until the limit.
func (w *watcher) stop() error {
	if w.ended == nil {
		return nil
	}
	defer func() { w.ended = nil }()
	if err := end(w.run.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("can't end the program: %w", err)
	}
	select {
	case <-w.ended:
		return nil
	case <-time.After(w.Limit):
	}
	w.say("the program has not ended within %v, and is killed", w.Limit)
	if err := w.run.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("can't kill the program: %w", err)
	}
	<-w.ended
	return nil
}

// wait returns when files have changed, or ctx is done.
func (w *watcher) wait(ctx context.Context, before changes.Stamps) {
	ticker := time.NewTicker(w.Interval)
	defer ticker.Stop()
	files := w.files(ctx) // the build may have added or removed some, by an import
	maps.DeleteFunc(before, func(name string, _ changes.Stamp) bool { return !files.have(name) })
	for name, stamp := range w.look(files) {
		if _, ok := before[name]; !ok {
			before[name] = stamp
		}
	}
	reload := w.Reload
	for {
		select {
		case <-ctx.Done():
			return
		case exit := <-w.ended:
			w.ended = nil
			w.sockets.Release() // clients are refused, instead of waiting for the next change
			how := "ended"
			if exit.err != nil {
				how = "failed (" + exit.err.Error() + ")"
			}
			w.say("the program has %s; waiting for a change", how)
		case _, ok := <-reload:
			if !ok {
				reload = nil
			} else if w.ended != nil {
				askToReload(w.run.Process)
			}
		case <-ticker.C:
			look := func() changes.Stamps { return w.look(files) }
			if changes.Settled(ctx, before, look, w.Interval) {
				return
			}
		}
	}
}
