package translogger

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/order"
)

// Config configures the log. One of Output and Logger is required.
type Config struct {
	// Output receives one line for each request, in one Write. Writes don't overlap.
	Output io.Writer

	// Logger receives one record for each request, at Level: with attributes, or, if Format is set,
	// with the formatted line as its message.
	Logger *slog.Logger
	Level  slog.Level

	// Format is a line format in Python's syntax, such as "%(REMOTE_ADDR)s %(status)s". "combined"
	// is Apache's combined format, which is the default for Output.
	Format string
}

// Validate returns an error that joins an error for each invalid field, or nil.
func (c Config) Validate() error {
	var errs []error
	if c.Output == nil && c.Logger == nil {
		errs = append(errs, errors.New("translogger: no destination: set Output or Logger"))
	}
	if _, err := parseFormat(c.Format); err != nil {
		errs = append(errs, &pipeline.Error{Key: "format", Err: err})
	}
	return errors.Join(errs...)
}

// Register adds the filter to r under "egg:pasteline#translogger" and the names of Paste's filter.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#translogger"
	pipeline.Filter(r, name, build)
	r.Alias("egg:Paste#translogger", name)
	r.Alias("call:paste.translogger:make_filter", name)
}

// settings declares the settings of an .ini section.
type settings struct {
	LoggerName          string `ini:"logger_name" nonempty:"true" default:"wsgi" help:"value of the attribute logger in records of the program's log"`
	Format              string `ini:"format" help:"format of a line, such as %(REMOTE_ADDR)s %(status)s; empty or combined means Apache's combined format"`
	LoggingLevel        level  `ini:"logging_level" default:"INFO" help:"the level of requests: DEBUG, INFO, WARNING, ERROR or CRITICAL"`
	SetLoggerLevel      level  `ini:"set_logger_level" default:"DEBUG" help:"the lowest level at which requests are logged"`
	SetupConsoleHandler bool   `ini:"setup_console_handler" default:"true" help:"write lines to standard error; if false, records to the program's log"`
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	declare(b)
	if s.LoggingLevel < s.SetLoggerLevel {
		b.Warn("set_logger_level", fmt.Sprintf(
			"no request is logged, since logging_level = %v is below this: raise logging_level",
			s.LoggingLevel))
		return func(next http.Handler) http.Handler { return next }, nil
	}
	c := Config{Format: s.Format}
	if s.SetupConsoleHandler {
		c.Output = os.Stderr
	} else {
		c.Logger = b.Logger().With(slog.String("logger", s.LoggerName))
		c.Level = s.LoggingLevel.slog()
	}
	return New(c)
}

// declare declares the order in which this filter and others must stand.
func declare(b *pipeline.Build) {
	const early = "a line is written for each attempt, " +
		"before it is known whether its response is sent; write it in front of that"
	b.Require(
		order.Requirement{Filter: order.Retry, Place: order.NotInFront, Else: early},
		order.Requirement{Filter: order.TM, Place: order.NotInFront, Else: early},
		order.Requirement{
			Filter: order.Prefix, Place: order.NotBehind,
			Else: "its lines contain the address of the proxy instead of the client's; " +
				"write that in front of it",
		},
	)
}

// A level is a log level of Python.
type level int

var levelNames = map[string]level{
	"NOTSET": 0, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30,
	"ERROR": 40, "CRITICAL": 50, "FATAL": 50,
}

// UnmarshalText parses a name or a number.
func (l *level) UnmarshalText(text []byte) error {
	if named, ok := levelNames[strings.ToUpper(strings.TrimSpace(string(text)))]; ok {
		*l = named
		return nil
	}
	n, err := convert.AsInt(string(text))
	if err != nil || n < 0 || n > 1000 {
		return errors.New("want DEBUG, INFO, WARNING, ERROR or CRITICAL")
	}
	*l = level(n)
	return nil
}

func (l level) String() string { return l.slog().String() }

// slog converts the level to the scale of package slog: Python's INFO is 20 and slog's 0; the next
// levels are 30 and 4.
func (l level) slog() slog.Level { return slog.Level((int(l) - 20) * 4 / 10) }
