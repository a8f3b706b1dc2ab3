package logging

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
)

// settings are those of [logging].
type settings struct {
	Level  Level              `ini:"level" default:"info" help:"what is logged at least: debug, info, warn or error"`
	Format string             `ini:"format" default:"text" oneof:"text json" help:"how a line looks"`
	Output string             `ini:"output" default:"stderr" help:"where to: stderr, stdout, or the path of a file, which is appended to; a relative one begins at the folder of the .ini file"`
	Levels []pipeline.Setting `ini:"*"`
}

const levelOf = "level." // and the name of a section

// Settings describes what the section [logging] may have, for a help.
func Settings() []pipeline.SettingInfo {
	return append(pipeline.DescribeSettings[settings](), pipeline.SettingInfo{
		Key: levelOf + "NAME",
		Help: "the level of one section, by its name as in a pipeline: level.browserid; " +
			"of one of several with that name: level.server.main, with a dot for the colon, which would end the key",
	})
}

// readNative makes the plan of a [logging] section, or of none.
func readNative(src *source, decoded settings, err error) (*plan, error) {
	faults := []error{err}
	written, _ := src.section("logging") // err has what can't be interpolated
	levels := map[string]Level{}
	var output pipeline.Setting
	for _, s := range written {
		if s.Key == "output" {
			output = s
		}
		if isKnown(s.Key) {
			continue
		}
		name, level, err := levelOfSection(src, &s)
		faults = append(faults, err)
		levels[name] = level
	}
	to, err := outputTarget(src, decoded.Output, output)
	if err := pipeline.JoinErrors(append(faults, err)...); err != nil {
		return nil, err
	}
	p := decoded.plan(levels)
	p.sinks[0].target = to
	for _, s := range src.file.Settings("loggers") {
		p.note(slog.LevelDebug, &s, "not used, and neither are the sections that it is about, because there is a [logging]")
	}
	return p, nil
}

// plan has one sink, and a level for each section that has one.
func (s *settings) plan(levels map[string]Level) *plan {
	return &plan{
		sinks: []sink{{target: stderr, json: s.Format == "json", level: everything}},
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

func isKnown(key string) bool {
	return slices.ContainsFunc(pipeline.DescribeSettings[settings](), func(s pipeline.SettingInfo) bool { return s.Key == key })
}

// levelOfSection reads level.NAME.
func levelOfSection(src *source, s *pipeline.Setting) (name string, level Level, err error) {
	name, ok := strings.CutPrefix(s.Key, levelOf)
	if !ok {
		var known []string
		for _, s := range Settings() {
			known = append(known, s.Key)
		}
		unknown := fault(s, errors.New("unknown setting"), pipeline.DidYouMean(s.Key, known))
		unknown.Value = "" // nobody knows whether it is a secret
		return name, level, unknown
	}
	var faults []error
	if !isSection(src, name) {
		unknown := fault(s, errors.New("no section of that name"), pipeline.DidYouMean(name, shortNames(src)))
		unknown.Value = ""
		if rest, _, ok := strings.Cut(s.Value, "="); ok {
			unknown.Err = errors.New("the colon has ended the key")
			unknown.Hint = fmt.Sprintf("write %s.%s = …", s.Key, strings.TrimSpace(rest))
			return name, level, unknown
		}
		faults = append(faults, unknown)
	}
	if err := level.UnmarshalText([]byte(s.Value)); err != nil {
		faults = append(faults, fault(s, err, ""))
	}
	return name, level, pipeline.JoinErrors(faults...)
}

// keyNames are what stands for a section in level.NAME, the most exact first.
func keyNames(section string) []string {
	if section == "" {
		return nil
	}
	return []string{strings.ReplaceAll(section, ":", "."), strings.ReplaceAll(bareName(section), ":", ".")}
}

// isSection reports whether NAME stands for a section. Those of included files are not known.
func isSection(src *source, name string) bool {
	return src.includes() || slices.ContainsFunc(src.sections(), func(section string) bool {
		return slices.Contains(keyNames(section), name)
	})
}

// shortNames are the names that sections have in level.NAME; of those of one name the long ones too.
func shortNames(src *source) []string {
	byShort := map[string][]string{}
	for _, section := range src.sections() {
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

// outputTarget is what output says. A relative path begins at the folder of the file.
func outputTarget(src *source, output string, s pipeline.Setting) (target, error) {
	switch output {
	case "stderr", "stdout":
		return target{name: output}, nil
	case "":
		if s.Key == "" || s.Value != "" {
			return stderr, nil // it is not there, or has a fault of its own
		}
		return target{}, fault(&s, errors.New("empty"), "want stderr, stdout or the path of a file")
	}
	if filepath.IsAbs(output) {
		return target{output, true, s}, nil
	}
	here, err := src.here()
	return target{filepath.Join(here, output), true, s}, err
}
