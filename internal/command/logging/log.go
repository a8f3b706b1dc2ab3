package logging

import (
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/internal/command/terminal"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Options are the inputs of a log besides the .ini file.
type Options struct {
	Global map[string]string // settings of the command line for [DEFAULT]
	Set    []string          // settings of the command line, as in pipeline.Options
	Stdout io.Writer         // nil discards
	Stderr io.Writer         // nil discards
	Level  *slog.Level       // overrides all levels of the file; nil means those

	NoFiles bool // open no file; lines for files only go to the standard error
}

// A Log is the log of a program. It is safe for concurrent use.
type Log struct {
	config  string
	opts    Options
	streams map[string]*stream // stdout and stderr
	logger  *slog.Logger

	reload sync.Mutex // held by one Reload at a time; guards noted
	noted  map[string]bool
	state  atomic.Pointer[state]
}

// A state is a plan with the files and syslogs opened for it.
type state struct {
	plan     *plan
	handlers []slog.Handler // for the plan's sinks
	files    map[string]*stream
	syslogs  map[string]*syslog
}

// Open reads the logging sections of the file that config names, as for [pipeline.Load], and opens
// the log files. It logs a warning for each setting without meaning. The error is of type
// [tree.Errors], and has every error of these sections.
func Open(config string, o Options) (*Log, error) {
	l := &Log{config: config, opts: o, noted: map[string]bool{}, streams: map[string]*stream{
		"stdout": {w: orDiscard(o.Stdout)}, "stderr": {w: orDiscard(o.Stderr)},
	}}
	l.logger = slog.New(&handler{log: l})
	if err := l.Reload(); err != nil {
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

// Logger returns the logger. It stays valid until the process ends: after Close, lines for files go
// to the standard error.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Reload reads the file again, and reopens the log files. No line is lost: a line that is about to
// be written to a file that is being closed goes to the new file with the same path or, if there is
// none, to the standard error. After an error nothing has changed.
func (l *Log) Reload() error {
	l.reload.Lock()
	defer l.reload.Unlock()
	p, err := read(l.config, l.opts)
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
			if n.level >= slog.LevelWarn {
				write = l.logger.Warn
			}
			write("note on the logging configuration", slog.String("note", text))
		}
	}
	if last == nil {
		return nil
	}
	if err := last.close(next); err != nil { // not an error of the reload
		l.logger.Warn("can't close the log file of before", slog.Any("error", err))
	}
	return nil
}

// Reopen reopens the log files by their names, and does not read the .ini file: it is for programs
// that rename log files, even if the .ini file has errors. No line is lost, as with Reload. A file
// that can't be opened stays as it is, and is named by the error.
func (l *Log) Reopen() error {
	l.reload.Lock()
	defer l.reload.Unlock()
	var errs []error
	now, done := l.state.Load(), map[string]bool{}
	for _, sink := range now.plan.sinks {
		if t := sink.target; t.kind == toFile && !done[t.name] {
			done[t.name] = true
			errs = append(errs, now.files[t.name].Reopen())
		}
	}
	return tree.JoinErrors(errs...)
}

// open opens the destinations of a plan, each file and each syslog once. Those that are open are
// taken over from the last state, after all files are open.
func (l *Log) open(p *plan) (*state, error) {
	last := l.state.Load()
	if last == nil {
		last = &state{}
	}
	opened := map[string]openedFile{}
	var errs []error
	for _, sink := range p.sinks {
		t := sink.target
		if _, ok := opened[t.name]; ok || t.kind != toFile {
			continue
		}
		f, err := openFile(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		opened[t.name] = f
	}
	if len(errs) > 0 {
		for _, f := range opened {
			errs = append(errs, f.Close())
		}
		return nil, tree.JoinErrors(errs...)
	}
	s := &state{plan: p, files: map[string]*stream{}, syslogs: map[string]*syslog{}}
	for _, sink := range p.sinks {
		switch t := sink.target; t.kind {
		case toStream:
			s.handlers = append(s.handlers, newHandler(l.streams[t.name], sink.format, nil))
		case toFile:
			if s.files[t.name] == nil {
				if s.files[t.name] = last.files[t.name]; s.files[t.name] != nil {
					s.files[t.name].takeOver(t, opened[t.name])
				} else {
					s.files[t.name] = newStream(t, opened[t.name], l.streams["stderr"], l.report)
				}
			}
			s.handlers = append(s.handlers, newHandler(s.files[t.name], sink.format, nil))
		case toSyslog:
			if s.syslogs[t.name] == nil {
				if s.syslogs[t.name] = last.syslogs[t.name]; s.syslogs[t.name] == nil {
					s.syslogs[t.name] = l.openSyslog(p, t)
				}
			}
			s.handlers = append(s.handlers, newSyslogHandler(s.syslogs[t.name], sink.format))
		}
	}
	return s, nil
}

// openSyslog connects to a syslog. One that does not answer is noted.
func (l *Log) openSyslog(p *plan, t target) *syslog {
	s := &syslog{address: t.syslog, report: l.report, fallback: l.streams["stderr"]}
	if err := s.open(); err != nil {
		p.note(slog.LevelWarn, &t.setting, "%s: %v", noSyslog, err)
	}
	return s
}

// report logs an error of a destination of the log. It does not wait, because its caller is writing
// a line.
func (l *Log) report(message string, err error) {
	//nolint:sloglint // the message is the caller's constant
	go l.logger.Error(message, slog.Any("error", err))
}

// newHandler returns the handler of a format. The level has been checked before it is called.
// replace, which may be nil, is for text and JSON.
func newHandler(w io.Writer, format string, replace func([]string, slog.Attr) slog.Attr,
) slog.Handler {
	options := &slog.HandlerOptions{Level: slog.Level(everything), ReplaceAttr: replace}
	switch formatFor(w, format) {
	case formatJSON:
		return slog.NewJSONHandler(w, options)
	case formatConsole:
		return newConsoleHandler(w, terminal.HasColors(w))
	}
	return slog.NewTextHandler(w, options)
}

// Close closes the files. It must be the last call, except for calls of the logger.
func (l *Log) Close() error { return l.state.Load().close(nil) }

// close closes the destinations that successor, which may be nil, has not taken over.
func (s *state) close(successor *state) error {
	if successor == nil {
		successor = &state{}
	}
	var errs []error
	for name, f := range s.files {
		if successor.files[name] == nil {
			errs = append(errs, f.close())
		}
	}
	for name, log := range s.syslogs {
		if successor.syslogs[name] == nil {
			errs = append(errs, log.close())
		}
	}
	return errors.Join(errs...)
}

// Check returns the errors that Reload would return. It neither opens nor creates a file.
func (l *Log) Check() error {
	_, err := Check(l.config, l.opts)
	return err
}

// Check returns the errors that [Open] would return, and its warnings. It neither opens nor creates
// a file.
func Check(config string, o Options) ([]tree.Warning, error) {
	p, err := read(config, o)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, sink := range p.sinks {
		switch t := sink.target; t.kind {
		case toStream:
		case toFile:
			errs = append(errs, checkFile(t))
		case toSyslog:
			if err := checkSyslog(t); err != nil {
				p.note(slog.LevelWarn, &t.setting, "%s: %v", noSyslog, err)
			}
		}
	}
	return p.warnings(), tree.JoinErrors(errs...)
}
