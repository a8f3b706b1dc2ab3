package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline"
)

// The logger that a factory gets is known by its section: this is what the loader and this package have agreed on.
func TestLoggerOfFactory(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nlevel.loud = debug\n[pipeline:main]\npipeline = loud quiet egg:inline app\n[filter:loud]\nuse = egg:f\n[filter:quiet]\nuse = egg:f\n"+
		"[app:app]\nuse = egg:a\n")
	log := s.open()
	r := pipeline.NewRegistry()
	filter := func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
		b.Logger().Debug("made")
		return func(next http.Handler) http.Handler { return next }, nil
	}
	pipeline.Filter(r, "egg:f", filter)
	pipeline.Filter(r, "egg:inline", filter)
	pipeline.App(r, "egg:a", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.Warn("", "odd")
		return http.NotFoundHandler(), nil
	})
	p, err := pipeline.Load(t.Context(), s.config, pipeline.Options{Registry: r, Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := "level=DEBUG msg=made section=filter:loud\n" +
		`level=WARN msg="check the configuration" warning="site.ini:9: [app:app]: odd"` + "\n"
	if got := strings.ReplaceAll(s.stderr.String(), s.dir+string(filepath.Separator), ""); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nformat = json\noutput = log")
	name := filepath.Join(s.dir, "log")
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		t.Helper()
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return s.open().Logger().Handler()
	}, func(t *testing.T) map[string]any {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return line
	})
}

// What everybody holds follows a reload: the level, the format, the place.
func TestReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[app:a]\n")
	s.global = map[string]string{"least": "error"}
	log := s.open()
	logger := of(log, "app:a").WithGroup("g").With(slog.Int("k", 1))
	logger.Debug("unheard")
	logger.Info("one")
	s.write("[logging]\nformat = json\noutput = stdout\nlevel.a = debug\n[app:a]\n")
	if err := log.Reload(); err != nil {
		t.Fatal(err)
	}
	logger.Debug("two")
	log.Logger().Debug("unheard")
	s.write("[app:a]\n[logging]\nlevel = %(least)s\n")
	if err := log.Reload(); err != nil {
		t.Fatal(err)
	}
	logger.Info("unheard")
	logger.Error("three")
	if got, want := s.stdout.String(), `{"level":"DEBUG","msg":"two","section":"app:a","g":{"k":1}}`+"\n"; got != want {
		t.Errorf("stdout: got %s, want %s", got, want)
	}
	want := "level=INFO msg=one section=app:a g.k=1\nlevel=ERROR msg=three section=app:a g.k=1\n"
	if diff := gocmp.Diff(want, s.stderr.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

func TestReloadOfFaultyFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nlevel = debug\noutput = log")
	log := s.open()
	for _, text := range []string{"nothing", "[logging]\nlevel = loud", "[logging]\noutput = no/folder", "[logging]\nlevel.x = info"} {
		s.write(text)
		if err := log.Reload(); err == nil {
			t.Errorf("%s: no error", text)
		}
		log.Logger().Debug("still there")
	}
	if got, want := s.file("log"), strings.Repeat("level=DEBUG msg=\"still there\"\n", 4); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Rotation: the file is renamed, and a reload begins a new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	s := newSite(t, "[logging]\noutput = log")
	log := s.open()
	logger := of(log, "app:a")
	logger.Info("one")
	if err := os.Rename(filepath.Join(s.dir, "log"), filepath.Join(s.dir, "log.1")); err != nil {
		t.Fatal(err)
	}
	logger.Info("two")
	if err := log.Reload(); err != nil {
		t.Fatal(err)
	}
	logger.Info("three")
	if got, want := s.file("log.1"), "level=INFO msg=one section=app:a\nlevel=INFO msg=two section=app:a\n"; got != want {
		t.Errorf("log.1: got %s, want %s", got, want)
	}
	if got, want := s.file("log"), "level=INFO msg=three section=app:a\n"; got != want {
		t.Errorf("log: got %s, want %s", got, want)
	}
	info, err := os.Stat(filepath.Join(s.dir, "log"))
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("got %v %v, want a file that others can't read", info.Mode(), err)
	}
}

// A rotation needs no file that can be read: the files are opened anew as they were, and the standard streams stay.
func TestReopen(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	s := newSite(t, `[loggers]
keys = root
[handlers]
keys = a, b, c, console
[formatters]
keys =
[logger_root]
level = INFO
handlers = a, b, c, console
[handler_a]
class = FileHandler
args = ('%(here)s/shared',)
[handler_b]
class = FileHandler
args = ('%(here)s/shared',)
[handler_c]
class = FileHandler
args = ('%(here)s/folder/log',)
[handler_console]
class = StreamHandler
args = (sys.stderr,)
`)
	in := func(name string) string { return filepath.Join(s.dir, name) }
	if err := os.Mkdir(in("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	log := s.open()
	log.Logger().Info("one")
	s.write("[logging]\nlevel = loud") // and so on
	if err := errors.Join(os.Rename(in("shared"), in("shared.1")), os.Rename(in("folder"), in("gone"))); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(); err == nil || !strings.Contains(s.faults(err), "there is no folder") {
		t.Errorf("got %v, want a fault: one of the folders is gone", err)
	}
	log.Logger().Info("two")
	for name, want := range map[string]string{"shared.1": "one one", "shared": "two two", "gone/log": "one two"} {
		var got []string
		for line := range strings.Lines(s.file(name)) {
			got = append(got, strings.TrimSpace(strings.TrimPrefix(line, "level=INFO msg=")))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %s", name, got, want)
		}
	}
	if got := strings.Count(s.stderr.String(), "level=INFO"); got != 2 {
		t.Errorf("stderr: got %d lines, want 2", got)
	}
}

// While many log, the file is rotated, and the place and the format change: every line is there, whole, once.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	const writers, lines, reloads = 8, 300, 60
	plans := []string{
		"[logging]\noutput = log\n",
		"[logging]\noutput = log\nlevel.a = debug\n[app:a]\n",
		"[logging]\noutput = other\n",
		"[logging]\noutput = stdout\nlevel = warn\n",
		"[loggers]\nkeys = root\n[handlers]\nkeys = f, e\n[logger_root]\nhandlers = f\n[handler_f]\nclass = FileHandler\nargs = ('%(here)s/log',)\n",
	}
	s := newSite(t, plans[0])
	log := s.open()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			logger := of(log, "app:a")
			for i := range lines {
				logger.With(slog.Int("writer", w)).Error("line", slog.Int("n", i))
				logger.Debug("perhaps")
			}
		})
	}
	for i := range reloads {
		s.write(plans[i%len(plans)])
		if i%3 == 0 {
			_ = os.Rename(filepath.Join(s.dir, "log"), filepath.Join(s.dir, fmt.Sprintf("log.%d", i))) // it may be stdout's turn
		}
		if err := log.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	text := s.stdout.String() + s.stderr.String()
	names, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name != s.config {
			text += s.file(filepath.Base(name))
		}
	}
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		seen[line]++
	}
	for w := range writers {
		for i := range lines {
			line := fmt.Sprintf("level=ERROR msg=line section=app:a writer=%d n=%d\n", w, i)
			if seen[line] != 1 {
				t.Fatalf("got %d times, want once: %s", seen[line], line)
			}
		}
	}
}

// Two handlers of one file, and of one stream, share it.
func TestSharedFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[loggers]\nkeys = root\n[handlers]\nkeys = a, b\n[formatters]\nkeys = j\n[logger_root]\nhandlers = a, b\n"+
		"[handler_a]\nclass = FileHandler\nargs = ('%(here)s/log',)\n[handler_b]\nclass = FileHandler\nargs = ('%(here)s/log',)\nformatter = j\n[formatter_j]\nclass = json")
	log := s.open()
	log.Logger().Error("hello")
	want := "level=ERROR msg=hello\n" + `{"level":"ERROR","msg":"hello"}` + "\n"
	if got := s.file("log"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// What is logged when the log has been closed is not lost.
func TestClose(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\noutput = log")
	log := s.open()
	log.Logger().Info("one")
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log.Logger().Info("two")
	if got, want := s.file("log"), "level=INFO msg=one\n"; got != want {
		t.Errorf("file: got %s, want %s", got, want)
	}
	if got, want := s.stderr.String(), "level=INFO msg=two\n"; got != want {
		t.Errorf("stderr: got %s, want %s", got, want)
	}
}

// A full disk loses no line either.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skipf("there is no %s", full)
	}
	s := newSite(t, "[logging]\noutput = "+full)
	synctest.Test(t, func(t *testing.T) {
		log := s.open().Logger()
		log.Info("hello")
		log.Info("hello")
		synctest.Wait()
	})
	const hello = "level=INFO msg=hello\n"
	note := `level=ERROR msg="can't write to a log file, its lines go to the standard error" error="write /dev/full: no space left on device"` + "\n"
	if got := s.stderr.String(); len(got) != len(hello+hello+note) || strings.Count(got, hello) != 2 || !strings.Contains(got, note) {
		t.Errorf("got %s\nwant both lines, and one note", got)
	}
}

func TestCheckMakesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\noutput = log")
	if _, err := logging.Check(s.config, s.options()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "log")); err == nil {
		t.Error("the file was made")
	}
	s.open().Logger().Info("hello")
	if _, err := logging.Check(s.config, s.options()); err != nil {
		t.Error(err)
	}
	if got, want := s.file("log"), "level=INFO msg=hello\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNoStreams(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	log, err := logging.Open(s.config, logging.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log.Logger().Error("nobody hears")
}

// A value that logs while it is written must not wait for itself.
func TestValueThatLogs(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	log := s.open()
	log.Logger().Info("outer", slog.Any("value", talkative{log.Logger()}))
	if got, want := s.stderr.String(), "level=INFO msg=inner\nlevel=INFO msg=outer value=x\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

type talkative struct{ logger *slog.Logger }

func (v talkative) LogValue() slog.Value {
	v.logger.Info("inner")
	return slog.StringValue("x")
}

// What is not logged costs no allocation.
func TestDisabledIsCheap(t *testing.T) {
	s := newSite(t, "[logging]\nlevel.a = warn\n[app:a]\n")
	logger := of(s.open(), "app:a")
	ctx := t.Context()
	got := testing.AllocsPerRun(100, func() {
		logger.LogAttrs(ctx, slog.LevelInfo, "unheard", slog.String("key", "value"), slog.Int("n", 1))
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func Benchmark(b *testing.B) {
	for _, bench := range []struct {
		name  string
		level slog.Level
	}{{"disabled", slog.LevelDebug}, {"enabled", slog.LevelInfo}} {
		config := filepath.Join(b.TempDir(), "site.ini")
		if err := os.WriteFile(config, []byte("[app:a]\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		log, err := logging.Open(config, logging.Options{})
		if err != nil {
			b.Fatal(err)
		}
		var buf bytes.Buffer
		for _, l := range []struct {
			name   string
			logger *slog.Logger
		}{
			{"slog", slog.New(slog.NewTextHandler(discard{&buf}, nil)).With(slog.String("section", "app:a"))},
			{"log", log.Logger().With(slog.String("section", "app:a"))},
		} {
			b.Run(bench.name+"/"+l.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					l.logger.LogAttrs(b.Context(), bench.level, "hello", slog.String("key", "value"))
				}
			})
		}
	}
}

// discard is a writer that slog does not know to be io.Discard.
type discard struct{ *bytes.Buffer }

func (discard) Write(p []byte) (int, error) { return len(p), nil }
