package logging

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// settings are the settings of [logging].
type settings struct {
	Level  Level          `ini:"level" default:"info" help:"lowest level that is logged: debug, info, warn or error"`
	Format string         `ini:"format" default:"auto" oneof:"auto console text json" help:"format of a line: auto is console on a terminal, and text elsewhere; console is for people, with colours unless NO_COLOR is set"`
	Output string         `ini:"output" default:"stderr" help:"destination: stderr, stdout, or the path of a file to append to, relative to the folder of the .ini file"`
	Levels []tree.Setting `ini:"*"`
}

const levelOf = "level." // followed by the name of a section

// Settings describes the settings of the section [logging], for the help.
func Settings() []tree.SettingInfo {
	return append(pipeline.SettingsOf[settings](), tree.SettingInfo{
		Key: levelOf + "NAME",
		Help: "level of one section, by its name in a pipeline, as in level.browserid; " +
			"if several sections have that name, with their prefix and a dot for the colon: " +
			"level.server.main",
	})
}

// readNative returns the plan of a [logging] section, or the default plan.
func readNative(src *source, decoded settings, err error) (*plan, error) {
	faults := []error{err}
	written, _ := src.section("logging") // err has the interpolation errors
	known := keysOf(pipeline.SettingsOf[settings]())
	levels := map[string]Level{}
	var output tree.Setting
	for _, s := range written {
		if name, ok := strings.CutPrefix(s.Key, levelOf); ok {
			level, err := levelOfSection(src, name, &s)
			faults = append(faults, err)
			levels[name] = level
		} else if !slices.Contains(known, s.Key) {
			faults = append(faults, withoutValue(&s, errors.New("unknown setting"),
				suggest.DidYouMean(s.Key, keysOf(Settings()))))
		}
		if s.Key == "output" {
			output = s
		}
	}
	to, err := outputTarget(src, decoded.Output, output)
	if err := tree.JoinErrors(append(faults, err)...); err != nil {
		return nil, err
	}
	p := decoded.plan(levels)
	p.sinks[0].target = to
	for _, s := range src.file.Settings("loggers") {
		p.note(slog.LevelDebug, &s,
			"not used, and neither are the sections that it is about, because there is a [logging]")
	}
	return p, nil
}

func keysOf(settings []tree.SettingInfo) []string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.Key)
	}
	return keys
}

// plan returns a plan with one sink and the given levels of sections.
func (s *settings) plan(levels map[string]Level) *plan {
	return &plan{
		sinks: []sink{{target: stderr, format: s.Format, level: everything}},
		route: func(o origin) route {
			for _, name := range keyNames(o.section) {
				if level, ok := levels[name]; ok {
					return route{level, []int{0}}
				}
			}
			return route{s.Level, []int{0}}
		},
	}
}

// levelOfSection reads level.NAME. The sections of included files are not known.
func levelOfSection(src *source, name string, s *tree.Setting) (Level, error) {
	var faults []error
	named := slices.DeleteFunc(src.sections(),
		func(section string) bool { return !slices.Contains(keyNames(section), name) })
	switch {
	case len(named) > 0:
		if !slices.ContainsFunc(named,
			func(section string) bool { return !strings.HasPrefix(section, "pipeline:") }) {
			faults = append(faults, withoutValue(s, errors.New("a pipeline itself logs nothing"),
				"name one of its members"))
		}
	case src.includes():
	default:
		if rest, _, ok := strings.Cut(s.Value, "="); ok { // as in level.server:main = debug
			return 0, withoutValue(s, errors.New("the colon has ended the key"),
				fmt.Sprintf("write %s.%s = …", s.Key, strings.TrimSpace(rest)))
		}
		faults = append(faults, withoutValue(s, errors.New("no section of that name"),
			suggest.DidYouMean(name, shortNames(src))))
	}
	var level Level
	if err := level.UnmarshalText([]byte(s.Value)); err != nil {
		faults = append(faults, fault(s, err, ""))
	}
	return level, tree.JoinErrors(faults...)
}

// keyNames returns the names for a section in level.NAME, the most specific first.
func keyNames(section string) []string {
	if section == "" {
		return nil
	}
	return []string{
		strings.ReplaceAll(section, ":", "."),
		strings.ReplaceAll(bareName(section), ":", "."),
	}
}

// shortNames returns the names of all sections for level.NAME, with the long names of sections that
// share a short one.
func shortNames(src *source) []string {
	byShort := map[string][]string{}
	for _, section := range src.sections() {
		if strings.HasPrefix(section, "pipeline:") {
			continue
		}
		names := keyNames(section)
		byShort[names[1]] = append(byShort[names[1]], names[0])
	}
	var all []string
	for short, long := range byShort {
		all = append(all, short)
		if len(long) > 1 {
			all = append(all, long...)
		}
	}
	return all
}

// outputTarget returns the target of the setting output. A relative path starts at the folder of
// the file.
func outputTarget(src *source, output string, s tree.Setting) (target, error) {
	switch name := strings.ToLower(output); name {
	case "stderr", "stdout":
		return target{name: name}, nil
	case "":
		if s.Key == "" || s.Value != "" {
			return stderr, nil // missing, or reported already
		}
		return target{}, fault(&s, errors.New("empty"), "want stderr, stdout or the path of a file")
	}
	if filepath.IsAbs(output) {
		return target{kind: toFile, name: output, setting: s}, nil
	}
	here, err := src.here()
	return target{kind: toFile, name: filepath.Join(here, output), setting: s}, err
}
