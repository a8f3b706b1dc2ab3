package tm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func TestDecisions(t *testing.T) {
	t.Parallel()
	status := func(status int) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			fmt.Fprint(w, "page")
			return nil
		}
	}
	tests := []struct {
		name   string
		config tm.Config
		app    func(http.ResponseWriter, *http.Request) error
		status int
		body   string
		want   string // the last event of the data manager
	}{
		{"200", tm.Config{}, status(200), 200, "page", "txn.commit"},
		{"303", tm.Config{}, status(303), 303, "page", "txn.commit"},
		{"404", tm.Config{}, status(404), 404, "page", "txn.commit"},
		{"500", tm.Config{}, status(500), 500, "page", "txn.abort"},
		{"599", tm.Config{}, status(599), 599, "page", "txn.abort"},
		{"500 without veto", tm.Config{Veto: tm.NoVeto}, status(500), 500, "page", "txn.commit"},
		{
			"404 with the original's veto",
			tm.Config{Veto: tm.RepozeVeto},
			status(404), 404, "page",
			"txn.abort",
		},
		{"error", tm.Config{}, func(w http.ResponseWriter, _ *http.Request) error {
			fmt.Fprint(w, "page")
			return errors.New("secret")
		}, 500, "Internal Server Error\n", "txn.abort"},
		{
			"error without veto",
			tm.Config{Veto: tm.NoVeto},
			func(http.ResponseWriter, *http.Request) error {
				return attempt.WithStatus(404, errors.New("secret"))
			}, 404, "Not Found\n", "txn.abort",
		},
		{"doomed", tm.Config{}, func(w http.ResponseWriter, r *http.Request) error {
			txn, _ := transaction.FromContext(r.Context())
			fmt.Fprint(w, "preview")
			return txn.Doom()
		}, 200, "preview", "txn.abort"},
		{
			"committed by the handler",
			tm.Config{},
			func(w http.ResponseWriter, r *http.Request) error {
				txn, _ := transaction.FromContext(r.Context())
				fmt.Fprint(w, "done")
				return txn.Commit(r.Context())
			}, 200, "done", "txn.commit",
		},
		{"aborted by the handler", tm.Config{}, func(w http.ResponseWriter, r *http.Request) error {
			txn, _ := transaction.FromContext(r.Context())
			fmt.Fprint(w, "never mind")
			return txn.Abort(r.Context())
		}, 200, "never mind", "txn.abort"},
		{
			"veto by header, as it was sent",
			tm.Config{Veto: tm.RepozeVeto},
			func(w http.ResponseWriter, _ *http.Request) error {
				w.WriteHeader(http.StatusOK)
				w.Header().Set("X-Tm", "abort")
				return nil
			}, 200, "", "txn.commit",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &trace{}
			recorder := get(t,
				tm.New(tt.config)(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
					join(t, r.Context(), d)
					return tt.app(w, r)
				})), "/")
			if recorder.Code != tt.status || recorder.Body.String() != tt.body {
				t.Errorf("got %d %q, want %d %q", recorder.Code, recorder.Body, tt.status, tt.body)
			}
			if got := strings.Join(d.all(), " "); got != tt.want {
				t.Errorf("events %q, want %q", got, tt.want)
			}
		})
	}
}

// The transaction is aborted if the client disconnected, or a deadline passed, before the commit
// began.
func TestClientGoneAborts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		cause  error
		status int
	}{
		{"client gone", context.Canceled, attempt.StatusClientClosedRequest},
		{"time limit", context.DeadlineExceeded, http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &trace{}
			ctx, cancel := context.WithCancelCause(t.Context())
			recorder := httptest.NewRecorder()
			tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				join(t, r.Context(), d)
				fmt.Fprint(w, "page")
				cancel(tt.cause)
			})).ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
			if recorder.Code != tt.status {
				t.Errorf("status %d, want %d", recorder.Code, tt.status)
			}
			if diff := cmp.Diff([]string{"txn.abort"}, d.all()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPanicKeepsItsValue(t *testing.T) {
	t.Parallel()
	for _, value := range []any{"a string", http.ErrAbortHandler} {
		d := &trace{}
		h := tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			join(t, r.Context(), d)
			if err := afterEnd(r.Context(), func() { d.add("after end") }); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "page")
			panic(value)
		}))
		recorder := httptest.NewRecorder()
		func() {
			defer func() {
				if got := recover(); got != value {
					t.Errorf("panic %v, want %v", got, value)
				}
			}()
			h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(),
				http.MethodGet, "/", nil))
		}()
		if recorder.Body.Len() > 0 {
			t.Errorf("sent %q", recorder.Body)
		}
		if diff := cmp.Diff([]string{"txn.abort", "after end"}, d.all()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAnnotation(t *testing.T) {
	t.Parallel()
	var description, user string
	config := tm.Config{User: func(r *http.Request) string {
		name, _,
			_ := r.BasicAuth()
		return name
	}}
	h := tm.New(config)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		txn, _ := transaction.FromContext(r.Context())
		description, user = txn.Description(), txn.User()
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/path?query", nil)
	r.SetBasicAuth("anna", "secret")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if description != "/path" || user != "anna" {
		t.Errorf("description %q, user %q", description, user)
	}
}

func TestActivate(t *testing.T) {
	t.Parallel()
	config := tm.Config{Activate: func(r *http.Request) bool { return r.URL.Path != "/static" }}
	h := tm.New(config)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, ok := transaction.FromContext(r.Context())
		fmt.Fprint(w, ok, active(r.Context()))
	}))
	for path, want := range map[string]string{"/": "true true", "/static": "false false"} {
		if got := get(t, h, path).Body.String(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// A second tm, or one inside of transaction.Run, does not end the transaction.
func TestNested(t *testing.T) {
	t.Parallel()
	d := &trace{}
	inner := tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		join(t, r.Context(), d)
		d.add("app")
		w.WriteHeader(http.StatusInternalServerError)
	}))
	get(t, tm.New(tm.Config{Veto: tm.NoVeto})(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request,
	) {
		inner.ServeHTTP(w, r)
		d.add("back")
	})), "/")
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		inner.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx,
			http.MethodGet, "/", nil))
		d.add("back")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"app", "back", "txn.commit", "app", "back", "txn.commit"},
		d.all()); diff != "" {
		t.Error(diff)
	}
}

// The filter decides about the transaction once: at the first flush.
func TestFlushDecides(t *testing.T) {
	t.Parallel()
	d := &trace{}
	var log logged
	h := tm.New(tm.Config{Logger: slog.New(&log)})(handler.Func(func(w http.ResponseWriter,
		r *http.Request,
	) error {
		join(t, r.Context(), d)
		if err := afterEnd(r.Context(), func() { d.add("after end") }); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "a")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		d.add("flushed")
		if active(r.Context()) {
			t.Error("still active")
		}
		if err := afterEnd(r.Context(), func() {}); !errors.Is(err, transaction.ErrEnded) {
			t.Errorf("a hook after the end: %v", err)
		}
		fmt.Fprint(w, "b")
		return errors.New("too late")
	}))
	recorder := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // a panic's value
				t.Errorf("got %v, want the response to be cut", p)
			}
		}()
		h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	}()
	if recorder.Code != 200 || recorder.Body.String() != "ab" {
		t.Errorf("got %d %q", recorder.Code, recorder.Body)
	}
	if diff := cmp.Diff([]string{"txn.commit", "after end", "flushed"}, d.all()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ERROR request failed, its response was cut"},
		log.messages); diff != "" {
		t.Error(diff)
	}
}

// If the veto objects at a flush, the transaction is aborted and the response sent. If the veto
// panics at a flush, nothing is sent.
func TestVetoAtFlush(t *testing.T) {
	t.Parallel()
	flush := func(d *trace) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			join(t, r.Context(), d)
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "sorry")
			w.(http.Flusher).Flush()
		})
	}
	d := &trace{}
	if got := get(t, tm.New(tm.Config{})(flush(d)), "/"); got.Code != http.StatusBadGateway ||
		got.Body.String() != "sorry" {
		t.Errorf("got %d %q", got.Code, got.Body)
	}
	recorder := httptest.NewRecorder()
	func() {
		defer func() {
			if recover() != "veto" {
				t.Error("the panic was lost")
			}
		}()
		tm.New(tm.Config{Veto: func(*http.Request, int,
			http.Header,
		) bool {
			panic("veto")
		}})(flush(d)).
			ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(),
				http.MethodGet, "/", nil))
	}()
	if recorder.Body.Len() > 0 {
		t.Errorf("sent %q", recorder.Body)
	}
	if diff := cmp.Diff([]string{"txn.abort", "txn.abort"}, d.all()); diff != "" {
		t.Error(diff)
	}
}

// One of the two hooks, which replace after_end of repoze.tm, is called however the transaction
// ends.
func TestCommitAndAbortHooks(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		"/commit":        {"txn.commit", "first", "third"},
		"/error":         {"txn.abort", "first", "third"},
		"/failed commit": {"txn.commit", "txn.abort", "first", "third"},
	} {
		d := &trace{}
		if path == "/failed commit" {
			d.failCommit = errors.New("conflict")
		}
		var log logged
		manager := &transaction.Manager{Logger: slog.New(&log)}
		h := tm.New(tm.Config{Manager: manager})(handler.Func(
			func(_ http.ResponseWriter, r *http.Request) error {
				join(t, r.Context(), d)
				err := errors.Join(
					afterEnd(r.Context(), func() { d.add("first") }),
					afterEnd(r.Context(), func() { panic("second") }),
					afterEnd(r.Context(), func() { d.add("third") }),
				)
				if path == "/error" {
					err = errors.Join(err, errors.New("no"))
				}
				return err
			}))
		get(t, h, strings.ReplaceAll(path, " ", "%20"))
		if diff := cmp.Diff(want, d.all()); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		if len(log.messages) != 1 || !strings.Contains(log.messages[0], "panicked") {
			t.Errorf("%s: log: %q", path, log.messages)
		}
	}
}

type refusing struct{ transaction.Synchronizer }

func (refusing) NewTransaction(*transaction.Txn) error { return errors.New("not today") }

func TestBeginFails(t *testing.T) {
	t.Parallel()
	manager := &transaction.Manager{}
	manager.Register(refusing{})
	recorder := get(t,
		tm.New(tm.Config{Manager: manager})(http.HandlerFunc(func(http.ResponseWriter,
			*http.Request,
		) {
			t.Error("the handler was called")
		})), "/")
	if recorder.Code != 500 {
		t.Errorf("status %d", recorder.Code)
	}
}

type judge struct {
	trace
	transient error
}

func (d *judge) IsTransient(err error) bool { return errors.Is(err, d.transient) }

// An error that a data manager classifies as transient is recorded as transient, whether the
// handler or the commit returns it.
func TestDataManagerClassifiesErrors(t *testing.T) {
	t.Parallel()
	serialization := errors.New("40001")
	for _, atCommit := range []bool{false, true} {
		d := &judge{transient: serialization}
		if atCommit {
			d.failCommit = serialization
		}
		recorder := get(t,
			tm.New(tm.Config{})(handler.Func(func(_ http.ResponseWriter, r *http.Request) error {
				join(t, r.Context(), d)
				if !atCommit {
					return fmt.Errorf("query: %w", serialization)
				}
				return nil
			})), "/")
		if recorder.Code != http.StatusServiceUnavailable ||
			recorder.Header().Get("Retry-After") == "" {
			t.Errorf("at commit %v: got %d %v", atCommit, recorder.Code, recorder.Header())
		}
	}
}

// An answer that may depend on uncommitted data is not sent. The request is run again if that may
// help, but never if the commit is in doubt.
func TestAbortFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		answer    error // the handler's error; nil: it answers with status 502
		failAbort error
		want      int
	}{
		{
			"response", nil, transaction.Transient(errors.New("not kept")),
			http.StatusServiceUnavailable,
		},
		{
			"error", attempt.WithStatus(http.StatusConflict, errors.New("it is taken")),
			transaction.Transient(errors.New("not kept")), http.StatusServiceUnavailable,
		},
		{
			"permanent error", attempt.WithStatus(http.StatusConflict, errors.New("it is taken")),
			errors.New("the disk is broken"), http.StatusInternalServerError,
		},
		{
			"in doubt", attempt.WithStatus(http.StatusConflict, transaction.ErrInDoubt),
			transaction.Transient(errors.New("not kept")), http.StatusConflict,
		},
	} {
		recorder := get(t,
			tm.New(tm.Config{})(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
				join(t, r.Context(), &trace{failAbort: tt.failAbort})
				if tt.answer == nil {
					w.WriteHeader(http.StatusBadGateway)
				}
				return tt.answer
			})), "/")
		if recorder.Code != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, recorder.Code, tt.want)
		}
	}
}

// Inside of tm, http.TimeoutHandler leaves a slow handler running after its transaction has ended.
// Its calls are refused.
func TestTimeoutHandlerInside(t *testing.T) {
	t.Parallel()
	db := memory.New("t")
	defer db.Close()
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error)
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			var s *session.Session
			if s, err = sessions.Get(session.WithID(r.Context(), "id")); err == nil {
				err = s.Set("n", 1)
			}
		}
		refused <- err
	})
	h := tm.New(tm.Config{})(http.TimeoutHandler(slow, time.Millisecond, ""))
	if got := get(t, h, "/").Code; got != http.StatusServiceUnavailable {
		t.Errorf("status: got %d, want 503", got)
	}
	if err := <-refused; !errors.Is(err, session.ErrFinished) &&
		!errors.Is(err, transaction.ErrEnded) {
		t.Errorf("the handler: got %v, want ErrFinished or ErrEnded", err)
	}
	err = transaction.Run(t.Context(), func(ctx context.Context) error {
		had, err := sessions.Has(session.WithID(ctx, "id"))
		if had {
			t.Error("the session of the handler was kept")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Savepoints and rollbacks of such a handler take effect completely or are refused, and the
// database can be closed afterwards, with and without retry.
func TestSavepointsAfterTimeout(t *testing.T) {
	t.Parallel()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "data.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := retry.New(retry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	transact := tm.New(tm.Config{})
	for name, pipeline := range map[string]func(http.Handler) http.Handler{
		"tm":           transact,
		"retry and tm": func(h http.Handler) http.Handler { return again(transact(h)) },
	} {
		for range 50 {
			refused := make(chan error, 1)
			slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				txn, _ := transaction.FromContext(r.Context())
				for {
					tx, err := db.Tx(r.Context())
					if err == nil {
						_, err = tx.Bucket("b").Get([]byte("k"))
					}
					var s *transaction.Savepoint
					if err == nil {
						s, err = txn.Savepoint()
					}
					if err == nil {
						err = tx.Bucket("b").Put([]byte("k"), nil)
					}
					if err == nil {
						err = s.Rollback()
					}
					if err != nil {
						refused <- err
						return
					}
				}
			})
			if got := get(t, pipeline(http.TimeoutHandler(slow, time.Millisecond, "")),
				"/").Code; got != http.StatusServiceUnavailable {
				t.Errorf("%s: got %d, want 503", name, got)
			}
			if err := <-refused; !errors.Is(err, transaction.ErrEnded) {
				t.Errorf("%s: the handler got %v, want ErrEnded", name, err)
			}
		}
	}
	if err := db.Close(); err != nil { // waits for open transactions
		t.Error(err)
	}
}

// A goroutine of the handler commits or aborts at the moment of the filter's decision: the answer
// depends on the result of the goroutine.
func TestEndByLeftoverGoroutine(t *testing.T) {
	t.Parallel()
	commit := (*transaction.Txn).Commit
	for _, tt := range []struct {
		name   string
		end    func(*transaction.Txn, context.Context) error
		fails  error // error of the data manager
		err    error // error of the handler
		status int
		runs   int // number of runs with retry
	}{
		{"commit", commit, nil, nil, 200, 1},
		{"abort", (*transaction.Txn).Abort, nil, nil, 200, 1},
		{"failed commit", commit, errors.New("disk full"), nil, 500, 1},
		{"conflict", commit, transaction.Transient(errors.New("lost")), nil, 503, 3},
		{"commit during an error", commit, nil, transaction.Transient(errors.New("lost")), 503, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				again, err := retry.New(retry.Config{})
				if err != nil {
					t.Fatal(err)
				}
				runs := 0
				h := again(tm.New(tm.Config{})(handler.Func(func(_ http.ResponseWriter,
					r *http.Request,
				) error {
					runs++
					join(t, r.Context(), &slow{trace{failCommit: tt.fails}})
					txn, _ := transaction.FromContext(r.Context())
					go func() { _ = tt.end(txn, context.WithoutCancel(r.Context())) }()
					synctest.Wait() // waits until the data manager is running
					return tt.err
				})))
				if got := get(t, h, "/").Code; got != tt.status || runs != tt.runs {
					t.Errorf("got %d after %d runs, want %d after %d", got, runs,
						tt.status, tt.runs)
				}
			})
		})
	}
}

// slow is a data manager whose commit and abort take some time.
type slow struct{ trace }

func (d *slow) Commit(ctx context.Context, t resource.Txn) error {
	time.Sleep(time.Second)
	return d.trace.Commit(ctx, t)
}

func (d *slow) Abort(ctx context.Context, t resource.Txn) error {
	time.Sleep(time.Second)
	return d.trace.Abort(ctx, t)
}

// If the setting's User function panics, the transaction is aborted.
func TestPanicWhileAnnotating(t *testing.T) {
	t.Parallel()
	manager, counted := &transaction.Manager{}, &counter{}
	manager.Register(counted)
	h := tm.New(tm.Config{Manager: manager, User: func(*http.Request) string { panic("user") }})(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	func() {
		defer func() { _ = recover() }()
		get(t, h, "/")
	}()
	if counted.begun != counted.ended {
		t.Errorf("%d transactions begun, %d ended", counted.begun, counted.ended)
	}
}

type counter struct{ begun, ended int }

func (c *counter) NewTransaction(*transaction.Txn) error   { c.begun++; return nil }
func (c *counter) BeforeCompletion(*transaction.Txn) error { return nil }
func (c *counter) AfterCompletion(*transaction.Txn)        { c.ended++ }

// An error that a handler returns after http.TimeoutHandler has abandoned it does not change the
// answer.
func TestErrorAfterTimeout(t *testing.T) {
	t.Parallel()
	again, err := retry.New(retry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	transact := tm.New(tm.Config{})
	for name, pipeline := range map[string]func(http.Handler) http.Handler{
		"tm":           transact,
		"retry and tm": func(h http.Handler) http.Handler { return again(transact(h)) },
		"tm and a copy": func(h http.Handler) http.Handler {
			return transact(http.HandlerFunc(func(w http.ResponseWriter,
				r *http.Request,
			) {
				h.ServeHTTP(w, r.Clone(r.Context()))
			}))
		},
	} {
		for _, late := range []error{
			transaction.ErrEnded,
			transaction.Transient(errors.New("late")), errors.New("late"),
		} {
			attempts := 0
			ended, failed := make(chan struct{}), make(chan struct{})
			slow := handler.Func(func(_ http.ResponseWriter, r *http.Request) error {
				attempts++
				// the handler fails after the decision, before anything is sent
				err := afterEnd(r.Context(), func() {
					close(ended)
					<-failed
				})
				if err != nil {
					return err
				}
				<-ended
				return late
			})
			note := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(failed)
				slow.ServeHTTP(w, r)
			})
			if got := get(t, pipeline(http.TimeoutHandler(note, 10*time.Millisecond, "too slow")),
				"/"); got.Code != http.StatusServiceUnavailable ||
				got.Body.String() != "too slow" || attempts != 1 {
				t.Errorf("%s, %v: got %d %q after %d attempts, want http.TimeoutHandler's answer",
					name, late, got.Code, got.Body, attempts)
			}
		}
	}
}
