package logging

import (
	"errors"
	"log/slog"
	"math"
	"strings"
)

// A Level is from where on lines are logged.
type Level slog.Level

const (
	everything = Level(math.MinInt) // Python's NOTSET
	critical   = Level(slog.LevelError + 4)
	nothing    = Level(math.MaxInt)
)

// levels are slog's and Python's names. One step of Python's is one of slog's.
var levels = map[string]Level{
	"debug": Level(slog.LevelDebug), "info": Level(slog.LevelInfo),
	"warn": Level(slog.LevelWarn), "warning": Level(slog.LevelWarn),
	"error": Level(slog.LevelError), "critical": critical, "fatal": critical,
}

// UnmarshalText knows slog's names and Python's, in upper and lower case.
func (l *Level) UnmarshalText(text []byte) error {
	level, ok := levels[strings.ToLower(strings.TrimSpace(string(text)))]
	if !ok {
		return errors.New("want debug, info, warn or error")
	}
	*l = level
	return nil
}
