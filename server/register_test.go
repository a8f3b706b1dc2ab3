package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// What Waitress calls by another name is obeyed.
func TestWaitressSettings(t *testing.T) {
	t.Parallel()
	s, err := load(t, nil, `use = egg:waitress#main
listen = 127.0.0.1:0
max_request_header_size = 4096
max_request_body_size = 5
connection_limit = 50
channel_timeout = 60
ident = wombles
url_scheme = https
url_prefix = /james
`)
	if err != nil {
		t.Fatal(err)
	}
	addr := start(t, s, tell)[0].String()
	client := dialer("tcp", addr)
	response, err := ask(t, client, "http://site/james/x")
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Server"); got != "wombles" {
		t.Errorf("got the server %q", got)
	}
	if _, text := read(t, response); !strings.Contains(text,
		`https://site/james/x script="/james" path="/x"`) {
		t.Errorf("got %s", text)
	}
	// The connection may be closed before the client has sent all, and then it does not see the
	// answer.
	if response, err := ask(t, client, "http://site/", "X-Large",
		strings.Repeat("x", 20000)); err == nil {
		response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %s for a large header", response.Status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://site/",
		strings.NewReader("123456"))
	if err != nil {
		t.Fatal(err)
	}
	if response, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	if status, _ := read(t, response); status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d for a large body", status)
	}
}

// What only a Python server can do is accepted, and the log says once why it does nothing.
func TestPythonSettings(t *testing.T) {
	t.Parallel()
	for section, keys := range map[string][]string{
		"use = egg:Paste#http\nport = 0\nuse_threadpool = true\nthreadpool_workers = " +
			"10\nthreadpool_max_requests = 5": {
			"use_threadpool", "threadpool_workers",
			"threadpool_max_requests",
		},
		"use = egg:waitress#main\nport = 0\nthreads = 8\nasyncore_use_poll = true\nbacklog = " +
			"2048": {"threads", "asyncore_use_poll", "backlog"},
	} {
		var log logBuffer
		s, err := load(t, log.logger(), section)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(s.Warnings()); got != len(keys) {
			t.Errorf("got %d warnings, want %d: %v", got, len(keys), s.Warnings())
		}
		for _, key := range keys {
			if got := strings.Count(log.String(), "[server:main] "+key+": this setting means "+
				"something to a server in Python only ("); got != 1 {
				t.Errorf("%s is explained %d times:\n%s", key, got, log.String())
			}
		}
	}
}

func TestSectionFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, section, want string }{
		{
			"listen and port", "use = egg:Paste#http\nlisten = *:80\nport = 80",
			`site.ini:3: [server:main] listen = "*:80": stands instead of host and port, not ` +
				`beside them; write listen = host:port unix:/path for both`,
		},
		{
			"listen and port 0", "use = egg:Paste#http\nlisten = *:80\nport = 0",
			"stands instead of host and port",
		},
		{
			"unix_socket and host", "use = egg:waitress#main\nunix_socket = /s\nhost = 0.0.0.0",
			`[server:main] unix_socket = "/s": stands instead`,
		},
		{
			"addresses", "use = egg:Paste#http\nlisten = ::1:80 *:99999",
			"site.ini:3: [server:main] listen = \"::1:80 *:99999\": \"::1:80\": want brackets " +
				"around an IPv6 address, as in [::1]:8080\nsite.ini:3: [server:main] listen = " +
				"\"::1:80 *:99999\": \"*:99999\": want a port from 0 to 65535",
		},
		{
			"permissions", "use = egg:Paste#http\nunix_socket = /s\nunix_socket_perms = 888",
			"want an octal number from 0 to 777, such as 660",
		},
		{
			"neither family", "use = egg:waitress#main\nipv4 = no\nipv6 = no",
			"there is nothing to listen on",
		},
		{
			"body limit", "use = egg:waitress#main\nmax_request_body_size = -1",
			"max_request_body_size",
		},
		{
			"port", "use = egg:Paste#http\nport = 65536",
			`port = "65536": want a whole number from 0 to 65535, such as 8080`,
		},
		{"another server's setting", "use = egg:Paste#http\nident = x", "ident: unknown setting"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, nil, tt.section); err == nil ||
				!strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Without host and port each server has its original's.
func TestDefaultAddress(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"use = egg:Paste#http\nport = 0":                   "127.0.0.1:",
		"use = egg:waitress#main\nport = 0":                "0.0.0.0:",
		"use = egg:Paste#http\nlisten = 127.0.0.2:0":       "127.0.0.2:",
		"use = egg:Paste#http\nhost = ::1\nport = 0":       "[::1]:",
		"use = egg:Paste#http\nsocket_timeout = 5\nport=0": "127.0.0.1:",
	} {
		s, err := load(t, nil, section)
		if err != nil {
			t.Fatal(err)
		}
		if got := start(t, s, tell)[0].String(); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", section, got, want)
		}
	}
}
