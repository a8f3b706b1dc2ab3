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

// logs is where the command logs, as the .ini file says. It is safe for concurrent use.
type logs struct {
	call   *call
	level  slog.LevelVar
	logger *slog.Logger
}

// openLog reads how to log from the file that a CONFIG names, with the settings from outside. The error is of type
// [pipeline.Errors].
func (c *call) openLog(config string, global map[string]string) (*logs, error) {
	l := &logs{call: c}
	logger, err := c.newLogger(config, &l.level)
	l.logger = logger
	return l, err
}

// checkLog returns the faults that openLog would return, and opens nothing.
func (c *call) checkLog(config string, global map[string]string) error {
	_, err := c.openLog(config, global)
	return err
}

// Logger returns a logger that stays valid, and follows what Reload reads.
func (l *logs) Logger() *slog.Logger { return l.logger }

// Reload reads anew how to log. After a fault everything is as it was.
func (l *logs) Reload(config string, global map[string]string) error {
	var level slog.LevelVar
	if _, err := l.call.newLogger(config, &level); err != nil {
		return err
	}
	l.level.Set(level.Level())
	return nil
}

// Close closes what the log is written to. It is for when everything else has been closed.
func (l *logs) Close() error { return nil }

// newLogger makes the logger that the [logging] section of a configuration describes. It returns the faults of that
// section; a file that can't be read or parsed is left to the loader, which has more to say about it.
func (c *call) newLogger(config string, level *slog.LevelVar) (*slog.Logger, error) {
	var settings []pipeline.Setting
	if path, isFile := configPath(config); isFile {
		if text, err := os.ReadFile(path); err == nil {
			if file, err := pipeline.Parse(path, text); err == nil {
				settings = file.Settings("logging")
			}
		}
	}
	return newLogger(c.Err, settings, c.level, level)
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

func newLogger(w io.Writer, settings []pipeline.Setting, asked *slog.Level, at *slog.LevelVar) (*slog.Logger, error) {
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
	at.Set(level)
	options := &slog.HandlerOptions{Level: at}
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
