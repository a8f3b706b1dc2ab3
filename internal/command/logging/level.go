package logging

import (
	"errors"
	"log/slog"
	"math"
	"strings"
)

// A Level is the lowest level that is logged.
type Level slog.Level

const (
	everything = Level(math.MinInt) // Python's NOTSET
	critical   = Level(slog.LevelError + 4)
	nothing    = Level(math.MaxInt)
)

// levels maps slog's and Python's names. One step in Python is one step in slog.
var levels = map[string]Level{
	"debug": Level(slog.LevelDebug), "info": Level(slog.LevelInfo),
	"warn": Level(slog.LevelWarn), "warning": Level(slog.LevelWarn),
	"error": Level(slog.LevelError), "critical": critical, "fatal": critical,
}

// UnmarshalText accepts slog's and Python's names, in upper or lower case.
func (l *Level) UnmarshalText(text []byte) error {
	level, ok := levels[strings.ToLower(strings.TrimSpace(string(text)))]
	if !ok {
		return errors.New("want debug, info, warn or error")
	}
	*l = level
	return nil
}
