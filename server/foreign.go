package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A foreignServer is a Python server that files name. The server of this package takes its place,
// at its host and port.
type foreignServer struct {
	title    string
	names    []string // as files write them
	host     string   // the default
	port     int
	protocol string   // spoken with the web server in front; "" for HTTP
	words    []string // settings that have no effect here
	refused  []string // settings that change the site if ignored
}

var foreignServers = []foreignServer{
	{
		title: "Gunicorn", host: "127.0.0.1", port: 8000,
		names: []string{
			"egg:gunicorn#main", "call:gunicorn.app.pasterapp:serve",
			"call:gunicorn.app.pasterapp:paste_server",
		},
		words: []string{
			"access_log_format", "accesslog", "backlog", "capture_output", "chdir", "check_config",
			"config", "daemon",
			"default_proc_name", "disable_redirect_access_to_syslog", "dogstatsd_tags",
			"enable_stdio_inheritance", "errorlog",
			"forwarded_allow_ips", "graceful_timeout", "group", "initgroups", "keepalive",
			"limit_request_field_size",
			"limit_request_fields", "limit_request_line", "logconfig", "logger_class", "loglevel",
			"max_requests",
			"max_requests_jitter", "pidfile", "preload", "preload_app", "print_config", "proc_name",
			"pythonpath", "reload",
			"reload_engine", "reload_extra_files", "reuse_port", "secure_scheme_headers",
			"sendfile", "spew", "statsd_host",
			"statsd_prefix", "strip_header_spaces", "syslog", "syslog_addr", "syslog_facility",
			"syslog_prefix", "threads",
			"timeout", "tmp_upload_dir", "umask", "user", "worker_class", "worker_connections",
			"worker_tmp_dir", "workers",
		},
		refused: []string{"ca_certs", "cert_reqs", "ciphers", "proxy_protocol", "ssl_version"},
	},
	{
		title: "wsgiref", host: "0.0.0.0", port: 8080,
		names: []string{"egg:pyramid#wsgiref", "egg:gearbox#wsgiref", "egg:gearbox#gevent"},
		words: []string{
			"use_threadpool", "threadpool_workers", "threadpool_max_requests",
			"threadpool_hung_thread_limit",
			"threadpool_kill_thread_limit", "threadpool_dying_limit", "threadpool_spawn_if_under",
			"threads", "workers",
			"daemon_threads", "request_queue_size", "protocol_version", "socket_timeout",
		},
	},
	{
		title: "CherryPy", host: "127.0.0.1", port: 8080,
		names: []string{"egg:PasteScript#cherrypy", "egg:pyramid#cherrypy", "egg:gearbox#cherrypy"},
		words: []string{
			"numthreads", "max", "timeout", "request_queue_size", "server_name",
			"protocol_version",
		},
	},
	{
		title: "wsgiutils", host: "127.0.0.1", port: 8080,
		names: []string{"egg:PasteScript#wsgiutils"},
		words: []string{"threads", "server_name"},
	},
	{
		title: "flup", host: "127.0.0.1", port: 8080, protocol: "FastCGI, SCGI or AJP",
		names: []string{
			"egg:flup#fcgi_thread", "egg:flup#fcgi_fork", "egg:flup#fcgi", "egg:flup#scgi_thread",
			"egg:flup#scgi_fork", "egg:flup#scgi",
			"egg:flup#ajp_thread", "egg:flup#ajp_fork", "egg:flup#ajp",
			"egg:PasteScript#flup_fcgi_thread", "egg:PasteScript#flup_fcgi_fork",
			"egg:PasteScript#flup_scgi_thread",
			"egg:PasteScript#flup_scgi_fork", "egg:PasteScript#flup_ajp_thread",
			"egg:PasteScript#flup_ajp_fork",
		},
		words: []string{
			"allowedServers", "debug", "forceCGI", "maxChildren", "maxRequests", "maxSpare",
			"maxThreads", "minSpare", "multiplexed",
			"multithreaded", "scriptName", "umask",
		},
	},
	{
		title: "uWSGI", host: "127.0.0.1", port: 8080,
		names: []string{"egg:uwsgi#main"},
		words: []string{
			"buffer-size", "chdir", "chmod-socket", "daemonize", "die-on-term", "enable-threads",
			"gid", "harakiri", "home",
			"lazy-apps", "logto", "master", "max-requests", "module", "paste",
			"paste-logger", "pidfile",
			"plugin", "plugins", "processes", "stats", "threads", "uid", "vacuum",
			"virtualenv", "workers",
		},
	},
}

// foreignSettings are the settings of a section that uses a Python server. Others collects that
// server's own settings, which the factory sorts.
type foreignSettings struct {
	Host   string `ini:"host" nonempty:"true" help:"name or address to listen on"`
	Port   Port   `ini:"port" help:"TCP port; 0 selects a free one"`
	Bind   string `ini:"bind" nonempty:"true" help:"of Gunicorn: the same as listen, separated by commas"`
	Socket string `ini:"socket" nonempty:"true" help:"of flup: the same as unix_socket"`
	HTTP2  bool   `ini:"http2" default:"true" help:"allow HTTP/2 over TLS"`

	CertFile string `ini:"certfile" nonempty:"true" help:"of Gunicorn: the same as tls_certificate"`
	KeyFile  string `ini:"keyfile" nonempty:"true" help:"of Gunicorn: the same as tls_key"`
	SSLPEM   string `ini:"ssl_pem" nonempty:"true" help:"of CherryPy: the same as tls_certificate, for a file with both certificate and key"`
	Config
	Others []tree.Setting `ini:"*"`
}

func registerForeign(r *pipeline.Registry) {
	original := foreignServers[0].names[0]
	pipeline.ServerFactory(r, original, newForeign)
	for _, f := range foreignServers {
		for _, alias := range f.names {
			if alias != original {
				r.Alias(alias, original)
			}
		}
	}
}

func newForeign(b *pipeline.Build, s foreignSettings) (pipeline.Server, error) {
	i := slices.IndexFunc(foreignServers,
		func(f foreignServer) bool { return slices.Contains(f.names, b.Factory()) })
	f := foreignServers[max(i, 0)] // an alias added by a program means Gunicorn
	if err := f.sort(b, s.Others); err != nil {
		return nil, err
	}
	c := s.Config
	c.DisableHTTP2 = !s.HTTP2
	names := map[string]string{}
	for _, same := range []struct {
		key, here string
		given     string
		value     *string
	}{
		{"certfile", "tls_certificate", s.CertFile, &c.TLSCertificate},
		{"keyfile", "tls_key", s.KeyFile, &c.TLSKey},
		{"ssl_pem", "tls_certificate", s.SSLPEM, &c.TLSCertificate},
		{"socket", "unix_socket", s.Socket, &c.UnixSocket},
	} {
		if same.given == "" {
			continue
		}
		if *same.value != "" {
			return nil, &pipeline.Error{
				Key: same.key,
				Err: fmt.Errorf("the same as %s: write one of the two", same.here),
			}
		}
		*same.value, names[same.here] = same.given, same.key
	}
	if s.Bind != "" {
		if len(c.Listen) > 0 {
			return nil, &pipeline.Error{
				Key: "bind",
				Err: errors.New("the same as listen: write one of the two"),
			}
		}
		c.Listen, names["listen"] = f.places(s.Bind), "bind"
	}
	c.resolvePaths(b)
	if err := c.setAddress(s.Host, s.Port, f.host, f.port); err != nil {
		return nil, renamed(err, names)
	}
	if f.protocol != "" {
		b.Warn("use", fmt.Sprintf("%s spoke %s with the web server in front; this one speaks "+
			"HTTP: have that pass requests on as a proxy does",
			f.title, f.protocol))
	}
	srv, err := New(c, b.Logger())
	if err != nil {
		return nil, renamed(err, names)
	}
	srv.noteDebug(b, names)
	return srv, nil
}

// places converts Gunicorn's bind to the form of listen, where a port is required.
func (f foreignServer) places(bind string) []string {
	places := strings.FieldsFunc(bind, func(r rune) bool {
		return r == ',' || r == ' ' ||
			r == '\n' || r == '\t'
	})
	for i, place := range places {
		switch {
		case strings.HasPrefix(place, "unix:"):
			places[i] = "unix:" + strings.TrimPrefix(strings.TrimPrefix(place, "unix:"), "//")
		case strings.HasPrefix(place, ":"):
			places[i] = "0.0.0.0" + place
		case !strings.Contains(strings.TrimPrefix(place[strings.LastIndexByte(place, ']')+1:], "]"),
			":"):
			places[i] = fmt.Sprintf("%s:%d", place, f.port)
		}
	}
	return places
}

// sort warns once about all settings without effect, and returns errors for those that the server
// does not have.
func (f foreignServer) sort(b *pipeline.Build, settings []tree.Setting) error {
	var errs []error
	var idle, served []string
	for _, s := range settings {
		word := otherWords[s.Key]
		switch {
		case slices.Contains(f.refused, s.Key):
			errs = append(errs, &pipeline.Error{
				Key: s.Key, Err: fmt.Errorf("of %s, and not done here, where something may rely "+
					"on it", f.title), Hint: word,
			})
		case !slices.Contains(f.words, s.Key):
			hint := Config{}.Hint(s.Key)
			if hint == "" {
				hint = suggest.DidYouMean(s.Key, append(slices.Clone(ownWords), f.words...))
			}
			errs = append(errs, &pipeline.Error{
				Key: s.Key, Err: tree.ErrUnknownSetting,
				Hint: hint,
			})
		default:
			idle = append(idle, s.Key)
			if here, ok := strings.CutPrefix(word, "write "); ok {
				here, _, _ = strings.Cut(here, " = ")
				served = append(served, fmt.Sprintf("%s by %s", s.Key, here))
			}
		}
	}
	if len(idle) > 0 {
		text := fmt.Sprintf("of %s's own processes, and without effect here: %s", f.title,
			strings.Join(idle, ", "))
		if len(served) > 0 {
			text += "; replace " + strings.Join(served, ", ")
		}
		b.Warn("", text)
	}
	return errors.Join(errs...)
}

// ownWords are the most common settings of a section.
var ownWords = []string{
	"host", "port", "listen", "unix_socket", "tls_certificate", "tls_key",
	"trusted_proxy", "url_scheme", "url_prefix",
}

const (
	oneProcess = "leave it out: one process serves all requests, each in a goroutine of its own"
	noDaemon   = "leave it out: a service manager, such as systemd, starts the program, with " +
		"its user and in the background"
	accessLog   = "leave it out: the filter egg:Paste#translogger writes an access log"
	programsLog = "leave it out: the section [logging] says what is logged"
	clientCerts = "a proxy in front that speaks TLS can check the certificates of clients"
)

// otherWords maps the settings of other servers to hints about their replacement.
var otherWords = map[string]string{
	"certfile":            "write tls_certificate = a PEM file",
	"cert":                "write tls_certificate = a PEM file",
	"ssl_cert":            "write tls_certificate = a PEM file",
	"ssl_certfile":        "write tls_certificate = a PEM file",
	"ssl_certificate":     "write tls_certificate = a PEM file",
	"keyfile":             "write tls_key = a PEM file",
	"ssl_key":             "write tls_key = a PEM file",
	"ssl_keyfile":         "write tls_key = a PEM file",
	"ssl_certificate_key": "write tls_key = a PEM file",
	"ssl_private_key":     "write tls_key = a PEM file",
	"ssl_version":         "write tls_min_version = 1.3",
	"ciphers":             "write tls_min_version = 1.3; the ciphers are the runtime's choice",
	"ca_certs":            clientCerts,
	"cert_reqs":           clientCerts,
	"proxy_protocol": "have the proxy send header fields, and write trusted_proxy = " +
		"its address",
	"forwarded_allow_ips": "write trusted_proxy = addresses",
	"bind":                "write listen = host:port",
	"bind_addr":           "write listen = host:port",
	"bind_host":           "write host = a name or address",
	"bind_ip":             "write host = a name or address",
	"bind_port":           "write port = a number",
	"address":             "write host = a name or address",
	"addr":                "write host = a name or address",
	"ip":                  "write host = a name or address",
	"hostname":            "write host = a name or address",
	"interface":           "write host = a name or address",
	"http":                "write listen = host:port",
	"http-socket":         "write listen = host:port",
	"http_port":           "write port = a number",
	"fast-listen":         "write listen = host:port",
	"socket":              "write unix_socket = a path",
	"uds":                 "write unix_socket = a path",
	"umask":               "write unix_socket_perms = an octal number",
	"chmod-socket":        "write unix_socket_perms = an octal number",
	"keepalive":           "write idle_timeout = a duration",
	"keep_alive":          "write idle_timeout = a duration",
	"graceful_timeout":    "write shutdown_timeout = a duration",
	"timeout": "leave it out: read_timeout and write_timeout say how long a client " +
		"may keep the server waiting",
	"limit_request_line":  "write max_header_bytes = a size",
	"scriptName":          "write url_prefix = a path",
	"prefix":              "write url_prefix = a path",
	"scheme":              "write url_scheme = https",
	"workers":             oneProcess,
	"worker_class":        oneProcess,
	"worker_connections":  oneProcess,
	"processes":           oneProcess,
	"threads":             oneProcess,
	"numthreads":          oneProcess,
	"threadpool":          oneProcess,
	"thread_pool":         oneProcess,
	"max_requests":        oneProcess,
	"max_requests_jitter": oneProcess,
	"preload":             oneProcess,
	"preload_app":         oneProcess,
	"use_threadpool":      oneProcess,
	"threadpool_workers":  oneProcess,
	"request_queue_size":  "leave it out: the system's own limit holds",
	"backlog":             "leave it out: the system's own limit holds",
	"daemon":              noDaemon,
	"daemonize":           noDaemon,
	"user":                noDaemon,
	"group":               noDaemon,
	"uid":                 noDaemon,
	"gid":                 noDaemon,
	"pidfile":             noDaemon,
	"pid_file":            noDaemon,
	"chdir":               noDaemon,
	"accesslog":           accessLog,
	"access_log":          accessLog,
	"access_log_format":   accessLog,
	"errorlog":            programsLog,
	"error_log":           programsLog,
	"loglevel":            programsLog,
	"log_level":           programsLog,
	"logconfig":           programsLog,
	"logfile":             programsLog,
	"log_file":            programsLog,
	"reload":              "leave it out: serve FILE --reload loads a file anew when it changes",
	"debug": "leave it out, or write it in [DEFAULT]: apps and filters ask for " +
		"it, not the server",
	"max_request_body":     "write max_body_bytes = a size",
	"client_max_body_size": "write max_body_bytes = a size",
}

// Hint returns the replacement for another server's setting.
func (Config) Hint(key string) string {
	return otherWords[key]
}

// Hint is Config's, with the names that Waitress has for settings of Config.
func (waitressSettings) Hint(key string) string {
	if name := waitressNames[key]; name != "" {
		return "write " + name + " = …"
	}
	hint := Config{}.Hint(key)
	for _, own := range slices.Sorted(maps.Keys(waitressNames)) {
		hint = strings.ReplaceAll(hint, own, waitressNames[own])
	}
	return hint
}

// Hint is Config's, and replaces the names that Waitress has for settings of Config.
func (pasteSettings) Hint(key string) string {
	for own, name := range waitressNames {
		if key == name {
			return "write " + own + " = …"
		}
	}
	return Config{}.Hint(key)
}
