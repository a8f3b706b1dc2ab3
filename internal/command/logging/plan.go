package logging

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A plan says which lines go where. It is data: nothing has been opened.
type plan struct {
	sinks []sink
	route func(origin) route
	notes []note
}

// A sink is a destination with a format and a level.
type sink struct {
	target target
	json   bool
	level  Level // the lowest level that is written
}

// A target is what lines are written to, and where the .ini file says so.
type target struct {
	kind    targetKind
	name    string // stderr, stdout, the path of a file, or what shows which syslog it is
	setting tree.Setting

	rotation *rotation // of a file; nil for none
	watch    bool      // of a file: it is opened again when it has been moved
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
	sinks []int // of the plan
}

// A note is about something in the file that is not as it says: a warning, or of the level debug when nothing is lost by it.
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

// read makes the plan that the file of a config has. A config without a file, or a file that says nothing, logs text of the
// level info to the standard error.
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

// leaveStreams takes files and syslogs out of the plan. What would go to none but those goes to the standard error.
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
		streams := slices.DeleteFunc(slices.Clone(r.sinks), func(i int) bool { return !isStream[i] })
		if len(streams) == 0 && len(r.sinks) > 0 {
			streams = slices.Clone(r.sinks[:1])
		}
		r.sinks = streams
		return r
	}
}

// force gives everything one level.
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
		File: s.File, Line: s.Line, Section: s.Section, Key: s.Written, Message: fmt.Sprintf(format, args...),
	}})
}
