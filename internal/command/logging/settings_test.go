package logging_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/command/logging"
)

const sections = `
[app:main]
use = egg:myapp
[app:blog]
use = egg:blog
[filter:browserid]
use = egg:repoze.browserid#browserid
[pipeline:site]
pipeline = browserid egg:repoze.retry#retry egg:tm main
[server:main]
use = egg:Paste#http
`

// Every level of [logging], for every section.
func TestLevels(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, settings, want string }{
		{"nothing", "", "=info app:main=info"},
		{"an empty section", "[logging]", "=info app:main=info"},
		{"debug", "[logging]\nlevel = debug", "=debug app:main=debug"},
		{"info", "[logging]\nlevel = info", "=info"},
		{"warn", "[logging]\nlevel = warn", "=warn"},
		{"warning", "[logging]\nlevel = warning", "=warn"},
		{"error", "[logging]\nlevel = error", "=error"},
		{"critical", "[logging]\nlevel = critical", "=error+4"},
		{"upper case", "[logging]\nlevel = DEBUG", "=debug"},
		{"a colon", "[logging]\nlevel: debug", "=debug"},
		{"interpolated", "[DEFAULT]\nx = debug\n[logging]\nlevel = %(x)s", "=debug"},
		{"[DEFAULT] has a level of its own", "[DEFAULT]\nlevel = loud\n[logging]\nformat = text", "=info"},
		{"both have a level", "[DEFAULT]\nlevel = loud\n[logging]\nlevel = warn", "=warn"},
		{"given from outside", "[logging]\nlevel = %(outside)s", "=error"},
		{"one section more", "[logging]\nlevel.browserid = debug", "=info filter:browserid=debug app:main=info"},
		{"one section less", "[logging]\nlevel = debug\nlevel.browserid = error", "=debug filter:browserid=error app:main=debug"},
		{"all of a name", "[logging]\nlevel.main = debug", "server:main=debug app:main=debug app:blog=info"},
		{"one of a name", "[logging]\nlevel.server.main = debug", "server:main=debug app:main=info"},
		{"the exact name wins", "[logging]\nlevel.main = error\nlevel.app.main = debug", "server:main=error app:main=debug"},
		{"inline", "[logging]\nlevel.retry = debug\nlevel.tm = warn", "egg:repoze.retry#retry=debug egg:tm=warn"},
		{"inline by its full name", "[logging]\nlevel.egg.repoze.retry#retry = debug", "egg:repoze.retry#retry=debug"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.settings+sections)
			options := s.options()
			options.Global = map[string]string{"outside": "error"}
			log, err := logging.Open(s.config, options)
			if err != nil {
				t.Fatal(err)
			}
			var probes []string
			for word := range strings.FieldsSeq(tt.want) {
				section, _, _ := strings.Cut(word, "=")
				probes = append(probes, section)
			}
			if got := least(t, log, probes); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := s.stderr.String(); got != "" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A section of an included file may be named, though it is not known whether it is there.
func TestLevelOfIncludedSection(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nlevel.elsewhere = debug\n[app:main]\nuse = config:other.ini\n")
	log := s.open()
	if got, want := least(t, log, []string{"filter:elsewhere", "app:main"}), "filter:elsewhere=debug app:main=info"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The command line has the last word, also over the levels of sections.
func TestLevelFromOutside(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nlevel = warn\nlevel.browserid = info"+sections)
	options := s.options()
	options.Level = new(slog.LevelDebug)
	log, err := logging.Open(s.config, options)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := least(t, log, []string{"", "filter:browserid"}), "=debug filter:browserid=debug"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, settings, want string }{
		{"level", "level = loud", `site.ini:2: [logging] level = "loud": want debug, info, warn or error`},
		{"empty level", "level =", `site.ini:2: [logging] level: empty: want debug, info, warn or error`},
		{"format", "format = xml", `site.ini:2: [logging] format = "xml": want auto, console, text or json`},
		{"empty output", "output =", `site.ini:2: [logging] output: empty; want stderr, stdout or the path of a file`},
		{"output empty by interpolation", "x =\noutput = %(x)s", `site.ini:2: [logging] x: unknown setting; have: format, level, level.NAME, output` + "\n" +
			`site.ini:3: [logging] output: empty; want stderr, stdout or the path of a file`},
		{"unknown", "colour = true", "site.ini:2: [logging] colour: unknown setting; have: format, level, level.NAME, output"},
		{"misspelt", "outputs = stdout", `site.ini:2: [logging] outputs: unknown setting; did you mean "output"?`},
		{"upper case", "Level = info", `site.ini:2: [logging] Level: unknown setting; did you mean "level"?`},
		{"unknown section", "level.browserd = info", `site.ini:2: [logging] level.browserd: no section of that name; did you mean "browserid"?`},
		{"the wrong one of a name", "level.app.mian = info", `site.ini:2: [logging] level.app.mian: no section of that name; did you mean "app.main"?`},
		{"no section", "level.x = info", "site.ini:2: [logging] level.x: no section of that name; have: app.main, blog, browserid, main, retry, server.main, tm"},
		{"no name", "level. = info", "site.ini:2: [logging] level.: no section of that name; have: app.main, blog, browserid, main, retry, server.main, tm"},
		{"a pipeline", "level.site = info", "site.ini:2: [logging] level.site: a pipeline itself logs nothing; name one of its members"},
		{"a section's level", "level.browserid = loud", `site.ini:2: [logging] level.browserid = "loud": want debug, info, warn or error`},
		{"a colon", "level.filter:browserid = info", "site.ini:2: [logging] level.filter: the colon has ended the key; write level.filter.browserid = …"},
		{"interpolation", "level = %(nothing)s", "site.ini:2: [logging] level: %(nothing)s: no setting of that name, here or in [DEFAULT]; write it in [DEFAULT], or give it: serve FILE nothing=…"},
		{"no folder", "output = logs/site.log", `site.ini:2: [logging] output = "logs/site.log": there is no folder logs; make it, or name another file`},
		{"a folder", "output = .", `site.ini:2: [logging] output = ".": can't open the log file: is a directory; want the path of a file that may be written to`},
		{"below a file", "output = site.ini/log", `site.ini:2: [logging] output = "site.ini/log": can't open the log file: not a directory; want the path of a file that may be written to`},
		{"several", "level = loud\nformat = xml\nlevel.browserid = x\ncolour = red", `site.ini:2: [logging] level = "loud": want debug, info, warn or error` + "\n" +
			`site.ini:3: [logging] format = "xml": want auto, console, text or json` + "\n" +
			`site.ini:4: [logging] level.browserid = "x": want debug, info, warn or error` + "\n" +
			"site.ini:5: [logging] colour: unknown setting; have: format, level, level.NAME, output"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[logging]\n"+tt.settings+sections)
			log, err := logging.Open(s.config, s.options())
			if got := s.faults(err); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if log != nil {
				t.Error("got a log, want none")
			}
			if got := s.checked(); got != tt.want {
				t.Errorf("Check: got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestFaultsOfFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "nothing\n")
	if _, err := logging.Open(s.config, s.options()); s.faults(err) != `site.ini:1: the line stands before the first [section]; write [DEFAULT] above it, or the section that it belongs to` {
		t.Errorf("got %v", err)
	}
	if _, err := logging.Open(filepath.Join(s.dir, "other.ini"), s.options()); s.faults(err) != "other.ini: there is no such file" {
		t.Errorf("got %v", err)
	}
}

func TestWithoutFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	log, err := logging.Open("egg:myapp", s.options())
	if err != nil {
		t.Fatal(err)
	}
	log.Logger().Info("hello")
	log.Logger().Debug("unheard")
	if got, want := s.stderr.String(), "level=INFO msg=hello\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, settings              string
		wantFile, stdout, wantStder string
	}{
		{name: "default", wantStder: "level=INFO msg=hello\n"},
		{name: "stderr", settings: "output = stderr", wantStder: "level=INFO msg=hello\n"},
		{name: "stdout", settings: "output = stdout", stdout: "level=INFO msg=hello\n"},
		{name: "in upper case", settings: "output = STDOUT", stdout: "level=INFO msg=hello\n"},
		{name: "JSON", settings: "format = json", wantStder: `{"level":"INFO","msg":"hello"}` + "\n"},
		{name: "a file", settings: "output = site.log", wantFile: "before\nlevel=INFO msg=hello\n"},
		{name: "a file, absolute", settings: "output = %(here)s/site.log\nformat = json", wantFile: "before\n" + `{"level":"INFO","msg":"hello"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[logging]\n"+tt.settings)
			name := filepath.Join(s.dir, "site.log")
			if tt.wantFile != "" {
				if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			log := s.open()
			log.Logger().Info("hello")
			if diff := gocmp.Diff(tt.wantStder, s.stderr.String()); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.stdout, s.stdout.String()); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if tt.wantFile != "" {
				if diff := gocmp.Diff(tt.wantFile, s.file("site.log")); diff != "" {
					t.Errorf("file (-want +got):\n%s", diff)
				}
			} else if _, err := os.Stat(name); err == nil {
				t.Error("a file was made")
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, s := range logging.Settings() {
		keys = append(keys, s.Key+"="+s.Default)
		if s.Help == "" {
			t.Errorf("%s: no help", s.Key)
		}
	}
	if diff := gocmp.Diff([]string{"level=info", "format=auto", "output=stderr", "level.NAME="}, keys); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
