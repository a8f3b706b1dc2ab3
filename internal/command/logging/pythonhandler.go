package logging

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// A pythonClass is a class of handlers: its parameters, and the function that creates its target.
type pythonClass struct {
	parameters signature
	target     func(*pythonReader, *pythonArgs) (target, bool)
}

// pythonClasses are the supported classes, by the last part of their names.
var pythonClasses = map[string]pythonClass{
	"StreamHandler": {signature{"stream"}, (*pythonReader).stream},
	"FileHandler": {
		signature{"filename", "mode", "encoding", "delay", "errors"},
		(*pythonReader).file,
	},
	"WatchedFileHandler": {
		signature{"filename", "mode", "encoding", "delay", "errors"},
		(*pythonReader).watchedFile,
	},
	"RotatingFileHandler": {signature{
		"filename", "mode", "maxBytes", "backupCount",
		"encoding", "delay", "errors",
	}, (*pythonReader).rotatedFile},
	"TimedRotatingFileHandler": {signature{
		"filename", "when", "interval", "backupCount",
		"encoding", "delay", "utc", "atTime", "errors",
	}, (*pythonReader).timedFile},
	"SysLogHandler": {
		signature{"address", "facility", "socktype"},
		(*pythonReader).sysLog,
	},
}

// insteadOf has the remedies for unsupported classes, by a part of their names.
var insteadOf = []struct{ part, remedy string }{
	{"SMTPHandler", "no mail is sent from here; log to a file or to a SysLogHandler, and have " +
		"mail sent by what watches that"},
	{"ConcurrentRotatingFileHandler", "write class = handlers.RotatingFileHandler, which has the " +
		"same args: one process writes the file"},
	{
		"ConcurrentTimedRotatingFileHandler",
		"write class = handlers.TimedRotatingFileHandler: one process writes the file",
	},
	{"MemoryHandler", "lines are not held back here; name the handler of its target in its place"},
	{"QueueHandler", "lines are not held back here; name the handlers that take them from the " +
		"queue in its place"},
	{
		"HTTPHandler",
		"write a FileHandler or a SysLogHandler, and have a collector send its lines on",
	},
	{
		"SocketHandler",
		"write a SysLogHandler, or a FileHandler and have a collector send its lines on",
	},
	{
		"DatagramHandler",
		"write a SysLogHandler, or a FileHandler and have a collector send its lines on",
	},
	{"NTEventLogHandler", "write a FileHandler"},
	{"Sentry", "register the middleware that the service has for Go as a filter, and write a " +
		"StreamHandler or a FileHandler"},
	{"raven", "register the middleware that the service has for Go as a filter, and write a " +
		"StreamHandler or a FileHandler"},
	{"StreamHandler", "write class = StreamHandler"},
	{"FileHandler", "write class = FileHandler"},
	{"", "write a StreamHandler, a FileHandler, handlers.RotatingFileHandler or " +
		"handlers.SysLogHandler"},
}

// pythonArgs are the arguments of a handler.
type pythonArgs struct {
	setting tree.Setting // the setting args or kwargs
	bound   pythonDict
}

func (r *pythonReader) readHandler(name string) pythonHandler {
	none := pythonHandler{sink: -1}
	section := "handler_" + name
	if !r.src.has(section) {
		r.noteKey(slog.LevelWarn, "handlers", "keys", "there is no [%s]", section)
		return none
	}
	settings := r.section(section)
	class := settings["class"]
	kind := class.Value[strings.LastIndexByte(class.Value, '.')+1:]
	if kind == "NullHandler" {
		return pythonHandler{sink: -1, null: true}
	}
	known, ok := pythonClasses[kind]
	if prefix := strings.TrimSuffix(class.Value, kind); !slices.Contains([]string{
		"", "logging.",
		"handlers.", "logging.handlers.",
	}, prefix) {
		ok = false // a class of another package, with unknown parameters
	}
	switch {
	case ok:
	case class.Key == "":
		r.noteSection(slog.LevelWarn, section, "not used: it has no class")
		return none
	default:
		for _, other := range insteadOf {
			if strings.Contains(class.Value, other.part) {
				r.plan.note(slog.LevelWarn, &class, "not used: there is no %s here; %s",
					class.Value, other.remedy)
				return none
			}
		}
	}
	args, ok := r.arguments(settings, known.parameters)
	if !ok {
		return none
	}
	made := sink{level: everything, format: formatAuto}
	if r.json[settings["formatter"].Value] {
		made.format = formatJSON
	}
	if made.target, ok = known.target(r, args); !ok {
		return none
	}
	if s, ok := settings["level"]; ok {
		r.level(&s, &made.level)
	}
	r.ignore(settings, "class", "level", "formatter", "args", "kwargs")
	r.plan.sinks = append(r.plan.sinks, made)
	return pythonHandler{sink: len(r.plan.sinks) - 1}
}

// arguments evaluates args and kwargs. If that fails, the handler is not used.
func (r *pythonReader) arguments(settings map[string]tree.Setting,
	parameters signature,
) (*pythonArgs, bool) {
	args := &pythonArgs{setting: settings["class"]}
	var values [2]any
	for i, key := range []string{"args", "kwargs"} {
		s := settings[key]
		value, err := evaluate(s.Value)
		if err != nil {
			r.plan.note(slog.LevelWarn, &s, "not used: %v; write the values themselves, such as %s",
				err, example[key])
			return nil, false
		}
		values[i] = value
		if list, ok := value.([]any); s.Key != "" && (!ok || len(list) > 0 || i == 0) {
			args.setting = s // for the position of errors
		}
	}
	var err error
	if args.bound, err = parameters.bind(values[0], values[1]); err != nil {
		r.plan.note(slog.LevelWarn, &args.setting, "not used: %v", err)
		return nil, false
	}
	for name := range args.bound {
		if !slices.Contains(parameters, name) {
			r.plan.note(slog.LevelWarn, &args.setting,
				"%q is not known, and not used; known are %s", name, strings.Join(parameters, ", "))
		}
	}
	return args, true
}

var example = map[string]string{
	"args":   "('%(here)s/site.log', 'a')",
	"kwargs": "{'filename': '%(here)s/site.log'}",
}

// stream returns the target of a StreamHandler: the standard error by default.
func (r *pythonReader) stream(args *pythonArgs) (target, bool) {
	switch args.bound["stream"] {
	case pythonName("sys.stdout"):
		return target{name: "stdout"}, true
	case pythonName("sys.stderr"), nil:
	default:
		r.plan.note(slog.LevelWarn, &args.setting,
			"neither sys.stdout nor sys.stderr: lines go to the standard error")
	}
	return stderr, true
}

func (r *pythonReader) file(args *pythonArgs) (target, bool) {
	name, ok := args.bound["filename"].(string)
	if !ok || name == "" {
		r.plan.note(slog.LevelWarn, &args.setting,
			"not used: there is no path of a file in it, such as %s", example["args"])
		return target{}, false
	}
	path, err := filepath.Abs(name) // from the working directory, as in Python
	if err != nil {
		r.plan.note(slog.LevelWarn, &args.setting, "not used: %v", err)
		return target{}, false
	}
	if encoding, ok := args.bound["encoding"].(string); ok && !isUTF8(encoding) {
		r.plan.note(slog.LevelDebug, &args.setting, "lines are UTF-8, and not %s", encoding)
	}
	return target{kind: toFile, name: path, setting: args.setting}, true
}

func isUTF8(encoding string) bool {
	plain := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(encoding))
	return plain == "utf8" || plain == "ascii" || plain == "usascii"
}

func (r *pythonReader) watchedFile(args *pythonArgs) (target, bool) {
	t, ok := r.file(args)
	t.watch = true
	return t, ok
}

// rotatedFile returns the target of a RotatingFileHandler. As in Python it does not rotate if one
// of its two numbers is 0.
func (r *pythonReader) rotatedFile(args *pythonArgs) (target, bool) {
	t, ok := r.file(args)
	if !ok {
		return t, false
	}
	bytes, err := args.number("maxBytes", 0)
	backups, backupsErr := args.number("backupCount", 0)
	switch err := cmp.Or(err, backupsErr); {
	case err != nil:
		r.plan.note(slog.LevelWarn, &args.setting, "the file is not rotated: %v", err)
	case bytes <= 0 || backups <= 0:
		r.plan.note(slog.LevelWarn, &args.setting, "the file is not rotated, as in Python, and "+
			"grows: both maxBytes and backupCount must be above 0")
	default:
		t.rotation = &rotation{bytes: int64(bytes), backups: backups}
	}
	return t, true
}

func (r *pythonReader) timedFile(args *pythonArgs) (target, bool) {
	t, ok := r.file(args)
	if !ok {
		return t, false
	}
	var err error
	if t.rotation, err = args.timed(); err != nil {
		r.plan.note(slog.LevelWarn, &args.setting, "the file is not rotated: %v", err)
	}
	return t, true
}

// timed returns the rotation of a TimedRotatingFileHandler.
func (a *pythonArgs) timed() (*rotation, error) {
	when, ok := a.bound["when"].(string)
	if a.bound["when"] == nil {
		when, ok = "h", true
	}
	if !ok {
		return nil, errors.New("when is no string, such as 'midnight'")
	}
	interval, err := a.number("interval", 1)
	if err != nil {
		return nil, err
	}
	backups, err := a.number("backupCount", 0)
	if err != nil {
		return nil, err
	}
	s, err := newSchedule(when, interval)
	if err != nil {
		return nil, err
	}
	switch utc := a.bound["utc"].(type) {
	case bool:
		if utc {
			s.location = time.UTC
		}
	case float64:
		if utc != 0 {
			s.location = time.UTC
		}
	case nil:
	default:
		return nil, errors.New("utc is neither True nor False")
	}
	if a.bound["atTime"] != nil {
		if s.seconds, err = timeOfDay(a.bound["atTime"]); err != nil {
			return nil, err
		}
	}
	return &rotation{backups: max(backups, 0), schedule: s}, nil
}

// timeOfDay reads a datetime.time(hour, minute, second).
func timeOfDay(value any) (seconds int, err error) {
	call, ok := value.(pythonCall)
	if name := string(call.function); !ok || name != "time" && !strings.HasSuffix(name, ".time") {
		return 0, errors.New("atTime is no datetime.time(hour, minute)")
	}
	bound, err := signature{"hour", "minute", "second", "microsecond"}.bind(call.args,
		call.keywords)
	if err != nil {
		return 0, fmt.Errorf("atTime: %w", err)
	}
	args := &pythonArgs{bound: bound}
	for _, part := range []struct {
		name         string
		limit, worth int
	}{{"hour", 24, 3600}, {"minute", 60, 60}, {"second", 60, 1}} {
		n, err := args.number(part.name, 0)
		if err != nil || n < 0 || n >= part.limit {
			return 0, fmt.Errorf("atTime has no %s from 0 to %d", part.name, part.limit-1)
		}
		seconds += n * part.worth
	}
	return seconds, nil
}

// number returns an integer argument.
func (a *pythonArgs) number(name string, otherwise int) (int, error) {
	switch value := a.bound[name].(type) {
	case nil:
		return otherwise, nil
	case bool:
		if value {
			return 1, nil
		}
		return 0, nil
	case float64:
		if math.Abs(value) < 1<<53 {
			return int(value), nil
		}
	}
	return 0, fmt.Errorf("%s is no number that is known here", name)
}

// share merges the targets of each file, so that it is opened once and rotated in one way.
func (r *pythonReader) share() {
	first := map[string]*target{}
	for i := range r.plan.sinks {
		t := &r.plan.sinks[i].target
		if t.kind != toFile {
			continue
		}
		with, ok := first[t.name]
		if !ok {
			first[t.name] = t
			continue
		}
		switch {
		case with.rotation == nil:
			with.rotation = t.rotation
		case t.rotation != nil && !t.rotation.equal(with.rotation):
			r.plan.note(slog.LevelWarn, &t.setting,
				"the file is also that of [%s], and rotated as that says", with.setting.Section)
		}
		with.watch = with.watch || t.watch
	}
}
