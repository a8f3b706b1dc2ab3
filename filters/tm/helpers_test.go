package tm_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// trace is a data manager that records how its transactions end, and can be made to fail.
type trace struct {
	mu                    sync.Mutex
	events                []string
	failCommit, failAbort error
}

func (d *trace) add(event string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, event)
}

func (d *trace) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.events...)
}

func (d *trace) SortKey() string { return "trace" }

func (d *trace) Commit(context.Context, resource.Txn) error {
	d.add("txn.commit")
	return d.failCommit
}

func (d *trace) Abort(context.Context, resource.Txn) error {
	d.add("txn.abort")
	return d.failAbort
}

// join makes d part of the transaction of ctx.
func join(t *testing.T, ctx context.Context, d resource.DataManager) { //nolint:revive // t comes first
	t.Helper()
	txn, ok := transaction.FromContext(ctx)
	if !ok {
		t.Fatal("no transaction")
	}
	if err := txn.Join(d); err != nil {
		t.Fatal(err)
	}
}

// afterEnd calls f when the transaction of ctx was committed or aborted.
func afterEnd(ctx context.Context, f func()) error {
	hook := func(context.Context) { f() }
	return errors.Join(transaction.AfterCommit(ctx, hook), transaction.OnAbort(ctx, hook))
}

// active reports whether the transaction of ctx can still be used.
func active(ctx context.Context) bool {
	txn, ok := transaction.FromContext(ctx)
	return ok && txn.Usable()
}

func get(t *testing.T, handler http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(),
		http.MethodGet, path, nil))
	return recorder
}

// logged is a [slog.Handler] that collects messages.
type logged struct {
	mu       sync.Mutex
	messages []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, r.Level.String()+" "+r.Message)
	return nil
}
