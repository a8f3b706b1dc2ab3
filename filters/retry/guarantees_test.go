package retry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/transaction"
)

// Guarantee G1: if the commit fails, the client never gets a 2xx, whatever the handler does and
// whichever middlewares stand in between.
func TestNoSuccessWithoutCommit(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(w http.ResponseWriter) error{
		"write": func(w http.ResponseWriter) error { fmt.Fprint(w, "kept!"); return nil },
		"write status": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, "kept!")
			return nil
		},
		"nothing": func(http.ResponseWriter) error { return nil },
		"large": func(w http.ResponseWriter) error {
			_,
				err := w.Write(make([]byte, 200<<10))
			return err
		},
		"flush first": func(w http.ResponseWriter) error {
			if err := http.NewResponseController(w).Flush(); err == nil {
				t.Error("the flush returned no error")
			}
			if _, err := fmt.Fprint(w, "kept!"); err == nil {
				t.Error("the write is blocked, too")
			}
			return nil
		},
		"flush between": func(w http.ResponseWriter) error {
			fmt.Fprint(w, "ke")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "pt!")
			return nil
		},
		"trailers": func(w http.ResponseWriter) error {
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprint(w, "kept!")
			w.Header().Set("X-Sum", "1")
			return nil
		},
		"content length": func(w http.ResponseWriter) error {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Etag", `"1"`)
			fmt.Fprint(w, "kept!")
			return nil
		},
		"hijack": func(w http.ResponseWriter) error {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
				t.Error("hijacked")
			}
			return nil
		},
	}
	for what, f := range handlers {
		for failure, cause := range map[string]error{
			"conflict": transaction.Transient(errCommit),
			"fault":    errCommit,
		} {
			for name, chain := range chains(t) {
				if name == "retry" {
					continue // the chain has no transaction
				}
				t.Run(what+"/"+failure+"/"+name, func(t *testing.T) {
					t.Parallel()
					l := &ledger{}
					app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
						w.Header().Set("X-Attempt", "1")
						http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
						if err := l.write(r.Context(), "entry"); err != nil {
							return err
						}
						return f(w)
					})
					for server := range protocols(t, chain(app)) {
						for _, method := range []string{
							http.MethodGet, http.MethodHead,
							http.MethodPost,
						} {
							l.failNext(cause, cause, cause)
							got := ask(t, server, method, "/", nil)
							want := http.StatusInternalServerError
							if failure == "conflict" {
								want = http.StatusServiceUnavailable
							}
							if got.Status != want || got.Err != "" {
								t.Errorf("%s: got %+v, want status %d", method, got, want)
							}
							if (got.Header.Get("Retry-After") != "") != (failure == "conflict") {
								t.Errorf("%s: Retry-After %q", method,
									got.Header.Get("Retry-After"))
							}
							if method != http.MethodHead && got.Body != http.StatusText(want)+"\n" {
								t.Errorf("%s: body %q", method, got.Body)
							}
							for _, leak := range []string{
								"X-Attempt", "Set-Cookie", "Etag",
								"X-Sum", "Trailer",
							} {
								if got.Header.Get(leak) != "" || got.Trailer.Get(leak) != "" {
									t.Errorf("%s: %s of a failed attempt was sent", method, leak)
								}
							}
							l.mu.Lock()
							l.failures = nil // the failures that were not used
							l.mu.Unlock()
						}
					}
					if got := l.entries(); len(got) != 0 {
						t.Errorf("committed %v", got)
					}
				})
			}
		}
	}
}

// Guarantee G2: after two conflicts the third attempt gets the whole body, and its answer contains
// nothing of the failed attempts.
func TestThirdAttemptGetsOriginalRequest(t *testing.T) {
	t.Parallel()
	type key struct{}
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		try, ok := transaction.AttemptFromContext(r.Context())
		if !ok || try.Tries != 3 || try.Last() != (try.Number == 3) {
			t.Errorf("attempt %+v, %v", try, ok)
		}
		for _, left := range []string{
			r.Header.Get("X-Left"), r.URL.Query().Get("left"),
			r.PathValue("left"), w.Header().Get("X-Attempt"),
		} {
			if left != "" {
				t.Errorf("attempt %d finds %q", try.Number, left)
			}
		}
		if r.Context().Value(key{}) != nil {
			t.Error("a context value of an earlier attempt was left")
		}
		r.Header.Set("X-Left", "header")
		r.Header["User-Agent"][0] = "changed"
		r.URL.RawQuery = "left=query"
		r.SetPathValue("left", "path value")
		*r = *r.WithContext(context.WithValue(r.Context(), key{}, "value"))
		w.Header().Set("X-Attempt", fmt.Sprint(try.Number))
		http.SetCookie(w, &http.Cookie{Name: "attempt", Value: fmt.Sprint(try.Number)})
		if err := l.write(r.Context(), fmt.Sprint("attempt ", try.Number)); err != nil {
			return err
		}
		if try.Number == 1 { // the first attempt reads half of the body
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "failed")
			return nil
		}
		digest := sha256.New()
		if _, err := io.Copy(digest, r.Body); err != nil {
			return err
		}
		fmt.Fprintf(w, "%x %d", digest.Sum(nil), try.Number)
		return nil
	})
	h := mustRetry(t, retry.Config{HighWater: 100 << 10})(tm.New(tm.Config{Veto: tm.NoVeto})(app))
	mux := http.NewServeMux()
	mux.Handle("POST /{first}", h)
	for _, outer := range []http.Handler{h, mux} {
		for server := range protocols(t, outer) {
			for _, size := range []int{0, 1, 1 << 10, 1 << 20} {
				for _, chunked := range []bool{false, true} {
					body := bytes.Repeat([]byte("0123456789abcdef~"), size/17+1)[:size]
					var reader io.Reader = bytes.NewReader(body)
					if chunked {
						reader = onlyReader{reader}
					}
					before := len(l.entries())
					l.failNext(transaction.Transient(errCommit), transaction.Transient(errCommit))
					got := ask(t, server, http.MethodPost, "/path?a=b", reader)
					if want := fmt.Sprintf("%x 3", sha256.Sum256(body)); got.Status !=
						http.StatusOK || got.Body != want {
						t.Errorf("size %d, chunked %v: got %d %q, want %q", size, chunked,
							got.Status, got.Body, want)
					}
					if cookies := got.Header.Values("Set-Cookie"); len(cookies) != 1 ||
						cookies[0] != "attempt=3" {
						t.Errorf("cookies %v", cookies)
					}
					if got.Header.Get("X-Attempt") != "3" {
						t.Errorf("header of attempt %s", got.Header.Get("X-Attempt"))
					}
					if entries := l.entries()[before:]; len(entries) != 1 ||
						entries[0] != "attempt 3" {
						t.Errorf("committed %v", entries)
					}
				}
			}
		}
	}
}

// Guarantee G4: a failed request leaves no trace, and the server keeps serving.
func TestFailuresLeaveNoTrace(t *testing.T) {
	t.Parallel()
	app := func(l *ledger) http.Handler {
		return handler.Func(func(w http.ResponseWriter, r *http.Request) error {
			if err := l.write(r.Context(), r.URL.Path); err != nil {
				return err
			}
			w.Header().Set("Etag", `"1"`)
			fmt.Fprint(w, "partial")
			switch r.URL.Path {
			case "/error":
				return errors.New("secret")
			case "/status":
				return attempt.WithStatus(http.StatusNotFound, errors.New("secret"))
			case "/panic":
				panic("secret")
			case "/abort":
				panic(http.ErrAbortHandler)
			case "/doom":
				txn, _ := transaction.FromContext(r.Context())
				return txn.Doom()
			}
			return nil
		})
	}
	for name, chain := range chains(t) {
		if name == "retry" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			for server := range protocols(t, chain(app(l))) {
				for path, want := range map[string]answer{
					"/error":  {Status: 500, Body: "Internal Server Error\n"},
					"/status": {Status: 404, Body: "Not Found\n"},
					"/panic":  {Err: "no answer"},
					"/abort":  {Err: "no answer"},
					"/doom":   {Status: 200, Body: "partial"},
				} {
					got := ask(t, server, http.MethodGet, path, nil)
					if got.Status != want.Status || got.Body != want.Body || got.Err != want.Err {
						t.Errorf("%s: got %+v, want %+v", path, got, want)
					}
				}
				if got := l.entries(); len(got) != 0 {
					t.Errorf("committed %v", got)
				}
				if got := ask(t, server, http.MethodGet, "/fine", nil); got.Status != 200 ||
					len(l.entries()) != 1 {
					t.Errorf("afterwards: %+v, %v", got, l.entries())
				}
				l.mu.Lock()
				l.committed = nil
				l.mu.Unlock()
			}
		})
	}
}

// If a client disconnects before the commit, nothing is stored. A client that closes only its
// sending half gets no success.
func TestClientGoneBeforeCommit(t *testing.T) {
	t.Parallel()
	leakCheck(t)
	l := &ledger{}
	running, gone := make(chan struct{}), make(chan struct{}, 1)
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		running <- struct{}{}
		<-r.Context().Done()
		defer func() { gone <- struct{}{} }()
		fmt.Fprint(w, "kept!")
		return l.write(r.Context(), "entry")
	})
	for name, chain := range chains(t) {
		if name == "retry" {
			continue
		}
		for server := range protocols(t, chain(app)) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-running; cancel() }()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if response, err := server.Client().Do(request); err == nil {
				response.Body.Close()
				t.Errorf("%s: answered %d", name, response.StatusCode)
			}
			<-gone
		}
		server := serve(t, "HTTP/1.1", chain(app))
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp",
			server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		<-running
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-gone
		answer, _ := io.ReadAll(conn)
		if strings.HasPrefix(string(answer), "HTTP/1.1 2") ||
			strings.Contains(string(answer), "kept!") {
			t.Errorf("%s: answered %q", name, answer)
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
}

// A commit that has begun is completed although the client disconnects.
func TestClientGoneDuringCommit(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	committing := make(chan struct{})
	app := handler.Func(func(_ http.ResponseWriter, r *http.Request) error {
		txn, _ := transaction.FromContext(r.Context())
		txn.BeforeCommit(func(context.Context) error {
			close(committing)
			<-r.Context().Done()
			return nil
		})
		return l.write(r.Context(), "entry")
	})
	server := serve(t, "HTTP/1.1", mustRetry(t, retry.Config{})(tm.New(tm.Config{})(app)))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-committing; cancel() }()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := server.Client().Do(request); err == nil {
		response.Body.Close()
	}
	eventually(t, "the commit", func() bool { return len(l.entries()) == 1 })
}

// The first event of a stream arrives while the handler still runs, after its transaction has
// ended.
func TestStream(t *testing.T) {
	t.Parallel()
	for name, chain := range chains(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			proceed := make(chan struct{})
			app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				if name != "retry" {
					if err := l.write(r.Context(), "entry"); err != nil {
						return err
					}
				}
				try, _ := transaction.AttemptFromContext(r.Context())
				fmt.Fprintf(w, "event %d\n", try.Number)
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				<-proceed
				if name != "retry" {
					if err := l.write(r.Context(), "late"); !errors.Is(err, transaction.ErrEnded) {
						t.Errorf("a late write: %v", err)
					}
				}
				fmt.Fprintln(w, "event 2")
				return errors.New("too late to change anything")
			})
			for server := range protocols(t, chain(app)) {
				if strings.HasPrefix(name, "retry+") {
					l.failNext(transaction.Transient(errCommit))
				}
				before := len(l.entries())
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
					server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := server.Client().Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				first := make([]byte, len("event 0\n"))
				if _, err := io.ReadFull(response.Body, first); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(name, "retry+") && string(first) != "event 2\n" {
					t.Errorf("got %q, want the second attempt's", first)
				}
				if name != "retry" && len(l.entries()) != before+1 {
					t.Error("not committed when the first event arrived")
				}
				proceed <- struct{}{}
				rest, err := io.ReadAll(response.Body)
				if err == nil {
					t.Errorf("rest %q: a failed stream looks complete", rest)
				}
				if name != "retry" && len(l.entries()) != before+1 {
					t.Error("decided twice")
				}
			}
		})
	}
}

// A request that fails with a transient error is run again, whatever the veto would decide, and the
// veto is not called.
func TestRetryComesBeforeVeto(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		try, _ := transaction.AttemptFromContext(r.Context())
		if err := l.write(r.Context(), "entry"); err != nil {
			return err
		}
		if !try.Last() {
			w.WriteHeader(http.StatusInternalServerError)
			return transaction.Transient(errors.New("lost a race"))
		}
		fmt.Fprint(w, "done")
		return nil
	})
	h := mustRetry(t, retry.Config{})(tm.New(tm.Config{Veto: tm.RepozeVeto})(app))
	for server := range protocols(t, h) {
		if got := ask(t, server, http.MethodGet, "/", nil); got.Body != "done" {
			t.Errorf("got %+v", got)
		}
	}
	if got := l.entries(); len(got) != 2 {
		t.Errorf("committed %v", got)
	}
}

// Request bodies that are incomplete or malformed.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	var log logged
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.Copy(io.Discard, r.Body) // the handler ignores the error
		fmt.Fprint(w, "kept!")
		return l.write(r.Context(), "entry")
	})
	h := mustRetry(t, retry.Config{MaxBody: 1000, Logger: slog.New(&log)})(tm.New(tm.Config{})(app))
	for server := range protocols(t, h) {
		for _, size := range []int{1001, 100 << 10} {
			for _, reader := range []io.Reader{
				bytes.NewReader(make([]byte, size)),
				onlyReader{bytes.NewReader(make([]byte, size))},
			} {
				got := ask(t, server, http.MethodPost, "/", reader)
				if got.Status != http.StatusRequestEntityTooLarge && got.Err != "no answer" {
					t.Errorf("%T of %d bytes: got %+v", reader, size, got)
				}
			}
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
	server := serve(t, "HTTP/1.1", h)
	for _, text := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nshort",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp",
			server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("%q: answered %q", text, answer)
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
}

// A response that can't be buffered is answered with 500; no part of it is sent, and the
// transaction is aborted.
func TestResponseTooLarge(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		for range 20 {
			fmt.Fprint(w, strings.Repeat("x", 100))
		}
		return l.write(r.Context(), "entry")
	})
	t.Cleanup(func() { // runs after the subtests
		if got := l.entries(); len(got) != 0 {
			t.Errorf("committed %v", got)
		}
	})
	for name, h := range map[string]http.Handler{
		"retry": mustRetry(t, retry.Config{MaxResponse: 1000})(tm.New(tm.Config{})(app)),
		"tm":    tm.New(tm.Config{MaxResponse: 1000})(app),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for server := range protocols(t, h) {
				if got := ask(t, server, http.MethodGet, "/", nil); got.Status != 500 ||
					strings.Contains(got.Body, "x") {
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}
