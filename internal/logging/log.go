package logging

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/pipeline"
)

// Options say what a log has from outside.
type Options struct {
	Global map[string]string // settings from outside, for interpolation
	Set    []string          // settings of sections from outside, as pipeline.Options has them
	Stdout io.Writer         // nil discards
	Stderr io.Writer         // nil discards
	Level  *slog.Level       // for everything, whatever the file says; nil is what that says

	NoFiles bool // opens no file: lines that would go to files alone go to the standard error
}

// A Log is where a program logs. It is safe for concurrent use.
type Log struct {
	opts    Options
	streams map[string]*stream // the standard ones, by name
	logger  *slog.Logger

	reload sync.Mutex // one at a time; guards noted
	noted  map[string]bool
	state  atomic.Pointer[state]
}

// A state is a plan, and what has been opened for it.
type state struct {
	plan     *plan
	handlers []slog.Handler // of the plan's sinks
	files    map[string]*stream
}

// Open reads how to log from the file that a config names, as [pipeline.Load] takes it, and opens the files that it names. It
// logs what in that file has no meaning. The error is of type [pipeline.Errors], and has every fault of these sections.
func Open(config string, o Options) (*Log, error) {
	l := &Log{opts: o, noted: map[string]bool{}, streams: map[string]*stream{
		"stdout": {w: orDiscard(o.Stdout)}, "stderr": {w: orDiscard(o.Stderr)},
	}}
	l.logger = slog.New(&handler{log: l})
	if err := l.Reload(config, o.Global); err != nil {
		return nil, err
	}
	return l, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Logger returns the logger. It stays valid until the process ends: when the log has been closed, what should go to a file goes
// to the standard error.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Reload reads anew how to log, and opens the files anew. No line is lost: one that is on its way to a file that is being
// closed goes to the new file of the same path, or, if there is none, to the standard error. After a fault everything is as it
// was.
func (l *Log) Reload(config string, global map[string]string) error {
	l.reload.Lock()
	defer l.reload.Unlock()
	opts := l.opts
	opts.Global = global
	p, err := read(config, opts)
	if err != nil {
		return err
	}
	next, err := l.open(p)
	if err != nil {
		return err
	}
	last := l.state.Swap(next)
	for _, n := range p.notes {
		if text := n.warning.String(); !l.noted[text] {
			l.noted[text] = true
			write := l.logger.Debug
			if n.level >= slog.LevelInfo {
				write = l.logger.Info
			}
			write("note on the logging configuration", slog.String("note", text))
		}
	}
	if last == nil {
		return nil
	}
	if err := last.close(next.files); err != nil { // that is of no use to whoever has asked for the reload
		l.logger.Warn("can't close the log file of before", slog.Any("error", err))
	}
	return nil
}

// Reopen opens the files anew, as they are named now, and reads nothing: it is for those that rename log files, whatever else
// is wrong. No line is lost, as with Reload. A file that can't be opened stays as it is, and is named by the error.
func (l *Log) Reopen() error {
	l.reload.Lock()
	defer l.reload.Unlock()
	var errs []error
	now, done := l.state.Load(), map[string]bool{}
	for _, sink := range now.plan.sinks {
		if t := sink.target; t.file && !done[t.name] {
			done[t.name] = true
			errs = append(errs, now.files[t.name].reopen(t))
		}
	}
	return pipeline.JoinErrors(errs...)
}

// open opens what a plan needs, each file once.
func (l *Log) open(p *plan) (*state, error) {
	s := &state{plan: p, files: map[string]*stream{}}
	var errs []error
	for _, sink := range p.sinks {
		to := l.streams[sink.target.name]
		if sink.target.file {
			to = s.files[sink.target.name]
		}
		if to == nil {
			f, err := openFile(sink.target)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			to = &stream{w: f, file: f, fallback: l.streams["stderr"]}
			s.files[sink.target.name] = to
		}
		s.handlers = append(s.handlers, newHandler(to, sink.json))
	}
	if len(errs) > 0 {
		return nil, pipeline.JoinErrors(append(errs, s.close(nil))...)
	}
	return s, nil
}

// newHandler makes slog's own handler. What is logged is decided before it is asked.
func newHandler(w io.Writer, json bool) slog.Handler {
	options := &slog.HandlerOptions{Level: slog.Level(everything)}
	if json {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// Close closes the files. It is for when everything else has been closed; then nothing is to be reloaded any more.
func (l *Log) Close() error { return l.state.Load().close(nil) }

// close closes the files, and hands over to those of the same paths that are open now.
func (s *state) close(successors map[string]*stream) error {
	var errs []error
	for path, f := range s.files {
		errs = append(errs, f.close(successors[path]))
	}
	return errors.Join(errs...)
}

// Check returns the faults that [Open] would return, and neither opens nor makes a file.
func Check(config string, o Options) error {
	p, err := read(config, o)
	if err != nil {
		return err
	}
	var errs []error
	for _, sink := range p.sinks {
		if sink.target.file {
			errs = append(errs, checkFile(sink.target))
		}
	}
	return pipeline.JoinErrors(errs...)
}
