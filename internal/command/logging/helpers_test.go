package logging_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/internal/command/logging"
)

// A buffer takes what several goroutines write.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

var timestamp = regexp.MustCompile(`(?m)^time=\S+ |"time":"[^"]*",`)

// String returns the lines without their time.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return timestamp.ReplaceAllString(b.text.String(), "")
}

// A site is an .ini file in a folder of its own, and what has been logged to the standard streams.
type site struct {
	t              *testing.T
	dir, config    string
	global         map[string]string
	stdout, stderr buffer
}

func newSite(t *testing.T, text string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, dir: dir, config: filepath.Join(dir, "site.ini")}
	s.write(text)
	return s
}

func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) options() logging.Options {
	return logging.Options{Global: s.global, Stdout: &s.stdout, Stderr: &s.stderr}
}

func (s *site) open() *logging.Log {
	s.t.Helper()
	log, err := logging.Open(s.config, s.options())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = log.Close() })
	return log
}

// file returns what is in a file of the site's folder, without times.
func (s *site) file(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return timestamp.ReplaceAllString(string(text), "")
}

// faults returns an error's text, with the site's folder left out.
func (s *site) faults(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(strings.ReplaceAll(err.Error(), s.dir+string(filepath.Separator), ""), s.dir, "DIR")
}

// checked returns the faults that Check finds.
func (s *site) checked() string {
	_, err := logging.Check(s.config, s.options())
	return s.faults(err)
}

// of returns the logger that the loader gives the factory of a section.
func of(log *logging.Log, section string) *slog.Logger {
	if section == "" {
		return log.Logger()
	}
	return log.Logger().With(slog.String("section", section))
}

// least returns the lowest level that is logged for each of the sections, in words.
func least(t *testing.T, log *logging.Log, sections []string) string {
	t.Helper()
	var b strings.Builder
	for _, section := range sections {
		name, logger := "nothing", of(log, section)
		for _, level := range []slog.Level{-100, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4} {
			if logger.Enabled(t.Context(), level) {
				name = strings.ToLower(level.String())
				if level == -100 {
					name = "everything"
				}
				break
			}
		}
		b.WriteString(section + "=" + name + " ")
	}
	return strings.TrimSpace(b.String())
}
