package retry_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

type valueKey struct{}

// arrangements are pipelines in which filters pass the request and its context separately
// (ServeCopy), and others in which they must not because another handler receives the request.
func arrangements(t *testing.T) map[string]func(http.Handler) http.Handler {
	t.Helper()
	again, transact := mustRetry(t, retry.Config{}), tm.New(tm.Config{})
	identify, err := browserid.New(browserid.Config{SecretKey: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	between := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), valueKey{}, "between")))
		})
	}
	shown := func(r *http.Request) {
		if _, ok := transaction.AttemptFromContext(r.Context()); !ok {
			t.Error("a callback received a request without the context of an attempt")
		}
	}
	curious := map[string]tm.Config{
		"activate": {Activate: func(r *http.Request) bool { shown(r); return true }},
		"user":     {User: func(r *http.Request) string { shown(r); return "somebody" }},
		"veto": {Veto: func(r *http.Request, _ int,
			_ http.Header,
		) bool {
			shown(r)
			return false
		}},
	}
	all := map[string]func(http.Handler) http.Handler{
		"retry, tm": func(h http.Handler) http.Handler { return again(transact(h)) },
		"browserid, retry, " +
			"tm": func(h http.Handler) http.Handler { return identify(again(transact(h))) },
		"filters between": func(h http.Handler) http.Handler { return identify(between(again(between(transact(h))))) },
		"tm inside tm":    func(h http.Handler) http.Handler { return again(transact(transact(h))) },
		"retry inside " +
			"retry": func(h http.Handler) http.Handler { return again(again(transact(h))) },
		"retry inside " +
			"tm": func(h http.Handler) http.Handler { return again(transact(again(h))) },
		"one tm after the other": func(h http.Handler) http.Handler {
			first := transact(http.HandlerFunc(func(w http.ResponseWriter,
				_ *http.Request,
			) {
				w.WriteHeader(http.StatusInternalServerError)
			}))
			second := transact(h)
			return again(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first.ServeHTTP(httptest.NewRecorder(),
					r.WithContext(context.WithoutCancel(r.Context())))
				second.ServeHTTP(w, r)
			}))
		},
		"with a timeout": func(h http.Handler) http.Handler {
			return again(transact(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				http.TimeoutHandler(h, time.Minute, "").ServeHTTP(w, r)
				return nil
			})))
		},
	}
	for name, config := range curious {
		all[name] = func(h http.Handler) http.Handler { return identify(again(tm.New(config)(h))) }
	}
	return all
}

// An attempt changes everything in its request, and leaves a goroutine that keeps the request.
// Neither the next attempt nor the caller, who may read the request at the same time, sees a
// change.
func TestAttemptsShareNoRequest(t *testing.T) {
	t.Parallel()
	for name, chain := range arrangements(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left sync.WaitGroup
			defer left.Wait()
			over := make(chan struct{})
			defer close(over)

			var seen []*transaction.Txn
			h := chain(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				txn, ok := transaction.FromContext(r.Context())
				if !ok || txn.Status() != transaction.Active {
					t.Fatal("no transaction")
				}
				for _, other := range seen {
					if other == txn {
						t.Error("two attempts have one transaction")
					}
					if other.Status() != transaction.Aborted {
						t.Errorf("an earlier attempt's transaction is %s", other.Status())
					}
				}
				seen = append(seen, txn)
				attempt, _ := transaction.AttemptFromContext(r.Context())
				if attempt.Number != len(seen) {
					t.Errorf("attempt %d of %d says that it is %d", len(seen), attempt.Tries,
						attempt.Number)
				}
				if r.URL.Path != "/path" || r.Method != http.MethodGet || r.Header.Get("X-Mark") !=
					"" || r.Form != nil || r.Context().Value(valueKey{}) == "attempt" {
					t.Errorf("attempt %d finds a change of an earlier attempt: %s %s %v", attempt.Number,
						r.Method, r.URL, r.Header)
				}
				*r = *r.WithContext(context.WithValue(r.Context(), valueKey{}, "attempt"))
				r.URL, r.Method, r.Form = &url.URL{Path: "/elsewhere"}, http.MethodPut, url.Values{"a": {"b"}}
				r.Header.Set("X-Mark", "marked")
				left.Go(func() {
					<-over
					if r.Method != http.MethodPut || r.Context().Value(valueKey{}) != "attempt" {
						t.Error("the request of a leftover goroutine was changed")
					}
					if kept, _ := transaction.FromContext(r.Context()); kept != txn {
						t.Error("a leftover goroutine has another transaction")
					}
				})
				if !attempt.Last() {
					return transaction.Transient(errCommit)
				}
				return nil
			}))

			ctx := context.WithValue(t.Context(), valueKey{}, "caller")
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/path", http.NoBody)
			left.Go(func() { // a middleware that reads the request
				for {
					select {
					case <-over:
						return
					default:
						if copied := *r; copied.Method != http.MethodGet || copied.Context() !=
							ctx || copied.Form != nil || copied.URL.Path != "/path" {
							t.Error("the caller's request was changed")
							return
						}
					}
				}
			})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if len(seen) != 3 || w.Code != http.StatusOK {
				t.Errorf("got status %d after %d attempts, want 200 after 3", w.Code, len(seen))
			}
		})
	}
}

// The log record of a failure has a context with the values of outer filters, also behind
// ServeCopy.
func TestFailureIsLoggedWithTheContext(t *testing.T) {
	t.Parallel()
	identify, err := browserid.New(browserid.Config{SecretKey: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	for _, failing := range []string{"retry, tm", "tm", "body"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			log := &contextLog{}
			again := mustRetry(t, retry.Config{Logger: log.logger(), MaxBody: 1})
			transact := tm.New(tm.Config{Logger: log.logger()})
			app := handler.Func(func(http.ResponseWriter,
				*http.Request,
			) error {
				return errors.New("no")
			})
			h := identify(again(transact(app)))
			if failing == "tm" {
				h = identify(transact(app))
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/",
				strings.NewReader(""))
			if failing == "body" {
				r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/",
					strings.NewReader("long"))
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if log.with != 1 || log.without != 0 {
				t.Errorf("got %d records with the browser's id and %d without, want 1 and 0",
					log.with, log.without)
			}
		})
	}
}

// A contextLog counts the records with and without a context of a request behind browserid.
type contextLog struct{ with, without int }

func (l *contextLog) logger() *slog.Logger { return slog.New(l) }

func (l *contextLog) Enabled(context.Context, slog.Level) bool { return true }

func (l *contextLog) Handle(ctx context.Context, _ slog.Record) error {
	if _, ok := browserid.FromContext(ctx); ok {
		l.with++
	} else {
		l.without++
	}
	return nil
}

func (l *contextLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *contextLog) WithGroup(string) slog.Handler { return l }
