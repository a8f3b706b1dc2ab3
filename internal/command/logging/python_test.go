package logging_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/transaction"
)

// What the scaffolds of Pyramid write.
const pyramid = `
[app:main]
use = egg:myproject
[filter:browserid]
use = egg:repoze.browserid#browserid
[pipeline:site]
pipeline = browserid egg:repoze.retry#retry main
[server:main]
use = egg:waitress#main

[loggers]
keys = root, myproject, sqlalchemy

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = INFO
handlers = console

[logger_myproject]
level = DEBUG
handlers =
qualname = myproject

[logger_sqlalchemy]
level = WARN
handlers =
qualname = sqlalchemy.engine
# "level = INFO" logs SQL queries.
# "level = DEBUG" logs SQL queries and results.

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic

[formatter_generic]
format = %(asctime)s %(levelname)-5.5s [%(name)s:%(lineno)s][%(threadName)s] %(message)s
`

func TestPyramid(t *testing.T) {
	t.Parallel()
	s := newSite(t, pyramid)
	log := s.open()
	if got, want := least(t, log, []string{"", "app:main", "filter:browserid", "server:main"}),
		"=info app:main=debug filter:browserid=info server:main=info"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	of(log, "app:main").Debug("hello")
	if got, want := s.stderr.String(), "level=DEBUG msg=hello section=app:main\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := logging.Check(s.config, s.options()); err != nil {
		t.Error(err)
	}
}

// Which level is whose: qualname, the way up to the root, and Python's defaults.
func TestPythonLevels(t *testing.T) {
	t.Parallel()
	const apps = "[app:main]\nuse = egg:my-project#wiki\n[app:blog.views]\npaste.app_factory = acme.blog:main\n[app:plain]\nuse = call:acme.shop:main\n" +
		"[filter:a]\nuse = b\n[composite:c]\nuse = egg:Paste#urlmap\n/ = egg:repoze.retry#retry\n"
	tests := []struct{ name, settings, want string }{
		{"no keys", "[loggers]\n", "=warn"},
		{"no root", "[loggers]\nkeys =\n[logger_root]\nlevel = DEBUG", "=warn"},
		{"the root's default", "[loggers]\nkeys = root\n[logger_root]", "=warn app:main=warn"},
		{"DEBUG", "[loggers]\nkeys = root\n[logger_root]\nlevel = DEBUG", "=debug"},
		{"INFO", "[loggers]\nkeys = root\n[logger_root]\nlevel = INFO", "=info"},
		{"WARN", "[loggers]\nkeys = root\n[logger_root]\nlevel = WARN", "=warn"},
		{"WARNING", "[loggers]\nkeys = root\n[logger_root]\nlevel = WARNING", "=warn"},
		{"ERROR", "[loggers]\nkeys = root\n[logger_root]\nlevel = ERROR", "=error"},
		{"CRITICAL", "[loggers]\nkeys = root\n[logger_root]\nlevel = CRITICAL", "=error+4"},
		{"FATAL", "[loggers]\nkeys = root\n[logger_root]\nlevel = FATAL", "=error+4"},
		{"NOTSET", "[loggers]\nkeys = root\n[logger_root]\nlevel = NOTSET", "=everything"},
		{"unknown", "[loggers]\nkeys = root\n[logger_root]\nlevel = TRACE", "=warn"},
		{"keys in upper case", "[loggers]\nKeys = root\n[logger_root]\nLEVEL = DEBUG", "=debug"},
		{"interpolated", "[DEFAULT]\nx = DEBUG\n[loggers]\nkeys = root\n[logger_root]\nlevel = %(x)s", "=debug"},
		{"not interpolated", "[loggers]\nkeys = root\n[logger_root]\nlevel = DEBUG\nhandlers = %(x)s", "=debug"},
		{"the name of the section", "[loggers]\nkeys = root,x\n[logger_root]\n[logger_x]\nqualname = main\nlevel = DEBUG", "=warn app:main=debug app:plain=warn"},
		{"with its prefix", "[loggers]\nkeys = root,x\n[logger_root]\n[logger_x]\nqualname = app:main\nlevel = DEBUG", "=warn app:main=debug server:main=warn"},
		{"the distribution", "[loggers]\nkeys = x\n[logger_x]\nqualname = my_project\nlevel = DEBUG", "=warn app:main=debug app:plain=warn"},
		{"the module", "[loggers]\nkeys = x\n[logger_x]\nqualname = acme.blog\nlevel = DEBUG", "app:blog.views=debug app:plain=warn"},
		{"of a call", "[loggers]\nkeys = x\n[logger_x]\nqualname = acme.shop\nlevel = DEBUG", "app:blog.views=warn app:plain=debug"},
		{"a package", "[loggers]\nkeys = x\n[logger_x]\nqualname = acme\nlevel = DEBUG", "app:blog.views=debug app:plain=debug app:main=warn"},
		{"half a word is none", "[loggers]\nkeys = x\n[logger_x]\nqualname = acm\nlevel = DEBUG", "app:plain=warn"},
		{"a child", "[loggers]\nkeys = x\n[logger_x]\nqualname = blog\nlevel = DEBUG", "app:blog.views=debug"},
		{"inline", "[loggers]\nkeys = x\n[logger_x]\nqualname = repoze\nlevel = DEBUG", "egg:repoze.retry#retry=debug egg:repoze.tm2#tm=debug"},
		{
			"the most exact", "[loggers]\nkeys = x,y\n[logger_x]\nqualname = acme\nlevel = DEBUG\n[logger_y]\nqualname = acme.blog\nlevel = ERROR",
			"app:blog.views=error app:plain=debug",
		},
		{
			"NOTSET takes after the parent", "[loggers]\nkeys = x,y\n[logger_x]\nqualname = acme\nlevel = DEBUG\n[logger_y]\nqualname = acme.blog\nlevel = NOTSET",
			"app:blog.views=debug",
		},
		{
			"none takes after the parent, without propagation too", "[loggers]\nkeys = x,y\n[logger_x]\nqualname = acme\nlevel = DEBUG\n[logger_y]\nqualname = acme.blog\npropagate = 0",
			"app:blog.views=debug",
		},
		{"a handler's level", "[loggers]\nkeys = root\n[handlers]\nkeys = h\n[logger_root]\nlevel = DEBUG\nhandlers = h\n[handler_h]\nclass = StreamHandler\nlevel = ERROR", "=error"},
		{
			"of several handlers", "[loggers]\nkeys = root\n[handlers]\nkeys = h,i\n[logger_root]\nlevel = DEBUG\nhandlers = h,i\n[handler_h]\nclass = StreamHandler\nlevel = ERROR\n" +
				"[handler_i]\nclass = StreamHandler\nlevel = INFO", "=info",
		},
		{"nowhere", "[loggers]\nkeys = root\n[handlers]\nkeys = h\n[logger_root]\nhandlers = h\n[handler_h]\nclass = NullHandler", "=nothing"},
		{"[logging] wins", "[logging]\nlevel = error\n[loggers]\nkeys = root\n[logger_root]\nlevel = DEBUG", "=error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.settings+"\n"+apps)
			log := s.open()
			var probes []string
			for word := range strings.FieldsSeq(tt.want) {
				section, _, _ := strings.Cut(word, "=")
				probes = append(probes, section)
			}
			if got := least(t, log, probes); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Where lines go: handlers, their arguments, and propagation.
func TestPythonHandlers(t *testing.T) {
	t.Parallel()
	const hello = "level=ERROR msg=hello\n"
	tests := []struct {
		name, handler        string // [handler_h], which is the root's
		stdout, stderr, file string
	}{
		{name: "stderr", handler: "class = StreamHandler\nargs = (sys.stderr,)", stderr: hello},
		{name: "stdout", handler: "class = StreamHandler\nargs = (sys.stdout,)", stdout: hello},
		{name: "without args", handler: "class = StreamHandler", stderr: hello},
		{name: "empty args", handler: "class = StreamHandler\nargs = ()", stderr: hello},
		{name: "with its package", handler: "class = logging.StreamHandler\nargs=[ sys.stdout ]", stdout: hello},
		{name: "by keyword", handler: "class = StreamHandler\nkwargs = {'stream': sys.stdout}", stdout: hello},
		{name: "a stream that there is not", handler: "class = StreamHandler\nargs = (open('/dev/tty', 'w'),)", stderr: hello},
		{name: "null", handler: "class = logging.NullHandler\nargs = ()"},
		{name: "a file", handler: "class = FileHandler\nargs = ('%(here)s/site.log', 'a')", file: "before\n" + hello},
		{name: "a file in double quotes", handler: `class = FileHandler` + "\n" + `args = ("%(here)s/site.log",)`, file: "before\n" + hello},
		{name: "a file by keyword", handler: `class = FileHandler` + "\n" + `args = ()` + "\n" + `kwargs = {"mode": "a", "filename": "%(here)s/site.log"}`, file: "before\n" + hello},
		{name: "a file over several lines", handler: "class = FileHandler\nargs = (\n  r'%(here)s/site.log',\n  'a',\n )", file: "before\n" + hello},
		{name: "a mode that empties", handler: "class = FileHandler\nargs = ('%(here)s/site.log', 'w')", file: "before\n" + hello},
		{name: "a path that is put together", handler: "class = FileHandler\nargs = (os.path.join('%(here)s', 'site.log'),)", file: "before\n" + hello},
		{name: "a path of two strings", handler: "class = FileHandler\nargs = ('%(here)s' + '/site' '.log',)", file: "before\n" + hello},
		{name: "a path that is asked for", handler: "class = FileHandler\nargs = (open('/etc/passwd').name,)", stderr: hello},
		{name: "a path that is found out", handler: "class = FileHandler\nargs = (find('%(here)s'),)", stderr: hello},
		{name: "args that end too soon", handler: "class = FileHandler\nargs = ('%(here)s/site.log", stderr: hello},
		{name: "a tuple without its comma", handler: "class = FileHandler\nargs = ('%(here)s/site.log')", file: "before\n" + hello},
		{name: "too many args", handler: "class = StreamHandler\nargs = (sys.stdout, 1, 2)", stderr: hello},
		{name: "a file without a path", handler: "class = FileHandler\nargs = ()", stderr: hello},
		{name: "watched", handler: "class = handlers.WatchedFileHandler\nargs = ('%(here)s/site.log',)", file: "before\n" + hello},
		{name: "rotating", handler: "class = logging.handlers.RotatingFileHandler\nargs = ('%(here)s/site.log', 'a', 1000000, 5)", file: "before\n" + hello},
		{name: "rotating by keyword", handler: "class = logging.handlers.RotatingFileHandler\nkwargs = {'filename': '%(here)s/site.log', 'maxBytes': 10 * 1024**2, 'backupCount': 5}", file: "before\n" + hello},
		{name: "rotating by both", handler: "class = handlers.RotatingFileHandler\nargs = ('%(here)s/site.log', 'a')\nkwargs = dict(maxBytes=1_000_000, backupCount=0x5, encoding=None,)", file: "before\n" + hello},
		{name: "rotating by time", handler: "class = handlers.TimedRotatingFileHandler\nargs = ('%(here)s/site.log', 'midnight', 1, 14, None, False, True)", file: "before\n" + hello},
		{name: "another's rotating", handler: "class = cloghandler.ConcurrentRotatingFileHandler\nargs = ('%(here)s/site.log', 'a', 1000000, 5)", stderr: hello},
		{name: "another's stream", handler: "class = colorlog.StreamHandler\nargs = (sys.stdout,)", stderr: hello},
		{name: "mail", handler: "class = handlers.SMTPHandler\nargs = ('localhost', 'a@example.org', ['b@example.org'], 'subject')", stderr: hello},
		{name: "no class", handler: "args = ()", stderr: hello},
		{name: "args that can't be interpolated", handler: "class = FileHandler\nargs = ('%(nothing)s/site.log',)", stderr: hello},
		{name: "above its level", handler: "class = StreamHandler\nlevel = CRITICAL"},
		{name: "an unknown level", handler: "class = StreamHandler\nlevel = LOUD", stderr: hello},
		{name: "JSON by its formatter's class", handler: "class = StreamHandler\nformatter = class", stderr: `{"level":"ERROR","msg":"hello"}` + "\n"},
		{name: "JSON by its formatter's format", handler: "class = StreamHandler\nformatter = json", stderr: `{"level":"ERROR","msg":"hello"}` + "\n"},
		{name: "a brace is no JSON", handler: "class = StreamHandler\nformatter = brace", stderr: hello},
		{name: "a formatter that there is not", handler: "class = StreamHandler\nformatter = other", stderr: hello},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[loggers]\nkeys = root\n[handlers]\nkeys = h\n[formatters]\nkeys = class, json, brace\n[logger_root]\nhandlers = h\n"+
				"[formatter_class]\nclass = pythonjsonlogger.jsonlogger.JsonFormatter\nformat = %(message)s\n"+
				"[formatter_json]\nformat = {\"message\": \"%(message)s\"}\n[formatter_brace]\nformat = {asctime} {message}\nstyle = {\n"+
				"[handler_h]\n"+tt.handler)
			name := filepath.Join(s.dir, "site.log")
			if tt.file != "" {
				if err := os.WriteFile(name, []byte("before\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.open().Logger().Error("hello")
			got, want := []string{s.stdout.String(), withoutNotes(s.stderr.String())}, []string{tt.stdout, tt.stderr}
			if tt.file != "" {
				got, want = append(got, withoutNotes(s.file("site.log"))), append(want, tt.file)
			} else if _, err := os.Stat(name); err == nil {
				t.Error("a file was made")
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("stdout, stderr, file (-want +got):\n%s", diff)
			}
		})
	}
}

// withoutNotes returns a log without the notes on its configuration.
func withoutNotes(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "note on the logging configuration") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// A logger's lines go to its own handlers and to those above it, unless it keeps them; to each once.
func TestPropagation(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, settings, stdout, stderr string }{
		{"up", "", "a", "a"},
		{"not up", "propagate = 0", "a", ""},
		{"said to go up", "propagate = 1", "a", "a"},
		{"not said", "propagate = maybe", "a", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[app:a]\n[app:b]\n[loggers]\nkeys = root, a, empty\n[handlers]\nkeys = out, err\n[logger_root]\nhandlers = err\n"+
				"[handler_out]\nclass = StreamHandler\nargs = (sys.stdout,)\n[handler_err]\nclass = StreamHandler\nargs = (sys.stderr,)\n"+
				"[logger_empty]\nqualname = a.b\n[logger_a]\nqualname = a\nhandlers = out, out\n"+tt.settings)
			log := s.open()
			of(log, "app:a").Error("a")
			of(log, "app:b").Error("b")
			line := func(name string) string {
				if name == "" {
					return ""
				}
				return "level=ERROR msg=" + name + " section=app:" + name + "\n"
			}
			if got, want := s.stdout.String(), line(tt.stdout); got != want {
				t.Errorf("stdout: got %q, want %q", got, want)
			}
			if got, want := withoutNotes(s.stderr.String()), line(tt.stderr)+line("b"); got != want {
				t.Errorf("stderr: got %q, want %q", got, want)
			}
		})
	}
}

// The attribute logger counts too: it is what translogger's logger_name becomes.
func TestLoggerByAttribute(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[loggers]\nkeys = root, wsgi\n[logger_root]\nlevel = ERROR\n[logger_wsgi]\nqualname = wsgi\nlevel = INFO")
	log := of(s.open(), "filter:translogger")
	log.Info("unheard")
	log.With(slog.String("logger", "wsgi")).Info("heard")
	log.WithGroup("group").With(slog.String("logger", "wsgi")).Info("unheard")
	if got, want := s.stderr.String(), "level=INFO msg=heard section=filter:translogger logger=wsgi\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Files of handlers that can't be opened are faults: they have a meaning, and their lines would be lost.
func TestPythonFaults(t *testing.T) {
	t.Parallel()
	const text = "[loggers]\nkeys = root\n[handlers]\nkeys = h, unused\n[logger_root]\nhandlers = h\n[handler_h]\nclass = FileHandler\nargs = ('%(here)s/logs/site.log', 'a')\n" +
		"[handler_unused]\nclass = FileHandler\nargs = ('%(here)s/other.log',)\n"
	const want = `site.ini:9: [handler_h] args = "('logs/site.log', 'a')": there is no folder logs; make it, or name another file`
	s := newSite(t, text)
	_, err := logging.Open(s.config, s.options())
	if got := s.faults(err); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := s.checked(); got != want {
		t.Errorf("Check: got %s\nwant %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "other.log")); err == nil {
		t.Error("a file of a handler that nothing uses was made")
	}
}

// What has no meaning is noted, where it is, once.
func TestNotes(t *testing.T) {
	t.Parallel()
	const settings = `[loggers]
keys = root, x, missing, nameless
[handlers]
keys = console, mail, rotating, missing, unused
[formatters]
keys = generic, json, missing
[logger_root]
level = DEBUG
handlers = console, mail, rotating, missing, unlisted
colour = red
[logger_x]
qualname = x.y
level = TRACE
propagate = yes
[logger_nameless]
level = DEBUG
[handler_console]
class = StreamHandler
args = (sys.stdin,)
formatter = generic
[handler_mail]
class = handlers.SMTPHandler
args = ('localhost', '%(nobody)s', ['b'], 'subject')
[handler_rotating]
class = handlers.RotatingFileHandler
args = ('%(here)s/site.log', 'a', 1000000, 5)
[handler_unused]
class = FileHandler
args = ('x',)
[formatter_generic]
format = %(asctime)s %(message)s
[formatter_json]
class = pythonjsonlogger.jsonlogger.JsonFormatter
`
	want := []string{
		"WARN site.ini:2: [loggers] keys: there is no [logger_missing]",
		"WARN site.ini:4: [handlers] keys: there is no [handler_missing]",
		"WARN site.ini:6: [formatters] keys: there is no [formatter_missing]",
		`WARN site.ini:9: [logger_root] handlers: "unlisted" is not among the keys of [handlers]`,
		"DEBUG site.ini:10: [logger_root] colour: not used",
		"DEBUG site.ini:12: [logger_x] qualname: no section of this file is called so, or is from there: it is for lines with this name in the attribute logger",
		`WARN site.ini:13: [logger_x] level: "TRACE" is no level that is known here, and not used; want debug, info, warn or error`,
		`WARN site.ini:14: [logger_x] propagate: "yes" is neither 0 nor 1, and not used`,
		"WARN site.ini:16: [logger_nameless]: not used: it has no qualname",
		"WARN site.ini:19: [handler_console] args: neither sys.stdout nor sys.stderr: lines go to the standard error",
		"WARN site.ini:22: [handler_mail] class: not used: there is no handlers.SMTPHandler here; no mail is sent from here; " +
			"log to a file or to a SysLogHandler, and have mail sent by what watches that",
		"WARN site.ini:23: [handler_mail] args: not used: %(nobody)s: no setting of that name, here or in [DEFAULT]",
		"DEBUG site.ini:28: [handler_unused]: no logger has this handler, so it is not opened",
		"DEBUG site.ini:31: [formatter_generic]: lines are text, and not laid out as it says",
		"DEBUG site.ini:33: [formatter_json]: lines are JSON, and not laid out as it says",
	}
	s := newSite(t, settings)
	log := s.open()
	if err := log.Reload(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.SplitSeq(strings.TrimSpace(s.stderr.String()), "\n") {
		line = strings.ReplaceAll(line, s.dir+string(filepath.Separator), "")
		level, note, _ := strings.Cut(line, ` msg="note on the logging configuration" note=`)
		note = strings.ReplaceAll(strings.Trim(note, `"`), `\"`, `"`)
		got = append(got, strings.TrimPrefix(level, "level=")+" "+note)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoteOfWhatIsNotUsed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[logging]\nlevel = debug\n"+pyramid)
	s.open()
	if got, want := strings.ReplaceAll(s.stderr.String(), s.dir+string(filepath.Separator), ""), `level=DEBUG msg="note on the logging configuration" note="site.ini:14: [loggers] keys: `+
		`not used, and neither are the sections that it is about, because there is a [logging]"`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The failures of requests go to pyramid_exclog's logger, if there is one: from whatever section they are.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[filter:tm]\nuse = egg:repoze.tm2#tm\n[loggers]\nkeys = root, exc_logger\n[handlers]\nkeys = console, exc\n[logger_root]\nhandlers = console\n"+
		"[logger_exc_logger]\nlevel = ERROR\nhandlers = exc\nqualname = exc_logger\n[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\n"+
		"[handler_exc]\nclass = FileHandler\nargs = ('%(here)s/exc.log',)\n")
	tm := of(s.open(), "filter:tm")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/buy", nil)
	attempt.Log(tm, "request failed", r, errors.New("out of stock"))
	attempt.Log(tm, "request failed", r, transaction.Transient(errors.New("conflict")))
	tm.Error("something else")
	const failed = `level=ERROR msg="request failed" section=filter:tm method=GET path=/buy status=500 error="out of stock"` + "\n"
	if got := s.file("exc.log"); got != failed {
		t.Errorf("exc.log: got %s, want %s", got, failed)
	}
	if got := s.stderr.String(); !strings.HasPrefix(got, failed) || strings.Count(got, "\n") != 3 {
		t.Errorf("stderr: got %s, want everything, since it is propagated", got)
	}
}
