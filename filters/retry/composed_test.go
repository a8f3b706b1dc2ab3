package retry_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

// composed returns the pipeline of the tutorial: browserid, retry, tm.
func composed(t *testing.T, again retry.Config,
	transact tm.Config,
) func(http.Handler) http.Handler {
	t.Helper()
	identify, err := browserid.New(browserid.Config{SecretKey: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	return func(h http.Handler) http.Handler {
		return identify(mustRetry(t,
			again)(tm.New(transact)(h)))
	}
}

// If the server does not support Hijack, it fails before tm decides about the transaction,
// whichever middleware stands in between, and the handler can still answer.
func TestUnsupportedHijackDecidesNothing(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if err := l.write(r.Context(), "entry"); err != nil {
			return err
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err,
			http.ErrNotSupported) {
			t.Errorf("hijack over HTTP/2: %v", err)
		}
		http.Error(w, "no connection to be had", http.StatusInternalServerError)
		return nil
	})
	for name, h := range map[string]http.Handler{
		"composed": composed(t, retry.Config{}, tm.Config{})(app),
		"between": mustRetry(t,
			retry.Config{})(middle(func(w http.ResponseWriter) http.ResponseWriter { return &unwrapping{ResponseWriter: w} })(tm.New(tm.Config{})(app))),
	} {
		if got := ask(t, serve(t, "HTTP/2.0", h), http.MethodGet, "/", nil); got.Status !=
			http.StatusInternalServerError {
			t.Errorf("%s: got %+v", name, got)
		}
		if got := l.entries(); len(got) != 0 {
			t.Fatalf("%s: committed %v though the answer was 500", name, got)
		}
	}
}

// Hooks may flush the response at any time: the flush does not wait for the decision during which
// the hook runs.
func TestFlushInHooks(t *testing.T) {
	t.Parallel()
	hooks := map[string]func(context.Context, func()) error{
		"before commit": func(ctx context.Context, f func()) error {
			txn, _ := transaction.FromContext(ctx)
			txn.BeforeCommit(func(context.Context) error { f(); return nil })
			return nil
		},
		"after commit": func(ctx context.Context, f func()) error {
			txn, _ := transaction.FromContext(ctx)
			txn.AfterCommit(func(context.Context, bool) { f() })
			return nil
		},
		"abort": func(ctx context.Context, f func()) error {
			txn, _ := transaction.FromContext(ctx)
			txn.AfterAbort(func(context.Context) { f() })
			return txn.Doom()
		},
		"panic": func(ctx context.Context, f func()) error {
			txn, _ := transaction.FromContext(ctx)
			txn.AfterAbort(func(context.Context) { f() })
			panic(http.ErrAbortHandler)
		},
	}
	for name, hook := range hooks {
		for chainName, chain := range chains(t) {
			if chainName == "retry" {
				continue
			}
			t.Run(name+"/"+chainName, func(t *testing.T) {
				t.Parallel()
				server := serve(t, "HTTP/1.1",
					chain(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
						fmt.Fprint(w, "hello")
						return hook(r.Context(), func() {
							fmt.Fprint(w, "!")
							w.(http.Flusher).Flush()
						})
					})))
				server.Client().Timeout = 10 * time.Second
				got := ask(t, server, http.MethodGet, "/", nil)
				if name == "panic" {
					if got.Err != "no answer" {
						t.Errorf("got %+v", got)
					}
				} else if got.Body != "hello!" {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// A veto that panics at a flush makes the attempt fail, even if an inner middleware recovers the
// panic: the transaction is aborted.
func TestRecoveredVetoPanicFails(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	veto := func(*http.Request, int, http.Header) bool { panic("veto") }
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		defer func() { _ = recover() }()
		if err := l.write(r.Context(), "entry"); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	})
	for name, h := range map[string]http.Handler{
		"composed": composed(t, retry.Config{}, tm.Config{Veto: veto})(app),
		"tm":       tm.New(tm.Config{Veto: veto})(app),
		"between": mustRetry(t,
			retry.Config{})(middle(func(w http.ResponseWriter) http.ResponseWriter { return &unwrapping{ResponseWriter: w} })(tm.New(tm.Config{Veto: veto})(app))),
	} {
		for server := range protocols(t, h) {
			if got := ask(t, server, http.MethodGet, "/", nil); got.Status !=
				http.StatusInternalServerError {
				t.Errorf("%s: got %+v", name, got)
			}
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
}

// If a middleware lengthens a response over the limit after the commit, the answer is an error and
// not an empty success, and the committed request is not run again.
func TestResponseTooLargeAfterTheCommit(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	runs := 0
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		runs++
		fmt.Fprint(w, strings.Repeat("x", 2000))
		return l.write(r.Context(), "entry")
	})
	between := middle(func(w http.ResponseWriter) http.ResponseWriter { return &unwrapping{ResponseWriter: w} })
	all := func(error) bool { return true }
	for server := range protocols(t, mustRetry(t, retry.Config{
		MaxResponse: 1000,
		Retryable:   all,
	})(between(tm.New(tm.Config{})(app)))) {
		runs = 0
		if got := ask(t, server, http.MethodGet, "/", nil); got.Status !=
			http.StatusInternalServerError || strings.Contains(got.Body, "x") {
			t.Errorf("got %+v", got)
		}
		if runs != 1 {
			t.Errorf("%d runs", runs)
		}
	}
}

// Changes that an OnRetry hook makes to its request are not visible in the next attempt.
func TestHookCannotChangeNextRequest(t *testing.T) {
	t.Parallel()
	seen := ""
	config := retry.Config{OnRetry: func(r *http.Request, _ error) {
		seen += r.Header.Get("X-Left")
		r.Header.Set("X-Left", "hook")
		_, _ = io.Copy(io.Discard, r.Body)
	}}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		seen += r.Header.Get("X-Left")
		r.Header.Set("X-Left", "attempt")
		if attempt, _ := transaction.AttemptFromContext(r.Context()); !attempt.Last() {
			return transaction.Transient(errRace)
		}
		_, err := io.Copy(w, r.Body)
		return err
	})
	for server := range protocols(t, composed(t, config, tm.Config{})(app)) {
		if got := ask(t, server, http.MethodPost, "/", strings.NewReader("body")); got.Body !=
			"body" || seen != "" {
			t.Errorf("got %+v; the request was left with %q", got, seen)
		}
	}
}

// A goroutine that continues after a failed attempt can change only that attempt's request.
func TestLeftoverGoroutineKeepsItsRequest(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	done := make(chan struct{}, 10)
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		if attempt.Last() {
			fmt.Fprint(w, r.Header.Get("X-Stray"))
			return nil
		}
		started := make(chan struct{})
		go func() {
			for i := 0; ; i++ {
				r.Header.Set("X-Stray", fmt.Sprint(i))
				r.URL.RawQuery = fmt.Sprint(i)
				if i == 0 {
					close(started)
				}
				select {
				case <-stop:
					done <- struct{}{}
					return
				default:
				}
			}
		}()
		<-started
		return transaction.Transient(errRace)
	})
	for server := range protocols(t, composed(t, retry.Config{}, tm.Config{})(app)) {
		if got := ask(t, server, http.MethodGet, "/", nil); got.Status != http.StatusOK ||
			got.Body != "" {
			t.Errorf("got %+v", got)
		}
	}
	close(stop)
	for range 4 {
		<-done
	}
}

// A handler that fails after it has written a part of a 200 response is answered with 500, since
// nothing was sent.
func TestLateServerError(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if err := l.write(r.Context(), "entry"); err != nil {
			return err
		}
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "<html>half a page")
		http.Error(w, "template: no such field", http.StatusInternalServerError)
		return nil
	})
	for server := range protocols(t, composed(t, retry.Config{}, tm.Config{})(app)) {
		if got := ask(t, server, http.MethodGet, "/", nil); got.Status !=
			http.StatusInternalServerError || got.Err != "" {
			t.Errorf("got %+v", got)
		}
	}
	if got := l.entries(); len(got) != 0 {
		t.Errorf("committed %v", got)
	}
}

// A blocked write can be ended by a deadline that another goroutine sets.
func TestDeadlineEndsAStuckWrite(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
		writing := make(chan struct{}, 1)
		go func() {
			<-writing
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		}()
		data := make([]byte, 1<<20)
		for i := 0; ; i++ {
			if i == 20 { // more than the buffers between server and client can hold
				writing <- struct{}{}
			}
			if _, err := w.Write(data); err != nil {
				ended <- err
				return
			}
		}
	})
	server := serve(t, "HTTP/1.1", composed(t, retry.Config{}, tm.Config{})(app))
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	response, err := server.Client().Do(request) // the test does not read the body
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 30<<20)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the write is stuck")
	}
}

// A proxied upgrade response has the cookie of a new browser, since the proxy sends the fields of
// the header map.
func TestProxiedUpgradeHasTheCookie(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: "+
			"Upgrade\r\nUpgrade: x\r\nSet-Cookie: backend=1\r\n\r\nraw")
		_ = buffered.Flush()
	}))
	t.Cleanup(backend.Close)
	to, _ := url.Parse(backend.URL)
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: discardLog,
	}
	server := serve(t, "HTTP/1.1", composed(t, retry.Config{}, tm.Config{})(proxy))
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "x")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	names := ""
	for _, cookie := range response.Cookies() {
		names += cookie.Name + " "
	}
	if response.StatusCode != http.StatusSwitchingProtocols ||
		names != "repoze.browserid backend " {
		t.Errorf("status %d, cookies %q", response.StatusCode, names)
	}
}

// gzipped is a compressor that sets Content-Encoding before it calls the next handler, as some do.
type gzipped struct {
	http.ResponseWriter
	to *gzip.Writer
}

func (w gzipped) Write(p []byte) (int, error) { return w.to.Write(p) }

// The answer to a failed request can be decoded by the client if a compressor stands in front of
// the filters.
func TestFailureBehindACompressor(t *testing.T) {
	t.Parallel()
	for name, chain := range chains(t) {
		h := chain(handler.Func(func(http.ResponseWriter, *http.Request) error { return errOther }))
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			compressor := gzip.NewWriter(w)
			h.ServeHTTP(gzipped{w, compressor}, r)
			_ = compressor.Close()
		})
		for server := range protocols(t, outer) {
			got := ask(t, server, http.MethodGet, "/", nil)
			text := ""
			if reader, err := gzip.NewReader(strings.NewReader(got.Body)); err == nil {
				all, _ := io.ReadAll(reader)
				text = string(all)
			}
			if got.Header.Get("Content-Encoding") != "gzip" || text != "Internal Server Error\n" {
				t.Errorf("%s: encoding %q of %q", name, got.Header.Get("Content-Encoding"), text)
			}
		}
	}
}

// One attempt runs two transactions in sequence, as when a cascade calls the next app. After the
// first was committed, a failure of the second is answered, and the request is not run again.
func TestTwoTransactionsInOneAttempt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		first  string // the answer of the first app
		second error  // the error that the second app returns
		commit error  // the error of the second app's commit
		status int
		runs   int
		want   []string
	}{
		{"both committed", "404", nil, nil, 200, 1, []string{"first", "second"}},
		{"second returns an error", "404", errOther, nil, 500, 1, []string{"first"}},
		{
			"second conflicts", "404", nil, transaction.Transient(errCommit), 503, 1,
			[]string{"first"},
		},
		{"second can't commit", "404", nil, errCommit, 500, 1, []string{"first"}},
		{"first aborted", "500", nil, transaction.Transient(errCommit), 200, 2, []string{"second"}},
		{"first aborted, second returns an error", "500", errOther, nil, 500, 1, nil},
	}
	for _, tt := range tests {
		for _, between := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/between=%v", tt.name, between), func(t *testing.T) {
				t.Parallel()
				l := &ledger{}
				runs := 0
				first := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
					runs++
					if tt.first == "500" {
						w.WriteHeader(http.StatusInternalServerError)
					}
					return l.write(r.Context(), "first")
				})
				second := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
					fmt.Fprint(w, "kept!")
					if runs == 1 && tt.commit != nil {
						l.failNext(tt.commit)
					}
					return errors.Join(l.write(r.Context(), "second"), tt.second)
				})
				one, two := tm.New(tm.Config{})(first), tm.New(tm.Config{})(second)
				var cascade http.Handler = http.HandlerFunc(func(w http.ResponseWriter,
					r *http.Request,
				) {
					one.ServeHTTP(httptest.NewRecorder(), r)
					if between {
						w = &unwrapping{ResponseWriter: w}
					}
					two.ServeHTTP(w, r)
				})
				got := get(t, mustRetry(t, retry.Config{})(cascade))
				if got.Code != tt.status || (got.Body.String() == "kept!") != (tt.status == 200) ||
					runs != tt.runs {
					t.Errorf("got %d %q after %d runs, want %d after %d", got.Code, got.Body, runs,
						tt.status, tt.runs)
				}
				if diff := cmp.Diff(tt.want, l.entries()); diff != "" {
					t.Errorf("committed: %s", diff)
				}
			})
		}
	}
}

// A failure after the commit is answered with an error, and the request is not run again.
func TestFailureAfterTheCommit(t *testing.T) {
	t.Parallel()
	for status, err := range map[int]error{
		http.StatusInternalServerError: errOther,
		http.StatusServiceUnavailable:  transaction.Transient(errRace),
	} {
		l := &ledger{}
		transact := tm.New(tm.Config{})(handler.Func(func(w http.ResponseWriter,
			r *http.Request,
		) error {
			fmt.Fprint(w, "fine")
			return l.write(r.Context(), "entry")
		}))
		around := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
			transact.ServeHTTP(w, r)
			return err
		})
		if got := get(t, mustRetry(t, retry.Config{})(around)); got.Code != status ||
			strings.Contains(got.Body.String(), "fine") {
			t.Errorf("got %d %q, want %d", got.Code, got.Body, status)
		}
		if got := l.entries(); len(got) != 1 {
			t.Errorf("committed %v, want one entry", got)
		}
	}
}

// A request whose handler has committed the transaction is not run again.
func TestNoRetryAfterHandlersCommit(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	app := handler.Func(func(_ http.ResponseWriter, r *http.Request) error {
		if err := l.write(r.Context(), "entry"); err != nil {
			return err
		}
		txn, _ := transaction.FromContext(r.Context())
		return errors.Join(txn.Commit(r.Context()), transaction.Transient(errRace))
	})
	if got := get(t, composed(t, retry.Config{}, tm.Config{})(app)); got.Code !=
		http.StatusServiceUnavailable {
		t.Errorf("status %d", got.Code)
	}
	if got := l.entries(); len(got) != 1 {
		t.Errorf("committed %v, want one entry", got)
	}
}

// With StreamBody, the trailers of a request are available after an attempt has read its body.
func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		if got := r.Trailer.Values("X-Sum"); len(got) > 0 {
			t.Errorf("attempt %d: trailer %q before the body is read", attempt.Number, got)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return err
		}
		fmt.Fprint(w, r.Trailer.Values("X-Sum"))
		if values := r.Trailer["X-Sum"]; len(values) > 0 {
			values[0] = "changed"
		}
		r.Trailer.Add("X-Sum", "added")
		if !attempt.Last() {
			return transaction.Transient(errRace)
		}
		return nil
	})
	h := composed(t, retry.Config{StreamBody: true}, tm.Config{})(app)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	for _, outer := range []http.Handler{h, mux} {
		for server := range protocols(t, outer) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL,
				onlyReader{strings.NewReader("body")})
			if err != nil {
				t.Fatal(err)
			}
			request.Trailer = http.Header{"X-Sum": {"42"}}
			response, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if string(text) != "[42]" {
				t.Errorf("%s: got %q, want [42]", response.Proto, text)
			}
		}
	}
}

// A handler that sends a new request through another pipeline, with a separate response, does not
// end its own transaction.
func TestNestedPipelineRequest(t *testing.T) {
	t.Parallel()
	for name, chain := range chains(t) {
		if name == "retry" {
			continue // has no transaction
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner, outer := &ledger{}, &ledger{}
			sub := tm.New(tm.Config{})(handler.Func(func(w http.ResponseWriter,
				r *http.Request,
			) error {
				fmt.Fprint(w, "kept!")
				return errors.Join(inner.write(r.Context(), "inner"),
					http.NewResponseController(w).Flush())
			}))
			app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				fmt.Fprint(w, "work is ")
				made, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
				if err != nil {
					return err
				}
				if err := outer.write(r.Context(), "outer"); err != nil {
					return err
				}
				outer.failNext(errCommit)
				sub.ServeHTTP(w, made)
				return nil
			})
			for server := range protocols(t, chain(app)) {
				if got := ask(t, server, http.MethodGet, "/", nil); got.Status !=
					http.StatusInternalServerError {
					t.Errorf("got %d %q, %s", got.Status, got.Body, got.Err)
				}
			}
			if got := outer.entries(); len(got) != 0 {
				t.Errorf("committed %v", got)
			}
		})
	}
}
