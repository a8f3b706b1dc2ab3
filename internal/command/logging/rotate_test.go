package logging_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/command/logging"
)

// files returns what is in the files of a folder, but for the .ini, without times.
func (s *site) files() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() && entry.Name() != "site.ini" {
			all[entry.Name()] = s.file(entry.Name())
		}
	}
	return all
}

// lines returns lines with these messages, as they are logged.
func lines(messages ...string) string {
	var b strings.Builder
	for _, message := range messages {
		fmt.Fprintf(&b, "level=ERROR msg=%s\n", message)
	}
	return b.String()
}

// rotated is an .ini with one handler of the class, which is the root's.
func rotated(class, args string) string {
	return "[loggers]\nkeys = root\n[handlers]\nkeys = f\n[logger_root]\nhandlers = f\n[handler_f]\nclass = handlers." + class + "\nargs = " + args + "\n"
}

func readGolden[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// When a file is due, and how it is called then, is recorded from Python 3.13's TimedRotatingFileHandler in four time zones, about
// the hours that are put forward and back among others.
func TestTimesOfRotation(t *testing.T) {
	t.Parallel()
	golden := readGolden[struct {
		Zone, When, At, Backup  string
		Interval                int
		UTC                     bool
		Written, Due, Now, Then int64
	}](t, "rotation-by-time.json")
	for _, g := range golden {
		zone := g.Zone
		if g.UTC {
			zone = "UTC"
		}
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		seconds := -1
		if g.At != "" {
			seconds = 3*3600 + 15*60
		}
		s, err := logging.NewSchedule(g.When, g.Interval, seconds, location)
		if err != nil {
			t.Fatal(err)
		}
		due, then := s.Next(time.Unix(g.Written, 0)), s.Next(time.Unix(g.Now, 0))
		if got := s.Suffix(due, time.Unix(g.Now, 0)); due.Unix() != g.Due || "x.log."+got != g.Backup || then.Unix() != g.Then {
			t.Errorf("%+v\nwritten %v: got %v, want %v; got %s; then got %v, want %v", g,
				time.Unix(g.Written, 0).In(location), due, time.Unix(g.Due, 0).In(location), got, then, time.Unix(g.Then, 0).In(location))
		}
	}
	if len(golden) < 400 {
		t.Errorf("only %d recorded", len(golden))
	}
}

// What RotatingFileHandler of Python 3.13 leaves of 40 logs, with restarts, is what is left here.
func TestFilesOfRotation(t *testing.T) {
	t.Parallel()
	for i, g := range readGolden[struct {
		MaxBytes      int64
		BackupCount   int
		Before, After map[string]string
		Lines         []string
		Restarts      []int
	}](t, "rotation-by-size.json") {
		s := newSite(t, "")
		for name, text := range g.Before {
			if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if g.MaxBytes == 0 || g.BackupCount == 0 {
			continue // never rotated, which is said: see TestRotationFaults
		}
		open := func() interface {
			Write(line []byte) (int, error)
			Close() error
		} {
			f, err := logging.OpenRotated(filepath.Join(s.dir, "x.log"), g.MaxBytes, g.BackupCount)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		f := open()
		for n, line := range g.Lines {
			if slices.Contains(g.Restarts, n) {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				f = open()
			}
			if _, err := f.Write([]byte(line)); err != nil {
				t.Error(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if diff := gocmp.Diff(g.After, s.files()); diff != "" {
			t.Errorf("%d: maxBytes %d, backupCount %d (-want +got):\n%s", i, g.MaxBytes, g.BackupCount, diff)
		}
	}
}

// A log of some days: one file for each, as many as are to be kept, compressed ones included, and nothing else is removed. The
// server is restarted in the middle, and once it was down for days.
func TestRotationByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // begins on 2000-01-01, at midnight, UTC
		s := newSite(t, rotated("TimedRotatingFileHandler", "('%(here)s/x.log', 'midnight', 1, 3, None, False, True)"))
		write := func(name string) {
			if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"x.log.1999-12-20", "x.log.1999-12-30.gz", "x.log.1999-12", "x.log.1", "y.log.1999-12-20", "x.log.1999-12-20.old.gz"} {
			write(name)
		}
		log := s.open()
		log.Logger().Error("one")
		time.Sleep(23 * time.Hour)
		log.Logger().Error("two")
		time.Sleep(time.Hour)
		log.Logger().Error("three") // at midnight
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		last := time.Now()
		time.Sleep(60 * time.Hour)
		if err := os.Chtimes(filepath.Join(s.dir, "x.log"), last, last); err != nil {
			t.Fatal(err)
		}
		log = s.open()
		log.Logger().Error("four")
		time.Sleep(24 * time.Hour)
		log.Logger().Error("five")
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		want := map[string]string{
			"x.log.1999-12": "", "x.log.1": "", "y.log.1999-12-20": "", "x.log.1999-12-20.old.gz": "",
			"x.log.2000-01-01": lines("one", "two"), "x.log.2000-01-02": lines("three"), "x.log.2000-01-04": lines("four"), "x.log": lines("five"),
		}
		if diff := gocmp.Diff(want, s.files()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A backup is never written over: when the name is taken, the file goes on until the next time.
func TestTakenNameOfBackup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, rotated("TimedRotatingFileHandler", "('%(here)s/x.log',)\nkwargs = {'utc': True}"))
		if err := os.WriteFile(filepath.Join(s.dir, "x.log.2000-01-01_00"), []byte("kept\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		log := s.open()
		for _, message := range []string{"one", "two", "three"} {
			log.Logger().Error(message) //nolint:sloglint // one of three
			time.Sleep(time.Hour)
		}
		want := map[string]string{"x.log.2000-01-01_00": "kept\n", "x.log.2000-01-01_01": lines("one", "two"), "x.log": lines("three")}
		if diff := gocmp.Diff(want, s.files()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// What can't be rotated is said once, and written on; when it can again, it is.
func TestFailedRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, strings.ReplaceAll(rotated("RotatingFileHandler", "('%(here)s/x.log', 'a', 60, 1)"), "= f\n", "= f, e\n")+
			"[handler_e]\nclass = StreamHandler\n")
		if err := os.MkdirAll(filepath.Join(s.dir, "x.log.1", "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		log := s.open()
		for range 5 {
			log.Logger().Error("hello")
			synctest.Wait()
		}
		if got := strings.Count(s.file("x.log"), "msg=hello"); got != 5 {
			t.Errorf("got %d lines, want 5:\n%s", got, s.file("x.log"))
		}
		if got := strings.Count(s.stderr.String(), "can't put a log file aside"); got != 1 {
			t.Errorf("got %d notes, want 1:\n%s", got, s.stderr.String())
		}
		if err := os.RemoveAll(filepath.Join(s.dir, "x.log.1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		log.Logger().Error("again")
		if got := s.file("x.log"); got != lines("again") {
			t.Errorf("got %s, want a new file", got)
		}
	})
}

// Rotated by one of two handlers, a file is rotated for both.
func TestRotationOfSharedFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[loggers]\nkeys = root, a\n[handlers]\nkeys = f, g, h\n[logger_root]\nhandlers = f\n[logger_a]\nqualname = a\nhandlers = g, h\npropagate = 0\n"+
		"[handler_f]\nclass = FileHandler\nargs = ('%(here)s/x.log',)\n[handler_g]\nclass = handlers.RotatingFileHandler\nargs = ('%(here)s/./x.log', 'a', 50, 1)\n"+
		"[handler_h]\nclass = handlers.RotatingFileHandler\nargs = ('%(here)s/x.log', 'a', 5000, 7)\nlevel = CRITICAL\n[app:a]\n")
	log := s.open()
	if got := s.file("x.log"); !strings.Contains(got, "site.ini:19: [handler_h] args: the file is also that of [handler_g], and rotated as that says") {
		t.Errorf("got %s, want the note", got)
	}
	for range 3 {
		log.Logger().Error("hello")
		log.Logger().With(slog.String("logger", "a")).Error("hello")
	}
	want := map[string]string{"x.log": "level=ERROR msg=hello logger=a\n", "x.log.1": lines("hello")}
	if diff := gocmp.Diff(want, s.files()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// While many log, files are rotated by size, renamed from outside, opened again and reloaded: every line is there, once.
func TestRotationLosesNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	const writers, each = 8, 300
	s := newSite(t, rotated("RotatingFileHandler", "('%(here)s/x.log', 'a', 2000, 1000)"))
	log := s.open()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				log.Logger().Error("line", slog.Int("writer", w), slog.Int("n", i))
			}
		})
	}
	for i := range 60 {
		_ = os.Rename(filepath.Join(s.dir, "x.log"), filepath.Join(s.dir, fmt.Sprintf("moved.%d", i))) // it may just be gone
		reopen := log.Reopen
		if i%2 == 0 {
			reopen = func() error { return log.Reload() }
		}
		if err := reopen(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	seen := map[string]int{}
	count := 0
	for _, text := range s.files() {
		count++
		for line := range strings.Lines(text) {
			seen[line]++
		}
	}
	for w := range writers {
		for i := range each {
			if line := fmt.Sprintf("level=ERROR msg=line writer=%d n=%d\n", w, i); seen[line] != 1 {
				t.Fatalf("got %d times, want once: %s", seen[line], line)
			}
		}
	}
	if count < 20 {
		t.Errorf("got %d files, want many", count)
	}
}

// Two programs that rotate one file take it as they find it.
func TestRotationByTwoPrograms(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	s := newSite(t, rotated("RotatingFileHandler", "('%(here)s/x.log', 'a', 120, 9)"))
	one, two := s.open(), s.open()
	for range 3 {
		one.Logger().Error("hello")
		two.Logger().Error("hello")
	}
	want := map[string]string{}
	for _, name := range []string{"x.log", "x.log.1", "x.log.2"} {
		want[name] = lines("hello", "hello")
	}
	if diff := gocmp.Diff(want, s.files()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWatchedFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	s := newSite(t, rotated("WatchedFileHandler", "('%(here)s/x.log',)"))
	log := s.open()
	log.Logger().Error("one")
	if err := os.Rename(filepath.Join(s.dir, "x.log"), filepath.Join(s.dir, "moved")); err != nil {
		t.Fatal(err)
	}
	log.Logger().Error("two")
	if err := os.Remove(filepath.Join(s.dir, "x.log")); err != nil {
		t.Fatal(err)
	}
	log.Logger().Error("three")
	if diff := gocmp.Diff(map[string]string{"moved": lines("one"), "x.log": lines("three")}, s.files()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What would not rotate is a warning, also of check.
func TestRotationFaults(t *testing.T) {
	t.Parallel()
	const never = "the file is not rotated, as in Python, and grows: both maxBytes and backupCount must be above 0"
	tests := []struct{ class, args, want string }{
		{"RotatingFileHandler", "('x.log',)", never},
		{"RotatingFileHandler", "('x.log', 'a', 1000)", never},
		{"RotatingFileHandler", "('x.log', 'a', 0, 5)", never},
		{"RotatingFileHandler", "('x.log', 'a', '1 MB', 5)", "the file is not rotated: maxBytes is no number that is known here"},
		{"RotatingFileHandler", "('x.log', 'a', size, 5)", "the file is not rotated: maxBytes is no number that is known here"},
		{"RotatingFileHandler", "('x.log', 'a', 10 ** 999, 5)", "the file is not rotated: maxBytes is no number that is known here"},
		{"RotatingFileHandler", "('x.log', 'a', 10 * '5', 5)", `not used: "*" stands between what are not two numbers; write the values themselves, such as ('%(here)s/site.log', 'a')`},
		{"TimedRotatingFileHandler", "('x.log', 'noon')", `the file is not rotated: "noon" is no time to rotate at: want S, M, H, D, midnight or W0 to W6`},
		{"TimedRotatingFileHandler", "('x.log', 'W7')", `the file is not rotated: "W7" is no time to rotate at: want S, M, H, D, midnight or W0 to W6`},
		{"TimedRotatingFileHandler", "('x.log', 'D', 0)", "the file is not rotated: 0 is no interval to rotate at: want 1 or a few more"},
		{"TimedRotatingFileHandler", "('x.log', 'W0', 99999999)", "the file is not rotated: 99999999 is no interval to rotate at: want 1 or a few more"},
		{"TimedRotatingFileHandler", "('x.log', 'midnight', 1, 3, None, False, False, 3)", "the file is not rotated: atTime is no datetime.time(hour, minute)"},
		{"TimedRotatingFileHandler", "('x.log', 'midnight', 1, 3, None, False, False, datetime.time(25))", "the file is not rotated: atTime has no hour from 0 to 23"},
		{"TimedRotatingFileHandler", "('x.log', 'midnight', 1, 3, None, False, False, datetime.time(3, minute=30))", ""},
		{"TimedRotatingFileHandler", "('x.log',)", ""},
		{"RotatingFileHandler", "('x.log', 'a', 10e6, 5)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.class+tt.args, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, rotated(tt.class, strings.Replace(tt.args, "'x.log'", "'%(here)s/x.log'", 1)))
			warnings, err := logging.Check(s.config, s.options())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range warnings {
				got = append(got, s.faults(errors.New(w.String())))
			}
			want := "site.ini:9: [handler_f] args: " + tt.want
			if tt.want == "" {
				want = ""
			}
			if strings.Join(got, "\n") != want {
				t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), want)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want string // "" for an error
	}{
		{"", "[]"},
		{"()", "[]"},
		{"(1)", "1"},
		{"(1,)", "[1]"},
		{"1, 2", "[1 2]"},
		{"[1, 2,]", "[1 2]"},
		{"'a' \"b\"", "ab"},
		{"'''a'b'''", "a'b"},
		{`r'c:\new'`, `c:\new`},
		{`'c:\\new'`, `c:\new`},
		{`'it\'s'`, "it's"},
		{"{'a': 1, 'b': None}", "map[a:1 b:<nil>]"},
		{"dict(a=True)", "map[a:true]"},
		{"10*1024**2", "1.048576e+07"},
		{"1 << 20", "1.048576e+06"},
		{"2 + 3 * 4 - 1", "13"},
		{"7 // 2", "3"},
		{"7 / 2", "3.5"},
		{"-7 % 3", "2"},
		{"-2 ** 2", "-4"},
		{"0x10", "16"},
		{"1_000", "1000"},
		{"1e3", "1000"},
		{".5", "0.5"},
		{"10L", "10"},
		{"sys.stderr", "sys.stderr"},
		{"f(1, x=2)", "{f [1] map[x:2]}"},
		{"os.path.join('/a', 'b', '/c', 'd')", "/c/d"},
		{"(\n 1,\n 2)", "[1 2]"},
		{"(", ""},
		{")", ""},
		{"'a", ""},
		{"1 +", ""},
		{"{1: 2}", ""},
		{"{'a'}", ""},
		{"a b", ""},
		{"'a' * 3", ""},
		{"[1 2]", ""},
		{"1x", ""},
		{"lambda: 0", ""},
		{strings.Repeat("(", 100000), ""},
		{strings.Repeat("-", 100000), ""},
		{strings.Repeat("[", 10) + strings.Repeat("]", 10), "[[[[[[[[[[]]]]]]]]]]"},
	}
	for _, tt := range tests {
		got, err := logging.Evaluate(tt.text)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("%.40s: got %v, want an error", tt.text, got)
		case tt.want != "" && (err != nil || fmt.Sprint(got) != tt.want):
			t.Errorf("%.40s: got %v, %v, want %s", tt.text, got, err, tt.want)
		}
	}
}
