package retry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

var discardLog = log.New(io.Discard, "", 0)

// unwrapping and opaque are response writers as middlewares of other packages have them, with and
// without Unwrap.
type unwrapping struct {
	http.ResponseWriter
	status int
}

func (w *unwrapping) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
func (w *unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type opaque struct{ http.ResponseWriter }

// upperCase is a middleware like a compressor: it buffers and changes the output, and writes the
// rest after the handler has returned.
type upperCase struct {
	http.ResponseWriter
	kept bytes.Buffer
}

func (w *upperCase) Write(p []byte) (int, error) { return w.kept.Write(bytes.ToUpper(p)) }
func (w *upperCase) emit() error {
	_, err := w.kept.WriteTo(w.ResponseWriter)
	return err
}

func (w *upperCase) FlushError() error {
	if err := w.emit(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}
func (w *upperCase) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func middle(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			wrapped := wrap(w)
			next.ServeHTTP(wrapped, r)
			if u, ok := wrapped.(*upperCase); ok {
				_ = u.emit()
			}
		})
	}
}

// chains are the orders in which filters and middlewares stand in front of an app.
func chains(t *testing.T) map[string]func(http.Handler) http.Handler {
	t.Helper()
	again := mustRetry(t, retry.Config{HighWater: 32 << 10})
	transact := tm.New(tm.Config{HighWater: 32 << 10})
	vetoed := tm.New(tm.Config{Veto: tm.RepozeVeto})
	between := func(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler { return again(middle(wrap)(transact(h))) }
	}
	return map[string]func(http.Handler) http.Handler{
		"retry":          again,
		"tm":             transact,
		"retry+tm":       func(h http.Handler) http.Handler { return again(transact(h)) },
		"retry+tm, veto": func(h http.Handler) http.Handler { return again(vetoed(h)) },
		"retry+tm+tm":    func(h http.Handler) http.Handler { return again(transact(transact(h))) },
		"tm+retry":       func(h http.Handler) http.Handler { return transact(again(h)) },
		"retry+U+tm":     between(func(w http.ResponseWriter) http.ResponseWriter { return &unwrapping{ResponseWriter: w} }),
		"retry+U+U+tm": between(func(w http.ResponseWriter) http.ResponseWriter {
			return &unwrapping{ResponseWriter: &unwrapping{ResponseWriter: w}}
		}),
	}
}

type answer struct {
	Proto   string
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header
	Err     string
}

// ask sends one request and records the whole answer.
func ask(t *testing.T, server *httptest.Server, method, path string, body io.Reader) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		return answer{Err: "no answer"}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	a := answer{
		Proto: response.Proto, Status: response.StatusCode, Header: response.Header,
		Body: string(text), Trailer: response.Trailer,
	}
	if err != nil {
		a.Err = "cut off"
	}
	if len(a.Trailer) == 0 {
		a.Trailer = nil
	}
	a.Header.Del("Date")
	return a
}

// A response is the same with and without the filters, whatever the handler does.
func TestResponsesAreThoseOfTheBareHandler(t *testing.T) {
	t.Parallel()
	scenarios := []struct {
		name   string
		method string
		length bool // Content-Length may be added, as the whole body is known when it is sent
		// net/http's HTTP/2 server accepts more than Content-Length, and then cuts off the response
		http1   bool
		handler http.HandlerFunc
	}{
		{name: "nothing", handler: func(http.ResponseWriter, *http.Request) {}},
		{name: "header only", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			w.Header().Set("X-A", "1")
		}},
		{name: "write", handler: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w,
				"hello")
		}},
		{name: "write html", handler: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w,
				"<html><p>hello")
		}},
		{name: "empty write", handler: func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = w.Write(nil)
		}},
		{name: "status", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "short and stout")
		}},
		{name: "header after status", handler: func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("X-A", "1")
			w.WriteHeader(http.StatusOK)
			h.Set("X-A", "2")
			h.Set("X-B", "2")
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "hello")
		}},
		{name: "Header called after the status", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			fmt.Fprint(w, "hello")
			w.Header().Set("X-A", "too late")
		}},
		{name: "values changed in place after the status", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			w.Header().Add("X-A", "1")
			w.Header().Add("X-A", "2")
			w.WriteHeader(http.StatusOK)
			w.Header()["X-A"][0] = "too late"
			fmt.Fprint(w, "hello")
		}},
		{name: "outer header removed", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("X-Outer")
			w.Header().Add("X-Outer-Too", "more")
			fmt.Fprint(w, "hello")
		}},
		{name: "large", length: true, handler: func(w http.ResponseWriter, _ *http.Request) {
			for i := range 20000 {
				fmt.Fprintln(w, "line", i)
			}
		}},
		{
			name: "medium HEAD", length: true, method: http.MethodHead,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(bytes.Repeat([]byte("x"), 3000))
			},
		},
		{name: "HEAD", method: http.MethodHead, handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			fmt.Fprint(w, "hello")
		}},
		{name: "HEAD with length", method: http.MethodHead, handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			w.Header().Set("Content-Length", "1000")
		}},
		{name: "204", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := fmt.Fprint(w, "no"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("write after 204: %v", err)
			}
		}},
		{name: "304", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
			if _, err := fmt.Fprint(w, "no"); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("write after 304: %v", err)
			}
		}},
		{name: "content length", http1: true, handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			w.Header().Set("Content-Length", "5")
			if _, err := io.WriteString(w, "hello"); err != nil {
				t.Errorf("write: %v", err)
			}
			if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("write beyond Content-Length: %v", err)
			}
		}},
		{name: "declared trailers", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-Other")
			fmt.Fprint(w, "hello")
			w.Header().Set("X-Sum", "42")
			w.Header().Set("X-Undeclared", "1")
		}},
		{name: "prefixed trailers after a flush", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) {
			fmt.Fprint(w, "hello")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
		}},
		{name: "declared trailers, large", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = w.Write(bytes.Repeat([]byte("x"), 100<<10))
			w.Header().Set("X-Sum", "42")
		}},
		{name: "flush first", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-A", "1")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			w.Header().Set("X-B", "too late")
			fmt.Fprint(w, "hello")
		}},
		{name: "flush between", handler: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "hel")
			http.NewResponseController(w).Flush()
			fmt.Fprint(w, "lo")
			http.NewResponseController(w).Flush()
			fmt.Fprint(w, "!")
		}},
		{name: "ReadFrom", length: true, handler: func(w http.ResponseWriter, _ *http.Request) {
			if n, err := io.Copy(w, onlyReader{strings.NewReader(strings.Repeat("y",
				100<<10))}); n != 100<<10 || err != nil {
				t.Errorf("copied %d, %v", n, err)
			}
		}},
		{name: "ReadFrom after flush", handler: func(w http.ResponseWriter, _ *http.Request) {
			http.NewResponseController(w).Flush()
			if n, err := io.Copy(w, onlyReader{strings.NewReader(strings.Repeat("y",
				100<<10))}); n != 100<<10 || err != nil {
				t.Errorf("copied %d, %v", n, err)
			}
		}},
		{name: "serve content", length: true, handler: func(w http.ResponseWriter,
			r *http.Request,
		) {
			http.ServeContent(w, r, "a.txt", time.Unix(1, 0),
				strings.NewReader(strings.Repeat("z", 5000)))
		}},
		{name: "error", handler: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no",
				http.StatusNotFound)
		}},
		{name: "deadlines", handler: func(w http.ResponseWriter, _ *http.Request) {
			c := http.NewResponseController(w)
			if err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Minute)),
				c.SetWriteDeadline(time.Now().Add(time.Minute))); err != nil {
				t.Errorf("deadlines: %v", err)
			}
			fmt.Fprint(w, "hello")
		}},
		{name: "panic", handler: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "hello")
			panic(http.ErrAbortHandler)
		}},
		{name: "panic after flush", handler: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "hello")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
	}
	outer := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Outer", "1")
			w.Header().Set("X-Outer-Too", "1")
			h.ServeHTTP(w, r)
		})
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
				if s.http1 && protocol != "HTTP/1.1" {
					continue
				}
				method := s.method
				if method == "" {
					method = http.MethodGet
				}
				want := ask(t, serve(t, protocol, outer(s.handler)), method, "/", nil)
				for name, chain := range chains(t) {
					got := ask(t, serve(t, protocol, outer(chain(s.handler))), method, "/", nil)
					if s.length && want.Header.Get("Content-Length") == "" {
						if length := got.Header.Get("Content-Length"); method == http.MethodGet &&
							length != "" && length != fmt.Sprint(len(got.Body)) {
							t.Errorf("%s %s: Content-Length %s, body has %d", protocol, name,
								length, len(got.Body))
						}
						got.Header.Del("Content-Length")
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s %s: -bare +filtered:\n%s", protocol, name, diff)
					}
				}
			}
		})
	}
}

type onlyReader struct{ io.Reader }

// A writer without Unwrap hides the optional methods, with and without the filters, but not the
// response.
func TestOpaqueMiddlewareBetween(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("flush through an opaque writer: %v", err)
		}
		fmt.Fprint(w, "hello")
		return l.write(r.Context(), "entry")
	})
	h := mustRetry(t,
		retry.Config{})(middle(func(w http.ResponseWriter) http.ResponseWriter { return opaque{w} })(tm.New(tm.Config{})(app)))
	for server := range protocols(t, h) {
		l.failNext(transaction.Transient(errCommit))
		if got := ask(t, server, http.MethodGet, "/", nil); got.Status != http.StatusOK ||
			got.Body != "hello" {
			t.Errorf("got %+v", got)
		}
	}
	if got := len(l.entries()); got != 2 {
		t.Errorf("%d commits, want 2", got)
	}
}

// Output that a middleware buffers until its end is neither lost nor sent too early, and does not
// contain output of a failed attempt.
func TestTransformingMiddlewareBetween(t *testing.T) {
	t.Parallel()
	for _, flush := range []bool{false, true} {
		t.Run(fmt.Sprintf("flush=%v", flush), func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				attempt, _ := transaction.AttemptFromContext(r.Context())
				if err := l.write(r.Context(), "entry"); err != nil {
					return err
				}
				fmt.Fprintf(w, "attempt %d", attempt.Number)
				if flush {
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
					fmt.Fprint(w, " of three")
				}
				return nil
			})
			between := middle(func(w http.ResponseWriter) http.ResponseWriter { return &upperCase{ResponseWriter: w} })
			for server := range protocols(t,
				mustRetry(t, retry.Config{})(between(tm.New(tm.Config{})(app)))) {
				l.failNext(transaction.Transient(errCommit))
				want := "ATTEMPT 2"
				if flush {
					want += " OF THREE"
				}
				if got := ask(t, server, http.MethodGet, "/", nil); got.Body != want {
					t.Errorf("got %+v, want %q", got, want)
				}
			}
		})
	}
}

// The veto of tm gets the status that the app wrote, even if a middleware has not passed it on yet.
func TestVetoGetsAppStatusThroughMiddleware(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "sorry")
		return l.write(r.Context(), "entry")
	})
	between := middle(func(w http.ResponseWriter) http.ResponseWriter { return &upperCase{ResponseWriter: w} })
	for server := range protocols(t,
		mustRetry(t, retry.Config{})(between(tm.New(tm.Config{})(app)))) {
		if got := ask(t, server, http.MethodGet, "/", nil); got.Status !=
			http.StatusInternalServerError || got.Body != "SORRY" {
			t.Errorf("got %+v", got)
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
}

// Hijack ends the transaction as a flush does; if the server does not support it, the transaction
// goes on.
func TestHijack(t *testing.T) {
	t.Parallel()
	for name, chain := range chains(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				if name != "retry" {
					if err := l.write(r.Context(), "entry"); err != nil {
						return err
					}
				}
				conn, buffered, err := http.NewResponseController(w).Hijack()
				if errors.Is(err, http.ErrNotSupported) {
					fmt.Fprint(w, "not supported")
					return nil
				}
				if err != nil {
					return err
				}
				defer conn.Close()
				if name != "retry" && len(l.entries()) != 1 {
					t.Errorf("hijacked before the commit")
				}
				fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: "+
					"Upgrade\r\nUpgrade: x\r\n\r\nraw")
				if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
					t.Errorf("write after hijack: %v", err)
				}
				return buffered.Flush()
			})
			if name != "retry" && name != "tm" && name != "tm+retry" {
				l.failNext(transaction.Transient(errCommit))
			}
			server := serve(t, "HTTP/1.1", chain(app))
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Connection", "Upgrade")
			request.Header.Set("Upgrade", "x")
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("status %d", response.StatusCode)
			}
			if text, err := bufio.NewReader(response.Body).Peek(3); string(text) != "raw" {
				t.Errorf("got %q, %v", text, err)
			}
			if got := ask(t, serve(t, "HTTP/2.0", chain(app)), http.MethodGet, "/",
				nil); got.Body != "not supported" {
				t.Errorf("HTTP/2: %+v", got)
			}
		})
	}
}

// A 103 response is dropped while the response is buffered, and passed on afterwards.
func TestEarlyHints(t *testing.T) {
	t.Parallel()
	h := mustRetry(t,
		retry.Config{})(tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "hello")
	})))
	for server := range protocols(t, h) {
		got := ask(t, server, http.MethodGet, "/", nil)
		if got.Status != http.StatusAccepted || got.Body != "hello" ||
			got.Header.Get("Link") == "" {
			t.Errorf("got %+v", got)
		}
	}
}

// A handler's goroutine that continues after the handler can't write to another request's response.
func TestUseAfterReturn(t *testing.T) {
	t.Parallel()
	stray := make(chan http.ResponseWriter, 1)
	h := mustRetry(t,
		retry.Config{})(tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request,
	) {
		select {
		case stray <- w:
		default:
		}
		fmt.Fprint(w, "hello")
	})))
	for server := range protocols(t, h) {
		ask(t, server, http.MethodGet, "/", nil)
		w := <-stray
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				if _, err := w.Write([]byte("STRAY")); err == nil {
					t.Error("a write after the end was accepted")
				}
				w.Header().Set("X-Stray", "1")
				w.WriteHeader(http.StatusTeapot)
				if err := http.NewResponseController(w).Flush(); err == nil {
					t.Error("a flush after the end was accepted")
				}
			}
		}()
		for range 50 {
			if got := ask(t, server, http.MethodGet, "/", nil); got.Body != "hello" ||
				got.Header.Get("X-Stray") != "" {
				t.Errorf("got %+v", got)
			}
			select {
			case <-stray:
			default:
			}
		}
		cancel()
		<-done
	}
}
