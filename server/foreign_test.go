package server_test

import (
	"strings"
	"testing"
)

// Servers in Python are served, at the host and port of their sections. One line says what has no
// effect.
func TestForeignServers(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]struct{ addr, warning string }{
		"use = egg:gunicorn#main\nport = 0\nworkers = 2\ngraceful_timeout = 9": {
			"127.0.0.1:", "of Gunicorn's own processes, and without effect here: workers, " +
				"graceful_timeout; replace graceful_timeout by shutdown_timeout",
		},
		"use = egg:gunicorn\nbind = 127.0.0.2:0": {"127.0.0.2:", ""},
		"paste.server_runner = gunicorn.app.pasterapp:serve\nhost = 127.0.0.1\nport = " +
			"0": {"127.0.0.1:", ""},
		"use = egg:pyramid#wsgiref\nport = 0": {"0.0.0.0:", ""},
		"use = egg:gearbox#wsgiref\nhost = 127.0.0.1\nport = 0\nuse_threadpool = " +
			"true": {"127.0.0.1:", "of wsgiref's own processes"},
		"use = egg:PasteScript#cherrypy\nport = 0\nnumthreads = 10\nserver_name = " +
			"x": {"127.0.0.1:", "here: numthreads, server_name"},
		"use = egg:PasteScript#wsgiutils\nport = 0": {"127.0.0.1:", ""},
		"use = egg:Flup#fcgi_thread\nhost = 127.0.0.1\nport = " +
			"0": {"127.0.0.1:", "this one speaks HTTP"},
		"use = egg:uwsgi\nport = 0\nprocesses = 4\nmaster = " +
			"true": {"127.0.0.1:", "here: processes, master"},
		"use = egg:gunicorn\nlisten = 127.0.0.1:0\nshutdown_timeout = 3": {"127.0.0.1:", ""},
	} {
		s, err := load(t, nil, section)
		if err != nil {
			t.Errorf("%q: %v", section, err)
			continue
		}
		var warnings []string
		for _, w := range s.Warnings() {
			warnings = append(warnings, w.Message)
		}
		got := strings.Join(warnings, "\n")
		if want.warning == "" && got != "" || !strings.Contains(got, want.warning) ||
			len(warnings) > 1 {
			t.Errorf("%q: got the warnings %q, want one with %q", section, warnings, want.warning)
		}
		if got := start(t, s, tell)[0].String(); !strings.HasPrefix(got, want.addr) {
			t.Errorf("%q: got %s, want %s", section, got, want.addr)
		}
	}
}

func TestForeignFaults(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"use = egg:gunicorn\ncert_reqs = 2": "[server:main] cert_reqs = " +
			"\"2\": of Gunicorn, and not done here, where something may rely on it; a " +
			"proxy in front",
		"use = egg:gunicorn\nwrokers = 2": `unknown setting; did you ` +
			`mean "workers"?`,
		"use = egg:gunicorn\nprot = 2": `unknown setting; did you ` +
			`mean "port"?`,
		"use = egg:gunicorn\nbind = :80\nport = 80": `[server:main] bind = ":80": ` +
			`stands instead of host and port`,
		"use = egg:gunicorn\nbind = :80\nlisten = *:80": "the same as listen: write one of the two",
		"use = egg:gunicorn\nbind = [::1:80": `[server:main] bind = ` +
			`"[::1:80": `,
		"use = egg:gunicorn\ncertfile = /a\ntls_certificate = /b": "the same as tls_certificate: " +
			"write one of the two",
		"use = egg:gunicorn\ncertfile = /no/such.pem": `[server:main] certfile = ` +
			`"/no/such.pem": `,
		"use = egg:waitress\ncertfile = x": "certfile: unknown setting; " +
			"write tls_certificate = a PEM file",
		"use = egg:waitress\nworkers = 3": "workers: unknown setting; " +
			"leave it out: one process serves all requests",
		"use = egg:waitress\nkeepalive = 3": "keepalive: unknown setting; " +
			"write channel_timeout = a duration",
		"use = egg:waitress\nmax_body_bytes = 3": "max_body_bytes: unknown " +
			"setting; write max_request_body_size = …",
		"use = egg:Paste#http\nmax_request_body_size = 3": "max_request_body_size: " +
			"unknown setting; write max_body_bytes = …",
		"use = egg:Paste#http\nfast-listen = localhost:8080": "fast-listen: unknown " +
			"setting; write listen = host:port",
	} {
		if _, err := load(t, nil, section); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %s", section, err, want)
		}
	}
}
