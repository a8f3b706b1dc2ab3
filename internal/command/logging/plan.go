package logging

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A plan maps lines to their destinations. It is data: nothing has been opened.
type plan struct {
	sinks []sink
	route func(origin) route
	notes []note
}

// A sink is a destination with a format and a level.
type sink struct {
	target target
	format string
	level  Level // the lowest level that is written
}

// A target is a place that lines are written to, with the setting that names it.
type target struct {
	kind    targetKind
	name    string // stderr, stdout, the path of a file, or the identity of a syslog
	setting tree.Setting

	rotation *rotation // of a file; nil for none
	watch    bool      // of a file: reopened when it was moved
	syslog   syslogAddress
}

type targetKind int

const (
	toStream targetKind = iota
	toFile
	toSyslog
)

var stderr = target{name: "stderr"}

// An origin is the source of lines: their attributes section and logger.
type origin struct{ section, logger string }

// A route is the level and the sinks for the lines of one origin.
type route struct {
	level Level
	sinks []int // indexes of the plan's sinks
}

// A note is about a setting that does not have its usual effect: a warning, or at level debug if
// nothing is lost.
type note struct {
	level   slog.Level
	warning tree.Warning
}

// warnings returns the notes that are warnings.
func (p *plan) warnings() []tree.Warning {
	var all []tree.Warning
	for _, n := range p.notes {
		if n.level >= slog.LevelWarn {
			all = append(all, n.warning)
		}
	}
	return all
}

// read returns the plan of the file that config names. Without a file or logging sections, the plan
// is text at level info on the standard error.
func read(config string, o Options) (*plan, error) {
	src := newSource(config, o)
	settings, err := pipeline.ReadSection[settings](config, "logging", src.opts)
	p := &plan{}
	switch {
	case src.file != nil && !src.has("logging") && src.has("loggers"):
		p = readPython(src)
	case src.file != nil:
		p, err = readNative(src, settings, err)
	case err == nil:
		p = settings.plan(nil)
	}
	if err != nil {
		return nil, err
	}
	if o.NoFiles {
		p.leaveStreams()
	}
	if o.Level != nil {
		p.force(Level(*o.Level))
	}
	return p, nil
}

// leaveStreams removes files and syslogs from the plan. Lines for those only go to the standard
// error.
func (p *plan) leaveStreams() {
	isStream := make([]bool, len(p.sinks))
	for i := range p.sinks {
		if isStream[i] = p.sinks[i].target.kind == toStream; !isStream[i] {
			p.sinks[i].target = stderr
		}
	}
	inner := p.route
	p.route = func(o origin) route {
		r := inner(o)
		streams := slices.DeleteFunc(slices.Clone(r.sinks),
			func(i int) bool { return !isStream[i] })
		if len(streams) == 0 && len(r.sinks) > 0 {
			streams = slices.Clone(r.sinks[:1])
		}
		r.sinks = streams
		return r
	}
}

// force sets one level for everything.
func (p *plan) force(level Level) {
	for i := range p.sinks {
		p.sinks[i].level = everything
	}
	inner := p.route
	p.route = func(o origin) route {
		r := inner(o)
		r.level = level
		return r
	}
}

func (p *plan) note(level slog.Level, s *tree.Setting, format string, args ...any) {
	p.notes = append(p.notes, note{level, tree.Warning{
		File: s.File, Line: s.Line, Section: s.Section, Key: s.Written,
		Message: fmt.Sprintf(format, args...),
	}})
}
