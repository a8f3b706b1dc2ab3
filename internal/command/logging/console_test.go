package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/internal/testing/ptytest"
)

// clock is the time of day in front of a line on a terminal.
var clock = regexp.MustCompile(`(?m)^(\x1b\[2m)?\d\d:\d\d:\d\d\.\d\d\d(\x1b\[0m)? `)

// onTerminal logs to a terminal as a file says, and returns what it shows.
func onTerminal(t *testing.T, ini string, write func(*slog.Logger)) string {
	t.Helper()
	screen, terminal := ptytest.Open(t)
	config := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(config, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := logging.Open(config, logging.Options{Stdout: terminal, Stderr: terminal})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write(log.Logger())
	log.Logger().Error("end of the test")
	shown := screen.Wait(t, "end of the test")
	shown, _, _ = strings.Cut(shown, "end of the test")
	shown = shown[:strings.LastIndex(shown, "\n")+1]
	return strings.ReplaceAll(clock.ReplaceAllString(shown, ""), "\r\n", "\n")
}

func logOne(l *slog.Logger) {
	l.With(slog.String("section", "app:x")).Info("saved", slog.String("key", "a b"),
		slog.Group("g", slog.Int("n", 1)))
}

func TestConsole(t *testing.T) { //nolint:paralleltest // it sets the environment
	const (
		colored = "\x1b[32mINFO \x1b[0m saved \x1b[2msection=app:x key=\"a b\" g.n=1\x1b[0m\n"
		console = "INFO  saved section=app:x key=\"a b\" g.n=1\n"
	)
	for _, tt := range []struct{ name, ini, noColor, term, want string }{
		{"no section", "[app:x]\n", "", "xterm", colored},
		{"auto", "[logging]\nformat = auto\n", "", "xterm", colored},
		{"stdout", "[logging]\noutput = stdout\n", "", "xterm", colored},
		{"NO_COLOR", "", "1", "xterm", console},
		{"dumb", "", "", "dumb", console},
		{"console", "[logging]\nformat = console\n", "1", "xterm", console},
		{"text", "[logging]\nformat = text\n", "", "xterm", "level=INFO msg=saved section=app:x"},
		{"json", "[logging]\nformat = json\n", "", "xterm", `"level":"INFO","msg":"saved"`},
		{
			"Python's sections", "[loggers]\nkeys = root\n[handlers]\nkeys = c\n[formatters]\n" +
				"keys = g\n[logger_root]\nlevel = INFO\nhandlers = c\n[handler_c]\n" +
				"class = StreamHandler\nargs = (sys.stderr,)\nformatter = g\n[formatter_g]\n" +
				"format = %(message)s\n", "", "xterm", colored,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColor)
			t.Setenv("TERM", tt.term)
			got := onTerminal(t, tt.ini, logOne)
			if isLine := strings.HasSuffix(tt.want, "\n"); isLine && got != tt.want ||
				!strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Elsewhere nothing changes, and console has no colours.
func TestConsoleElsewhere(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"auto":    "level=INFO msg=saved section=app:x key=\"a b\" g.n=1\n",
		"text":    "level=INFO msg=saved section=app:x key=\"a b\" g.n=1\n",
		"console": "INFO  saved section=app:x key=\"a b\" g.n=1\n",
	} {
		s := newSite(t, "[logging]\nformat = "+format+"\n[app:x]\n")
		logOne(s.open().Logger())
		if got := clock.ReplaceAllString(s.stderr.String(), ""); got != want {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
}

func TestConsoleStack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nformat = console\n")
	s.open().Logger().Error("panic", slog.Any("panic", errors.New("boom")),
		slog.String("path", "/x"), slog.String("stack", "goroutine 1:\nmain.f()\n\t/x.go:3\n\x1b[2J\n"))
	want := "ERROR panic panic=boom path=/x\n    goroutine 1:\n    main.f()\n        /x.go:3\n" +
		"    \\x1b[2J\n"
	if got := clock.ReplaceAllString(s.stderr.String(), ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// controls are texts that would control a terminal.
var controls = []string{
	"\x1b]0;title\a", "a\r\nlevel=ERROR msg=forged", "\x9b2J", "\u009b2J", "\u202eevil", "\x7f\b\b",
	"\u2028", "\x00", "tab\there",
}

// No text of a request reaches a terminal as it is, wherever it stands in a record.
func TestConsoleEscapes(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"console", "auto"} {
		for _, text := range controls {
			got := onTerminal(t, "[logging]\nformat = "+format+"\n", func(l *slog.Logger) {
				//nolint:sloglint // as a careless app could
				l.Warn(text, slog.String("value", text), slog.String(text, "key"),
					slog.Group(text, slog.String("a", text)), slog.Any("error", errors.New(text)),
					slog.String("stack", text), slog.Any("any", []string{text}))
				l.With(slog.String("w", text)).WithGroup(text).Warn("in a group",
					slog.String("b", text))
			})
			for _, code := range []string{
				"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\n",
			} {
				got = strings.ReplaceAll(got, code, "")
			}
			if i := strings.IndexFunc(got, func(r rune) bool {
				return !unicode.IsPrint(r) || r == unicode.ReplacementChar
			}); i >= 0 {
				t.Errorf("%s: %q has %q", format, got, got[i:min(i+8, len(got))])
			}
			if strings.HasPrefix(got, "level=ERROR") {
				t.Errorf("%s: a forged line in %q", format, got)
			}
		}
	}
}

// Each fact of a line of text is in a line on the console.
func TestConsoleKeepsFacts(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nformat = console\n")
	l := s.open().Logger()
	l.Warn("m", slog.String("level", "x"), slog.String("msg", "y"), slog.String("time", "z"),
		slog.Int("stack", 7), slog.String("empty", ""))
	want := "WARN  m level=x msg=y time=z stack=7 empty=\"\"\n"
	if got := clock.ReplaceAllString(s.stderr.String(), ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The format json stays one JSON object a line, also on a terminal.
func TestJSONOnTerminal(t *testing.T) {
	t.Parallel()
	got := onTerminal(t, "[logging]\nformat = json\n", logOne)
	for line := range bytes.Lines([]byte(got)) {
		var v map[string]any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Errorf("%v in %q", err, line)
		}
	}
}
