package echo_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/apps/echo"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

func get(t *testing.T, c echo.Config, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	app := echo.New(c)
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	return w
}

func TestEcho(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/blog/a%2Fb?q=1", strings.NewReader("text"))
	r.Header = http.Header{"B": {"2", "3"}, "A": {"1"}, "Cookie": {"id=geheim"}, "Odd": {"a\x1bb"}}
	r.Trailer = http.Header{"Sum": {"9"}}
	r, _ = mount.Cut(r, "/blog")
	w := get(t, echo.Config{}, r)
	want := `POST /a%2Fb?q=1 HTTP/1.1
Host: example.com
A: 1
B: 2
B: 3
Cookie: ***
Odd: "a\x1bb"

script name: "/blog"
path: "/a/b"
scheme: http
remote address: 192.0.2.1:1234
body: 4 bytes

text

trailers:
Sum: 9
`
	if got := w.Body.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %q: a browser could take this for HTML", got)
	}
	if w := get(t, echo.Config{Secrets: true}, r); !strings.Contains(w.Body.String(),
		"Cookie: id=geheim\n") {
		t.Errorf("got\n%s", w.Body)
	}
}

// Characters that could control a terminal are escaped in all parts of the request.
func TestEscapes(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.RawQuery, r.Host = "a=\u009b31m", "x\u202ey"
	got := get(t, echo.Config{}, r).Body.String()
	if want := "GET \"/?a=\\u009b31m\" HTTP/1.1\nHost: \"x\\u202ey\"\n"; !strings.HasPrefix(got,
		want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		max  int64
		body string
		want string // the end of the answer
	}{
		{"none", 0, "", "remote address: 192.0.2.1:1234\n"},
		{"text", 0, "a\tb\r\nc", "body: 6 bytes\n\na\tb\r\nc\n"},
		{"line", 0, "a\n", "body: 2 bytes\n\na\n"},
		{"not ascii", 0, "über", "body: 5 bytes\n\nüber\n"},
		{
			"bytes", 0, "\x00\xff\x1b[1m",
			"body: 6 bytes\n\n00000000  00 ff 1b 5b 31 6d                                 |...[1m|\n",
		},
		{
			"text with a binary end", 0, "ab\xc3",
			"body: 3 bytes\n\n00000000  61 62 c3                                          |ab.|\n",
		},
		{"no limit", -1, strings.Repeat("abc\n", 20<<10), "abc\nabc\n"},
		{"more", 4, "abcdef", "body: 6 bytes\n\nabcd\n… and 2 bytes more\n"},
		{"exactly the limit", 4, "abcd", "body: 4 bytes\n\nabcd\n"},
		{"cut in a character", 4, "abcü", "body: 5 bytes\n\nabc\n… and 2 bytes more\n"},
		{"more bytes than shown", 2, "\x00\x01\x02", "body: 3 bytes\n\n00000000  00 01                      " +
			"                       |..|\n… and 1 bytes more\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := get(t, echo.Config{MaxBody: tt.max}, httptest.NewRequest(http.MethodPost, "/",
				strings.NewReader(tt.body)))
			if got := w.Body.String(); !strings.HasSuffix(got, tt.want) {
				t.Errorf("got\n%s\nwant it to end with\n%s", got, tt.want)
			}
		})
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestBrokenBody(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{
		400: io.ErrUnexpectedEOF,
		413: &http.MaxBytesError{Limit: 1},
	} {
		w := get(t, echo.Config{}, httptest.NewRequest(http.MethodPost, "/", broken{err}))
		if w.Code != want {
			t.Errorf("%v: got %d, want %d", err, w.Code, want)
		}
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	app := echo.New(echo.Config{})
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	resp, err := server.Client().Post(server.URL+"/x", "text/plain",
		io.MultiReader(strings.NewReader("chunked")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		"POST /x HTTP/1.1\n", "Content-Type: text/plain\n",
		"body: 7 bytes\n\nchunked\n",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("got\n%s\nwant %q in it", body, want)
		}
	}
	resp, err = server.Client().Head(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %d", resp.StatusCode)
	}
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	echo.Register(registry)
	for _, tt := range []struct{ ini, want string }{
		{"[app:main]\nuse = egg:Paste#test\n", "Cookie: ***\n"},
		{
			"[app:main]\npaste.app_factory = paste.debug.debugapp:make_test_app\nmax_body = 2\n",
			"… and 2 bytes more\n",
		},
		{"[DEFAULT]\ndebug = true\n[app:main]\nuse = egg:pasteline#echo\n", "Cookie: a=b\n"},
	} {
		p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
			Registry: registry,
			ReadFile: func(string) ([]byte, error) { return []byte(tt.ini), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body"))
		r.Header.Set("Cookie", "a=b")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("got\n%s\nwant %q in it", w.Body, tt.want)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
