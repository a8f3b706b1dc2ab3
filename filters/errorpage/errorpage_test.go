package errorpage_test

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"sync"
	"testing"
)

// Each kind of failure is answered in each media type, with its cause.
func TestFailures(t *testing.T) {
	t.Parallel()
	const own = "errorpage_test.(*shop)"
	for _, tt := range []struct {
		name, ini, path string
		status          int
		want            []string // in each form of the answer
	}{
		{"a returned error", whole, "/error", 500, []string{"order 7", "only 3 left", "*errorpage_test.stockError", "unexpected EOF", own + ".fail"}},
		{"a returned error without filters", head + "    shop\n", "/error", 500, []string{"order 7", "*errorpage_test.stockError", own + ".fail"}},
		{"a panic", whole, "/panic", 500, []string{"price of 7: only 0 left", own + ".panics", "site_test.go"}},
		{"a panic without filters", head + "    shop\n", "/panic", 500, []string{"price of 7: only 0 left", own + ".panics"}},
		{"a panic of the runtime", onlyTM, "/nil", 500, []string{"assignment to entry in nil map", own + ".nilMap"}},
		{"a conflict that persists", whole, "/transient", 503, []string{"every attempt (3 of 3) was lost", "only 6 left"}},
		{"a conflict without retry", onlyTM, "/transient", 503, []string{"retry is missing", "egg:repoze.retry#retry"}},
		{"a failed commit", whole, "/commit", 500, []string{"only 1 left"}},
		{"a panic of a hook", whole, "/hook", 500, []string{"no hook today", own + ".panicInHook"}},
		{"a statement", whole, "/sql", 500, []string{"UPDATE stock SET n = n - 1", "1.5s"}},
		{"a passed deadline", whole, "/deadline", 503, []string{"context deadline exceeded"}},
		{"an app with its own page", whole, "/responder", 500, []string{"order 7"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serveINI(t, tt.ini)
			for accept, kind := range map[string]string{
				asHTML: "text/html; charset=utf-8", asJSON: "application/problem+json",
				asText: "text/plain; charset=utf-8",
			} {
				got := s.get(tt.path, accept)
				if got.status != tt.status || got.header.Get("Content-Type") != kind {
					t.Fatalf("%s: got %d %s\n%s", accept, got.status, got.header.Get("Content-Type"), got.body)
				}
				for _, want := range tt.want {
					if !strings.Contains(got.body, want) {
						t.Errorf("%s: %q is not in\n%s", accept, want, got.body)
					}
				}
				if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Request-Id") == "" ||
					!strings.Contains(got.body, got.header.Get("X-Request-Id")) || len(got.header["Set-Cookie"]) > 1 {
					t.Errorf("%s: header %v", accept, got.header)
				}
				if kind == "application/problem+json" && !json.Valid([]byte(got.body)) {
					t.Errorf("not JSON: %s", got.body)
				}
				if kind == "text/html; charset=utf-8" {
					policy := got.header.Get("Content-Security-Policy")
					if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
						t.Errorf("policy %q", policy)
					}
				}
			}
			if n := strings.Count(s.log.String(), "a handler panicked"); strings.Contains(tt.name, "a panic") &&
				tt.path != "/hook" && n != 3 {
				t.Errorf("3 panics are logged %d times:\n%s", n, s.log)
			}
		})
	}
}

// body returns the answer to a request in each media type.
func (s *testSite) each(path string) map[string]string {
	return map[string]string{
		"HTML": s.get(path, asHTML).body, "JSON": s.get(path, asJSON).body, "text": s.get(path, asText).body,
	}
}

// A newcomer finds the cause and the remedy of common mistakes on the page.
func TestPlantedFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, ini, path string
		want            []string
	}{
		{"tm is missing", withoutTM, "/session", []string{
			"tm is missing", "put egg:repoze.tm2#tm before the app", "egg:repoze.retry#retry", "site.ini:25",
			"pipeline =\n    browserid\n    egg:repoze.retry#retry\n    egg:repoze.tm2#tm\n    shop\n",
		}},
		{"browserid is missing", withoutID, "/session", []string{
			"browserid is missing", "egg:repoze.browserid#browserid", "secret_key_file", "site.ini:26",
		}},
		{"another context", whole, "/other", []string{"outside of the transaction of its request", "r.Context()"}},
		{"retry behind tm", wrong, "/transient", []string{"retry stands behind", "site.ini:26", "in front of"}},
		{"a nil map", whole, "/nil", []string{"assignment to entry in nil map", "the line that panics"}},
		{"a hot key", strings.Replace(whole, "tries = 3", "tries = 2", 1), "/conflict", []string{
			"every attempt (2 of 2) was lost", "stock apples",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serveINI(t, tt.ini)
			body := html.UnescapeString(s.get(tt.path, asHTML).body)
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("%q is not in\n%s", want, body)
				}
			}
		})
	}
}

// Other clients than those on this machine get the answer of production.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	proxied := serveINI(t, strings.Replace(whole, "port = 0", "port = 0\ntrusted_proxy = 127.0.0.1\ntrusted_proxy_headers = x-forwarded-for", 1))
	waitress := serveINI(t, strings.Replace(whole, "egg:Paste#http", "egg:waitress", 1)) // removes the fields
	off := serveINI(t, strings.Replace(whole, "debug = true", "debug = false", 1))
	plain := serveINI(t, strings.Replace(whole, "debug = true\n", "", 1))
	section := "[filter:errors]\nuse = egg:pasteline#errorpage\nallow = %s\n" +
		strings.Replace(whole, "pipeline =\n", "pipeline =\n    errors\n", 1)
	private := serveINI(t, strings.Replace(section, "%s", "10.0.0.0/8", 1))
	for _, tt := range []struct {
		name  string
		site  *testSite
		field string
		shown bool
	}{
		{"this machine", s, "X-Nothing: 1", true},
		{"localhost", s, "Host: localhost:80", true},
		{"a name that leads here", s, "Host: attacker.example", false},
		{"a proxy's client", s, "X-Forwarded-For: 203.0.113.5", false},
		{"a proxy's local client", s, "X-Forwarded-For: 127.0.0.1", false},
		{"a proxy of the standard", s, "Forwarded: for=203.0.113.5", false},
		{"another proxy", s, "X-Real-Ip: 203.0.113.5", false},
		{"a proxy that says little", s, "Via: 1.1 proxy", false},
		{"a trusted proxy", proxied, "X-Forwarded-For: 203.0.113.5", false},
		{"a trusted proxy whose client invents an address", proxied, "X-Forwarded-For: 127.0.0.1, 203.0.113.5", false},
		{"a field that the server removes", waitress, "X-Forwarded-For: 203.0.113.5", false},
		{"debug is false", off, "X-Nothing: 1", false},
		{"debug is not set", plain, "X-Nothing: 1", false},
		{"another network is allowed only", private, "X-Nothing: 1", false},
	} {
		for _, path := range []string{"/error", "/panic"} {
			for _, accept := range []string{asHTML, asJSON, asText} {
				got := tt.site.get(path, accept, tt.field)
				shown := strings.Contains(got.body, "stockError") || strings.Contains(got.body, "left")
				if got.status != 500 || shown != tt.shown {
					t.Errorf("%s, %s, %s: got %d, shown %v\n%s", tt.name, path, accept, got.status, shown, got.body)
				}
			}
		}
	}
	if got := off.get("/responder", asHTML); got.body != "the app's own page\n" {
		t.Errorf("in production the app answers: %q", got.body)
	}
	if got := s.get("/client", asText); got.status != 422 || got.body != "An entry needs a text.\n" {
		t.Errorf("an answer for the client: %d %q", got.status, got.body)
	}
}

// Networks that are not private can't be allowed, whatever debug says.
func TestAllow(t *testing.T) {
	t.Parallel()
	for allow, fine := range map[string]bool{
		"localhost": true, "": true, "10.0.0.0/8 192.168.1.0/24": true, "localhost, fd00::/8": true, "::1": true,
		"*": false, "0.0.0.0/0": false, "::/0": false, "203.0.113.5": false, "10.0.0.0/7": false, "unix": false,
		"nonsense": false,
	} {
		_, err := load(t, "[filter:errors]\nuse = egg:pasteline#errorpage\nallow = "+allow+
			"\n[pipeline:main]\npipeline = errors egg:pasteline#echo\n")
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "site.ini:3: [filter:errors] allow") {
			t.Errorf("%s: %v", allow, err)
		}
	}
}

// What has been sent stays, and the response is cut, as in production.
func TestBegun(t *testing.T) {
	t.Parallel()
	got := serveINI(t, whole).get("/stream", asHTML)
	if got.err == nil || got.body != "the first part\n" {
		t.Errorf("got %q, %v", got.body, got.err)
	}
}

// The page is the same over HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	s := serveINI(t, strings.Replace(whole, "port = 0", "port = 0\nssl_pem = *", 1))
	for _, path := range []string{"/error", "/panic"} {
		if got := s.get(path, asHTML); got.proto != "HTTP/2.0" || !strings.Contains(got.body, "stockError") {
			t.Errorf("got %s\n%s", got.proto, got.body)
		}
	}
}

// A page stays small, whatever the request has sent and done.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	form := "name=ann&password=" + strings.Repeat("xyzzy", 2_000_000)
	file := "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nann\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"cat.png\"\r\n\r\n" +
		strings.Repeat("xyzzy", 2_000_000) + "\r\n--b--\r\n"
	for _, accept := range []string{asHTML, asJSON, asText} {
		for name, got := range map[string]reply{
			"facts": s.get("/many", accept),
			"form":  s.send("POST", "/body", form, accept, "Content-Type: application/x-www-form-urlencoded"),
			"files": s.send("POST", "/body", file, accept, "Content-Type: multipart/form-data; boundary=b"),
			"JSON":  s.send("POST", "/body", `["`+strings.Repeat("a", 5_000_000)+`"]`, accept, "Content-Type: application/json"),
			"query": s.get("/error?"+strings.Repeat("a=b&", 10_000), accept),
		} {
			if got.status != 500 || len(got.body) > 400_000 || strings.Contains(got.body, "xyzzyxyzzy") {
				t.Errorf("%s, %s: got %d, %d bytes", name, accept, got.status, len(got.body))
			}
		}
	}
	got := s.send("POST", "/body", file, asHTML, "Content-Type: multipart/form-data; boundary=b").body
	if !strings.Contains(got, "cat.png") || !strings.Contains(got, ">ann<") {
		t.Errorf("the fields are missing:\n%s", got)
	}
}

// A HEAD request gets the header alone.
func TestHead(t *testing.T) {
	t.Parallel()
	got := serveINI(t, whole).send("HEAD", "/error", "", asHTML)
	if got.status != 500 || got.body != "" || got.header.Get("Content-Length") == "" {
		t.Errorf("got %+v", got)
	}
}

// Concurrent requests don't see each other's facts.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			mark := fmt.Sprintf("mark-%d-", i)
			for _, path := range []string{"/error", "/panic", "/session", "/commit"} {
				got := s.get(path+"?q="+mark, asJSON)
				if !strings.Contains(got.body, mark) || strings.Count(got.body, "?q=mark-") != 1 {
					t.Errorf("%s: got %s", mark, got.body)
				}
			}
		})
	}
	all.Wait()
}

// The page evaluates nothing that a client sends, and marks nothing up by it.
func TestEscapes(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	got := s.get("/error?%3Cscript%3E=%3Cscript%3E%7B%7B.%7D%7D", asHTML, "X-Mark: <script>{{.}}</script>").body
	if strings.Contains(got, "<script") || !strings.Contains(got, "&lt;script&gt;{{.}}") {
		t.Errorf("got %s", got)
	}
}

// A missing filter has one remedy, also if a warning about the file says the same.
func TestOneRemedy(t *testing.T) {
	t.Parallel()
	for name, ini := range map[string]string{"tm": withoutTM, "browserid": withoutID} {
		body := serveINI(t, ini).get("/session", asText).body
		if n := strings.Count(body, "\nremedy: "); n != 1 || !strings.Contains(body, name+" is missing") {
			t.Errorf("%s: got %d remedies, want 1:\n%s", name, n, body)
		}
	}
}
