package migrate

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A word is a setting of Python programs, with its conversion.
type word struct {
	pattern string // of the key, as in path.Match
	text    string
}

// words are tried in order.
var words = []word{
	{
		"pyramid.includes",
		"add-ons for Python; what an app in Go needs it imports. pyramid_tm, pyramid_retry: put " +
			"egg:repoze.retry#retry and egg:repoze.tm2#tm into the pipeline; pyramid_debugtoolbar: " +
			"serve FILE -v",
	},
	{"pyramid.tweens", "write filters into the pipeline"},
	{"pyramid.reload_*", "no effect: after a change of Go code the program is built again; serve " +
		"FILE --reload watches .ini files"},
	{"reload_*", "no effect: after a change of Go code the program is built again; serve FILE " +
		"--reload watches .ini files"},
	{"pyramid.debug_*", "no effect: serve FILE -v logs what happens to each request, serve " +
		"routes FILE lists what there is"},
	{"debug_*", "no effect: serve FILE -v logs what happens to each request, serve routes FILE " +
		"lists what there is"},
	{"pyramid.*", "a setting of the framework Pyramid; an app in Go decides itself"},
	{"debugtoolbar.*", "no effect: there is no debug toolbar; serve FILE -v logs what happens to " +
		"each request"},
	{"exclog.*", "no effect: an error is logged anyway, see [logging]"},
	{"tm.commit_veto", "write commit_veto in the section of egg:repoze.tm2#tm"},
	{"tm.attempts", "write tries in the section of egg:repoze.retry#retry"},
	{"retry.attempts", "write tries in the section of egg:repoze.retry#retry"},
	{"tm.*", "of pyramid_tm; the filter egg:repoze.tm2#tm runs each request in a transaction"},
	{"retry.*", "of pyramid_retry; the filter egg:repoze.retry#retry runs a request again"},
	{"zodb*uri*", "ZODB is not read here; an app in Go opens a database of this server with " +
		"b.Storage, such as bolt://%(here)s/data.db. Data have to be exported in Python"},
	{"zodbconn.*", "ZODB is not read here; an app in Go opens a database of this server with " +
		"b.Storage, such as bolt://%(here)s/data.db. Data have to be exported in Python"},
	{"zope_conf", "Zope reads that file; nothing here does"},
	{"sqlalchemy.*", "an app in Go opens its SQL database with database/sql, in the request's " +
		"transaction by package sqltx"},
	{"session.*", "sessions are of the app, by package session, behind the filters " +
		"egg:repoze.browserid, egg:repoze.retry and egg:repoze.tm2. Those of Python are not read"},
	{"beaker.session.*", "sessions are of the app, by package session, behind the filters " +
		"egg:repoze.browserid, egg:repoze.retry and egg:repoze.tm2. Those of Python are not read"},
	{"redis.sessions.*", "sessions are of the app, by package session, behind the filters " +
		"egg:repoze.browserid, egg:repoze.retry and egg:repoze.tm2. Those of Python are not read"},
	{"beaker.cache.*", "a cache in Python; an app in Go keeps what it needs in memory"},
	{"cache.*", "a cache in Python; an app in Go keeps what it needs in memory"},
	{"cache_dir", "where Python's packages keep files; nothing here does"},
	{"mako.*", "templates in Python; an app in Go has html/template"},
	{"jinja2.*", "templates in Python; an app in Go has html/template"},
	{"templating.*", "templates in Python; an app in Go has html/template"},
	{"toscawidgets.*", "widgets in Python; the app links its files itself, and egg:Paste#static " +
		"serves a folder of them"},
	{"fanstatic.*", "widgets in Python; the app links its files itself, and egg:Paste#static " +
		"serves a folder of them"},
	{"full_stack", "no effect: which filters are around the app is written in the pipeline"},
	{"static_files", "no effect: egg:Paste#cascade with egg:Paste#static in front of the app " +
		"serves files"},
	{"who.*", "log-ins are checked by a filter or app that you write"},
	{"auth_tkt*", "log-ins are checked by a filter or app that you write"},
	{"authtkt.*", "log-ins are checked by a filter or app that you write"},
	{"beaker.*", "of Beaker, for Python; nothing here reads it"},
	{"trace_errors.*", "no effect: errors are logged, see [logging]"},
	{"errormator.*", "no effect: errors are logged, see [logging]"},
	{"error_email_from", "no effect: errors are logged, see [logging]"},
	{"email_to", "no effect: errors are logged, see [logging]"},
	{"smtp_server", "an app in Go sends mail with net/smtp"},
	{"mail.*", "an app in Go sends mail with net/smtp"},
	{"oslo_config_*", "OpenStack's own file of settings; nothing here reads it"},
	{"in_process", "no effect"},
}

// defaultWords are settings of [DEFAULT] in files of Swift, whose programs contain their server.
var defaultWords = []word{
	{"bind_ip", "Swift's server; host in [server:main] says it here"},
	{"bind_port", "Swift's server; port in [server:main] says it here"},
	{"backlog", "Swift's server; no effect here"},
	{"workers", "Swift's server; no effect here: one process serves all requests"},
	{"user", "no effect: a service manager, such as systemd, starts the program with its user"},
	{"log_facility", "Swift's logging; the section [logging] says what is logged here"},
	{"log_level", "Swift's logging; the section [logging] says what is logged here"},
	{"log_name", "Swift's logging; the section [logging] says what is logged here"},
	{"cert_file", "Swift's server; tls_certificate in [server:main] says it here"},
	{"key_file", "Swift's server; tls_key in [server:main] says it here"},
	{"smtp_server", "an app in Go sends mail with net/smtp"},
	{"email_to", "no effect: errors are logged, see [logging]"},
	{"error_email_from", "no effect: errors are logged, see [logging]"},
}

func meaning(list []word, key string) string {
	for _, w := range list {
		if ok, err := path.Match(w.pattern, key); ok && err == nil {
			return w.text
		}
	}
	return ""
}

// remark notes the conversion of settings of Python programs, in the sections of stubs and in
// [DEFAULT].
func (p *Plan) remark() {
	for _, f := range p.files {
		for _, section := range append([]string{"DEFAULT"}, f.parsed.Sections()...) {
			list := words
			switch {
			case section == "DEFAULT":
				list = slices.Concat(defaultWords, words)
			case !p.isStub(f, section):
				continue
			}
			for _, s := range f.parsed.Settings(section) {
				if text := meaning(list, strings.TrimPrefix(s.Key, "set ")); text != "" {
					p.notes = append(p.notes, note{tree.Position{
						File: f.path, Line: s.Line,
						Section: section,
					}, s.Key, text})
				}
			}
		}
	}
}

// isStub reports whether a section needs a stub.
func (p *Plan) isStub(f *file, section string) bool {
	if !isApp(section) && !isFilter(section) {
		return false
	}
	return !p.works[f.path+"\n"+section]
}

// A place is a setting.
type place struct {
	tree.Position
	key string
}

// secrets returns the settings of the copies that contain a secret.
func (p *Plan) secrets() []place {
	var found []place
	for _, f := range p.files {
		for _, section := range append([]string{"DEFAULT"}, f.parsed.Sections()...) {
			if section != "DEFAULT" && isLogging(section) {
				continue
			}
			for _, s := range f.parsed.Settings(section) {
				if s.Value == "" || refers(section, s.Key) || strings.HasPrefix(s.Key, "paste.") ||
					strings.HasSuffix(s.Key, "session.key") || variablePattern.MatchString(s.Raw) &&
					!strings.Contains(variablePattern.ReplaceAllString(s.Raw, ""), ":") {
					continue
				}
				if redact.IsSecretKey(s.Key) || redact.Value(s.Key, s.Raw) != s.Raw {
					found = append(found, place{tree.Position{
						File: f.path, Line: s.Line,
						Section: section,
					}, s.Key})
				}
			}
		}
	}
	return found
}

var variablePattern = regexp.MustCompile(`%\(ENV_([A-Za-z_][A-Za-z0-9_]*)\)s`)

// besidePattern matches a log file in a folder beside the .ini file.
var besidePattern = regexp.MustCompile(`%\(here\)s/([^'",()\s]+)/[^/'",()\s]+`)

// folders returns the folders of log files in the project, which must exist.
func (p *Plan) folders() []string {
	var names []string
	for _, f := range p.files {
		for _, section := range f.parsed.Sections() {
			if !isLogging(section) {
				continue
			}
			for _, s := range f.parsed.Settings(section) {
				for _, m := range besidePattern.FindAllStringSubmatch(s.Raw, -1) {
					if name := path.Join(path.Dir(f.target), m[1]); filepath.IsLocal(name) &&
						name != "." && !strings.Contains(name, "%") {
						names = append(names, name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// variables returns the environment variables that the files name.
func (p *Plan) variables() []string {
	var names []string
	for _, f := range p.files {
		for _, section := range append([]string{"DEFAULT"}, f.parsed.Sections()...) {
			for _, s := range f.parsed.Settings(section) {
				for _, m := range variablePattern.FindAllStringSubmatch(s.Raw, -1) {
					names = append(names, m[1])
				}
				if s.Key == "secret_key_env" {
					names = append(names, s.Raw)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// foreign returns the sections of the first file that are not read.
func (p *Plan) foreign() []string {
	var names []string
	for _, section := range p.main().parsed.Sections() {
		if !isApp(section) && !isFilter(section) && !isServer(section) && !isLogging(section) {
			names = append(names, "["+oneLine(redact.Key(section))+"]")
		}
	}
	return names
}

func isLogging(section string) bool {
	return slices.Contains([]string{"logging", "loggers", "handlers", "formatters"}, section) ||
		slices.ContainsFunc([]string{"logger_", "handler_", "formatter_"},
			func(prefix string) bool { return strings.HasPrefix(section, prefix) })
}
