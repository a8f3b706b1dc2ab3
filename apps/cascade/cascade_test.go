package cascade_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/apps/cascade"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction"
)

// answer returns an app that answers with a status, a header field and a text.
func answer(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("From", text)
		w.Header().Add("Set-Cookie", text+"=1")
		w.WriteHeader(status)
		io.WriteString(w, text)
	})
}

func fail(status int, text string) http.Handler {
	return handler.Func(func(http.ResponseWriter, *http.Request) error {
		return &handler.Error{Status: status, Err: errors.New(text)}
	})
}

func newCascade(tb testing.TB, c cascade.Config) http.Handler {
	tb.Helper()
	app, err := cascade.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return app
}

func TestCascade(t *testing.T) {
	t.Parallel()
	silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	tests := []struct {
		name       string
		catch      []int
		apps       []http.Handler
		wantStatus int
		wantText   string
		wantFrom   []string
	}{
		{
			"first", nil,
			[]http.Handler{answer(200, "a"), answer(200, "b")},
			200, "a",
			[]string{"outer", "a"},
		},
		{
			"second", nil,
			[]http.Handler{answer(404, "a"), answer(200, "b")},
			200, "b",
			[]string{"outer", "b"},
		},
		{
			"third", nil,
			[]http.Handler{answer(404, "a"), answer(404, "b"), answer(200, "c")},
			200,
			"c",
			[]string{"outer", "c"},
		},
		{
			"the last answer is never caught", nil,
			[]http.Handler{answer(404, "a"), answer(404, "b")},
			404, "b",
			[]string{"outer", "b"},
		},
		{"alone", nil, []http.Handler{answer(404, "a")}, 404, "a", []string{"outer", "a"}},
		{
			"not caught", nil,
			[]http.Handler{answer(500, "a"), answer(200, "b")},
			500, "a",
			[]string{"outer", "a"},
		},
		{"others are caught", []int{500, 403}, []http.Handler{
			answer(403, "a"), answer(500, "b"),
			answer(404, "c"), answer(200, "d"),
		}, 404, "c", []string{"outer", "c"}},
		{
			"no status is caught",
			[]int{},
			[]http.Handler{answer(404, "a"), answer(200, "b")},
			404, "a",
			[]string{"outer", "a"},
		},
		{
			"an app that writes nothing has answered", nil,
			[]http.Handler{silent, answer(200, "b")},
			200, "",
			[]string{"outer"},
		},
		{
			"an error counts as its status", nil,
			[]http.Handler{fail(404, "a"), answer(200, "b")},
			200, "b",
			[]string{"outer", "b"},
		},
		{
			"an error that is not caught", nil,
			[]http.Handler{fail(403, "a"), answer(200, "b")},
			403,
			"Forbidden\n",
			[]string{"outer"},
		},
		{
			"the last app's error", nil,
			[]http.Handler{answer(404, "a"), fail(410, "b")},
			410,
			"Gone\n",
			[]string{"outer"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			app := newCascade(t, cascade.Config{Apps: tt.apps, Catch: tt.catch})
			for _, http2 := range []bool{false, true} {
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
					r *http.Request,
				) {
					w.Header().Add("From", "outer")
					app.ServeHTTP(w, r)
				}))
				server.EnableHTTP2 = http2
				server.StartTLS()
				resp, err := server.Client().Get(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				server.Close()
				if resp.StatusCode != tt.wantStatus || string(body) != tt.wantText {
					t.Errorf("%s: got %d %q, want %d %q", resp.Proto, resp.StatusCode, body,
						tt.wantStatus, tt.wantText)
				}
				if diff := cmp.Diff(tt.wantFrom, resp.Header["From"]); diff != "" {
					t.Errorf("%s: header of a dropped answer left, or a header lost: %s",
						resp.Proto, diff)
				}
				if len(resp.Cookies()) != len(tt.wantFrom)-1 {
					t.Errorf("%s: got cookies %v", resp.Proto, resp.Cookies())
				}
			}
		})
	}
}

// Each app gets the body from its start, however much the app before it has read.
func TestBody(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", 1<<16)
	reads := func(n int64, status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(io.LimitReader(r.Body, n))
			r.Header.Set("Changed", "by another app")
			w.WriteHeader(status)
			fmt.Fprintf(w, "%s %v", body, err)
		})
	}
	app := newCascade(t, cascade.Config{HighWater: 1, Apps: []http.Handler{
		reads(0, 404), reads(10, 404), reads(1<<30, 404), reads(1000, 404),
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Changed") != "" {
				t.Error("the header of the request was changed by an earlier app")
			}
			reads(1<<30, 200).ServeHTTP(w, r)
		}),
	}})
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	for _, body := range []string{"", "short", large} {
		for _, chunked := range []bool{false, true} {
			var reader io.Reader = strings.NewReader(body)
			if chunked {
				reader = io.MultiReader(reader) // a body without a length
			}
			resp, err := server.Client().Post(server.URL, "text/plain", reader)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := body + " <nil>"; string(got) != want {
				t.Errorf("chunked %v: got %d bytes, want %d", chunked, len(got), len(want))
			}
		}
	}
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	read := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		if err == nil {
			w.WriteHeader(http.StatusNotFound)
		}
		return err
	})
	app := newCascade(t, cascade.Config{Apps: []http.Handler{read, answer(200, "b")}, MaxBody: 5})
	for body, want := range map[string]int{"12345": 200, "123456": 413} {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", body, w.Code, want)
		}
	}
}

// An answer that is not caught is not buffered.
func TestStreams(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints) // dropped: the answer may be caught
		w.Header().Set("Trailer", "Sum")
		io.WriteString(w, "first ")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err !=
			nil {
			t.Error(err)
		}
		<-goOn
		if _, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("second")); err != nil {
			t.Error(err)
		}
		w.Header().Set("Sum", "12")
	})
	server := httptest.NewServer(newCascade(t,
		cascade.Config{Apps: []http.Handler{answer(404, "a"), stream, answer(200, "c")}}))
	t.Cleanup(server.Close)
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first " {
		t.Fatalf("got %q, %v", first, err)
	}
	close(goOn)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || string(rest) != "second" || resp.Trailer.Get("Sum") != "12" {
		t.Errorf("got %q, %v, trailer %v", rest, err, resp.Trailer)
	}
}

func TestHijack(t *testing.T) {
	t.Parallel()
	hijack := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 299 Mine\r\nConnection: close\r\n\r\n")
	})
	server := httptest.NewServer(newCascade(t,
		cascade.Config{Apps: []http.Handler{answer(404, "a"), hijack, answer(200, "c")}}))
	t.Cleanup(server.Close)
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 299 {
		t.Errorf("got %d, want 299", resp.StatusCode)
	}
}

// Calls on a response writer whose answer is dropped have no effect.
func TestDroppedAnswer(t *testing.T) {
	t.Parallel()
	busy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Late", "1")
		if n, err := w.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if n, err := io.WriteString(w, "abc"); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if n, err := io.Copy(w, strings.NewReader("abc")); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err,
			http.ErrNotSupported) {
			t.Errorf("got %v, want ErrNotSupported", err)
		}
	})
	w := httptest.NewRecorder()
	newCascade(t, cascade.Config{Apps: []http.Handler{busy, answer(201, "b")}}).ServeHTTP(w,
		httptest.NewRequest(http.MethodGet, "/", nil))
	want := http.Header{
		"From": {"b"}, "Set-Cookie": {"b=1"},
		"Content-Type": {"text/plain; charset=utf-8"},
	}
	got := w.Header()
	got.Set("Content-Type", "text/plain; charset=utf-8")
	if w.Code != 201 || w.Body.String() != "b" || w.Flushed || cmp.Diff(want, got) != "" {
		t.Errorf("got %d %q, flushed %v, %s", w.Code, w.Body, w.Flushed, cmp.Diff(want, got))
	}
}

// Filters in front of the cascade that answer failed requests get transient errors, and errors that
// are not caught.
func TestErrorsBehindFilters(t *testing.T) {
	t.Parallel()
	conflict := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusServiceUnavailable)
		return transaction.Transient(errors.New("lost a race"))
	})
	flushes := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt.Fail(r.Context(), errors.New("half done"))
		return http.NewResponseController(w).Flush()
	})
	tests := []struct {
		name    string
		catch   []int
		first   http.Handler
		want    string // text of the answer
		wantErr string // error in the outer result
	}{
		{"caught", []int{404}, fail(404, "no"), "b", ""},
		{"not caught", []int{404}, fail(403, "no"), "", "no"},
		{"transient", []int{503}, conflict, "", "lost a race"},
		{"flush after a failure", []int{404}, flushes, "", "half done"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, result := attempt.NewContext(t.Context())
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			newCascade(t, cascade.Config{Catch: tt.catch, Apps: []http.Handler{
				tt.first,
				answer(200, "b"),
			}}).ServeHTTP(w, r)
			if w.Body.String() != tt.want || w.Flushed {
				t.Errorf("got %q, flushed %v, want %q", w.Body, w.Flushed, tt.want)
			}
			got := ""
			if err := result.Err(); err != nil {
				got = err.Error()
			}
			if got != tt.wantErr {
				t.Errorf("got outcome %q, want %q", got, tt.wantErr)
			}
		})
	}
}

func TestPanicPropagates(t *testing.T) {
	t.Parallel()
	app := newCascade(t, cascade.Config{Apps: []http.Handler{
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("ouch") }),
		answer(200, "b"),
	}})
	defer func() {
		if v := recover(); v != "ouch" {
			t.Errorf("got %v", v)
		}
	}()
	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/",
		strings.NewReader("x")))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		config  cascade.Config
		wantErr string
	}{
		{"none", cascade.Config{}, "cascade: no app: write app1 = …"},
		{"nil", cascade.Config{Apps: []http.Handler{nil}}, "cascade: an app is nil"},
		{
			"status",
			cascade.Config{Apps: []http.Handler{answer(200, "")}, Catch: []int{200}},
			"cascade: 200 can't be caught: want a status from 300 to 599, such as 404",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := cascade.New(tt.config); err == nil || err.Error() != tt.wantErr {
				t.Errorf("got %v, want %s", err, tt.wantErr)
			}
		})
	}
}

func load(ctx context.Context, ini string) (*pipeline.Pipeline, error) {
	registry := pipeline.NewRegistry()
	cascade.Register(registry)
	pipeline.App(registry, "egg:test#answer", func(_ *pipeline.Build, s struct {
		Status int
		Text   string
	},
	) (http.Handler, error) {
		return answer(s.Status, s.Text), nil
	})
	ini += "[app:none]\nuse = egg:test#answer\nstatus = 404\ntext = none\n[app:gone]\nuse = " +
		"egg:test#answer\nstatus = 410\ntext = gone\n" +
		"[app:ok]\nuse = egg:test#answer\nstatus = 200\ntext = ok\n"
	return pipeline.Load(ctx, "site.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
	})
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		ini          string
		want         string
		wantWarnings int
	}{
		{
			"order of keys", "[composite:main]\nuse = egg:Paste#cascade\napp2 = ok\napp1 = none\n",
			"ok", 0,
		},
		{
			"default", "[composite:main]\nuse = egg:pasteline#cascade\napp1 = gone\napp2 = ok\n",
			"gone", 0,
		},
		{"catch", "[composite:main]\nuse = egg:Paste#cascade\ncatch = 404 410\napp1 = none\napp2 " +
			"= gone\napp3 = ok\n", "ok", 0},
		{"catch nothing", "[composite:main]\nuse = egg:Paste#cascade\ncatch =\napp1 = none\napp2 " +
			"= ok\n", "none", 0},
		{
			"as text", "[composite:main]\nuse = egg:Paste#cascade\napp2 = none\napp10 = ok\n", "ok",
			1,
		},
		{"by its function", "[composit:main]\npaste.composit_factory = " +
			"paste.cascade:make_cascade\napp_a = ok\napp_b = none\n", "ok", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t.Context(), tt.ini)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
			if w.Body.String() != tt.want || len(p.Warnings()) != tt.wantWarnings {
				t.Errorf("got %q, warnings %v, want %q, %d", w.Body, p.Warnings(), tt.want,
					tt.wantWarnings)
			}
		})
	}
}

func TestFromINIErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		ini     string
		wantErr string
	}{
		{
			"catch", "[composite:main]\nuse = egg:Paste#cascade\ncatch = 404 no\napp1 = ok\n",
			`site.ini:3: [composite:main] catch = "404 no": "no" is not a status that can be ` +
				`caught: want numbers from 300 to 599, such as 404 500`,
		},
		{
			"key", "[composite:main]\nuse = egg:Paste#cascade\nfirst = ok\n",
			`site.ini:3: [composite:main] first = "ok": want a key that begins with app; write ` +
				`app1 = …, app2 = …, or catch = …`,
		},
		{
			"none", "[composite:main]\nuse = egg:Paste#cascade\n",
			`site.ini:1: [composite:main]: cascade: no app: write app1 = …`,
		},
		{
			"app", "[composite:main]\nuse = egg:Paste#cascade\napp1 = oh\n",
			`site.ini:3: [composite:main] app1 = "oh": `,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t.Context(), tt.ini); err == nil || !strings.HasPrefix(err.Error(),
				tt.wantErr) {
				t.Errorf("got %v, want %s", err, tt.wantErr)
			}
		})
	}
}

// The outer result records that an app with a dropped answer has committed a transaction.
func TestCommittedWorkIsReported(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{true, false} {
		first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if result, ok := attempt.FromContext(r.Context()); ok && keeps {
				result.SetCommitted()
			}
			http.NotFound(w, r)
		})
		h, err := cascade.New(cascade.Config{Apps: []http.Handler{first, http.NotFoundHandler()}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, result := attempt.NewContext(t.Context())
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx,
			http.MethodGet, "/", nil))
		if result.Committed() != keeps {
			t.Errorf("kept %v, want %v", result.Committed(), keeps)
		}
	}
}
