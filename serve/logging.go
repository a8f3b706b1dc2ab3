package serve

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
)

// newLogger makes the logger that the [logging] section of a configuration describes. It returns the faults of that
// section; a file that can't be read or parsed is left to the loader, which has more to say about it.
func (c *call) newLogger(config string) (*slog.Logger, error) {
	path, isFile := configPath(config)
	if !isFile {
		return newLogger(c.Err, nil, c.level)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return newLogger(c.Err, nil, c.level)
	}
	file, err := pipeline.Parse(path, text)
	if err != nil {
		return newLogger(c.Err, nil, c.level)
	}
	return newLogger(c.Err, file.Settings("logging"), c.level)
}

// configPath returns the path of the file that a CONFIG names: "site.ini#name" and "config:site.ini" do, "egg:…" does not.
func configPath(config string) (string, bool) {
	path, _, _ := strings.Cut(config, "#")
	if scheme, rest, ok := strings.Cut(path, ":"); ok && filepath.VolumeName(path) == "" {
		switch strings.ToLower(scheme) {
		case "config":
			return rest, true
		case "egg", "call":
			return "", false
		}
	}
	return path, true
}

func newLogger(w io.Writer, settings []pipeline.Setting, asked *slog.Level) (*slog.Logger, error) {
	level, format := slog.LevelInfo, "text"
	var faults []error
	for _, s := range settings {
		value := strings.ToLower(strings.TrimSpace(s.Value))
		var ok bool
		var want string
		switch s.Key {
		case "level":
			level, ok = parseLevel(value)
			want = "want debug, info, warn or error"
		case "format":
			format = value
			ok, want = value == "text" || value == "json", "want text or json"
		default:
			faults = append(faults, &pipeline.Error{
				File: s.File, Line: s.Line, Section: s.Section, Key: s.Key,
				Err: errors.New("unknown setting"), Hint: "have level and format",
			})
			continue
		}
		if !ok {
			faults = append(faults, &pipeline.Error{
				File: s.File, Line: s.Line, Section: s.Section, Key: s.Key, Value: s.Value, Err: errors.New(want),
			})
		}
	}
	if asked != nil {
		level = *asked
	}
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), pipeline.JoinErrors(faults...)
	}
	return slog.New(slog.NewTextHandler(w, options)), pipeline.JoinErrors(faults...)
}

// parseLevel knows slog's names, and those of Python's logging that differ.
func parseLevel(text string) (slog.Level, bool) {
	switch text {
	case "warning":
		return slog.LevelWarn, true
	case "critical":
		return slog.LevelError, true
	}
	var level slog.Level
	err := level.UnmarshalText([]byte(text))
	return level, err == nil
}
