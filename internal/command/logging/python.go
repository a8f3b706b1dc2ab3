package logging

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A pythonReader reads the sections of Python's logging.config.fileConfig, and notes the settings
// that it can't use.
type pythonReader struct {
	src     *source
	plan    *plan
	json    map[string]bool // whether the formatter of that name is JSON
	handler map[string]pythonHandler
}

// A pythonHandler is the meaning of a [handler_x] section.
type pythonHandler struct {
	sink int  // index of the plan's sink; -1 for none
	null bool // writes nothing
}

// A pythonLogger is a [logger_x] section. The root has no name.
type pythonLogger struct {
	name     string
	level    Level // everything if NOTSET
	handlers []string
	keeps    bool // propagate = 0
}

func readPython(src *source) *plan {
	r := &pythonReader{
		src: src, plan: &plan{}, json: map[string]bool{},
		handler: map[string]pythonHandler{},
	}
	loggers := r.loggers()
	for _, name := range r.keys("formatters") {
		r.formatter(name)
	}
	listed := r.keys("handlers")
	for _, logger := range loggers {
		for _, name := range logger.handlers {
			if _, ok := r.handler[name]; ok {
				continue
			}
			if !slices.Contains(listed, name) {
				r.handler[name] = pythonHandler{sink: -1}
				continue // already noted by loggers
			}
			r.handler[name] = r.readHandler(name)
		}
	}
	for _, name := range listed {
		if _, ok := r.handler[name]; !ok {
			r.noteSection(slog.LevelDebug, "handler_"+name,
				"no logger has this handler, so it is not opened")
		}
	}
	r.share()
	r.plan.route = r.router(loggers)
	slices.SortStableFunc(r.plan.notes,
		func(a, b note) int { return cmp.Compare(a.warning.Line, b.warning.Line) })
	return r.plan
}

// router returns a function that finds the most specific logger for an origin, and follows
// propagation from there to the root.
func (r *pythonReader) router(loggers []pythonLogger) func(origin) route {
	// the root is last
	slices.SortFunc(loggers, func(a, b pythonLogger) int {
		return cmp.Compare(len(b.name),
			len(a.name))
	})
	// A route without any sink uses the standard error instead.
	fallback := len(r.plan.sinks)
	r.plan.sinks = append(r.plan.sinks, sink{target: stderr, level: everything})
	origins := map[string]string{}
	for _, section := range r.src.sections() {
		origins[section] = r.src.origin(section)
	}
	return func(o origin) route {
		names := []string{
			o.logger, o.section, bareName(o.section),
			cmp.Or(origins[o.section], originOf(o.section)),
		}
		start := slices.IndexFunc(loggers, func(l pythonLogger) bool {
			return slices.ContainsFunc(names,
				func(name string) bool { return isBelow(name, l.name) })
		})
		at, found := loggers[start].name, route{level: everything}
		null, keeps := false, false
		for _, l := range loggers[start:] {
			if !isBelow(at, l.name) {
				continue
			}
			if found.level == everything {
				found.level = l.level
			}
			if keeps {
				continue
			}
			keeps = l.keeps
			for _, name := range l.handlers {
				handler := r.handler[name]
				null = null || handler.null
				if handler.sink >= 0 && !slices.Contains(found.sinks, handler.sink) {
					found.sinks = append(found.sinks, handler.sink)
				}
			}
		}
		if len(found.sinks) == 0 && !null {
			found.sinks = []int{fallback}
		}
		return found
	}
}

// isBelow reports whether name inherits from logger: app.views from app, and every name from the
// root.
func isBelow(name, logger string) bool {
	return logger == "" || name == logger || strings.HasPrefix(name, logger+".")
}

// loggers reads the loggers, which always include a root.
func (r *pythonReader) loggers() []pythonLogger {
	handlers := r.keys("handlers")
	root := pythonLogger{level: Level(slog.LevelWarn)} // as in Python
	var loggers []pythonLogger
	for _, key := range r.keys("loggers") {
		section := "logger_" + key
		if !r.src.has(section) {
			r.noteKey(slog.LevelWarn, "loggers", "keys", "there is no [%s]", section)
			continue
		}
		settings := r.section(section)
		logger := pythonLogger{level: everything, handlers: listOf(settings["handlers"].Value)}
		if key == "root" {
			logger.level = root.level
		} else if logger.name = settings["qualname"].Value; logger.name == "" {
			r.noteSection(slog.LevelWarn, section, "not used: it has no qualname")
			continue
		}
		if s, ok := settings["level"]; ok {
			r.level(&s, &logger.level)
		}
		if s, ok := settings["propagate"]; ok {
			logger.keeps = r.isZero(&s)
		}
		for _, name := range logger.handlers {
			if !slices.Contains(handlers, name) {
				s := settings["handlers"]
				r.plan.note(slog.LevelWarn, &s, "%q is not among the keys of [handlers]", name)
			}
		}
		r.ignore(settings, "level", "handlers", "qualname", "propagate")
		if key == "root" || logger.name == "root" {
			root = logger
			root.name = ""
			continue
		}
		if s := settings["qualname"]; logger.name != failures && !r.isSection(logger.name) {
			r.plan.note(slog.LevelDebug, &s, "no section of this file is called so, or is from "+
				"there: it is for lines with this name in the attribute logger")
		}
		loggers = append(loggers, logger)
	}
	return append(loggers, root)
}

// isSection reports whether a qualname selects a section of the file.
func (r *pythonReader) isSection(qualname string) bool {
	return slices.ContainsFunc(r.src.sections(), func(section string) bool {
		return isBelow(section, qualname) || isBelow(bareName(section), qualname) ||
			isBelow(r.src.origin(section), qualname)
	})
}

func (r *pythonReader) level(s *tree.Setting, level *Level) {
	if strings.EqualFold(strings.TrimSpace(s.Value), "NOTSET") {
		*level = everything
		return
	}
	if err := level.UnmarshalText([]byte(s.Value)); err != nil {
		r.plan.note(slog.LevelWarn, s, "%q is no level that is known here, and not used; %v",
			s.Value, err)
	}
}

func (r *pythonReader) isZero(s *tree.Setting) bool {
	n, err := convert.AsInt(s.Value)
	if err != nil {
		r.plan.note(slog.LevelWarn, s, "%q is neither 0 nor 1, and not used", s.Value)
	}
	return err == nil && n == 0
}

var jsonFormat = regexp.MustCompile(`^\s*\{\s*"`)

// formatter reads a formatter. Its settings are templates, so they are not interpolated, as in
// Python.
func (r *pythonReader) formatter(name string) {
	section := "formatter_" + name
	if !r.src.has(section) {
		r.noteKey(slog.LevelWarn, "formatters", "keys", "there is no [%s]", section)
		return
	}
	for _, s := range r.src.file.Settings(section) {
		switch strings.ToLower(s.Key) {
		case "class":
			r.json[name] = r.json[name] || strings.Contains(strings.ToLower(s.Value), "json")
		case "format":
			r.json[name] = r.json[name] || jsonFormat.MatchString(s.Value)
		}
	}
	as := "text"
	if r.json[name] {
		as = "JSON"
	}
	r.noteSection(slog.LevelDebug, section, "lines are %s, and not laid out as it says", as)
}

// section returns the settings of a section by their keys in lower case. If one can't be
// interpolated, it returns those that need no interpolation.
func (r *pythonReader) section(name string) map[string]tree.Setting {
	settings, err := r.src.section(name)
	if err != nil {
		for _, s := range r.src.file.Settings(name) {
			if !strings.Contains(s.Raw, "%") {
				settings = append(settings, s)
			}
		}
		all, _ := errors.AsType[tree.Errors](tree.JoinErrors(err))
		for _, fault := range all {
			r.plan.notes = append(r.plan.notes, note{slog.LevelWarn, tree.Warning{
				File: fault.File, Line: fault.Line, Section: fault.Section, Key: fault.Key,
				Message: "not used: " + fault.Err.Error(),
			}})
		}
	}
	byKey := map[string]tree.Setting{}
	for _, s := range settings {
		byKey[strings.ToLower(s.Key)] = s
	}
	return byKey
}

// keys returns the names that a section lists.
func (r *pythonReader) keys(section string) []string {
	return listOf(r.section(section)["keys"].Value)
}

func listOf(text string) []string {
	var list []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" && !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	return list
}

// ignore notes the settings that have no meaning in Python either.
func (r *pythonReader) ignore(settings map[string]tree.Setting, known ...string) {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if s := settings[key]; !slices.Contains(known, key) {
			r.plan.note(slog.LevelDebug, &s, "not used")
		}
	}
}

func (r *pythonReader) noteKey(level slog.Level, section, key, format string, args ...any) {
	for _, s := range r.src.file.Settings(section) {
		if strings.EqualFold(s.Key, key) {
			r.plan.note(level, &s, format, args...)
			return
		}
	}
}

// noteSection notes a fault of a section as a whole, at the position of its first setting.
func (r *pythonReader) noteSection(level slog.Level, section, format string, args ...any) {
	s := tree.Setting{File: r.src.file.Name(), Section: section}
	if all := r.src.file.Settings(section); len(all) > 0 {
		s.Line = all[0].Line
	}
	r.plan.note(level, &s, format, args...)
}
