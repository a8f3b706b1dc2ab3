package transaction_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

func TestBegin(t *testing.T) {
	t.Parallel()
	if _, ok := transaction.FromContext(t.Context()); ok {
		t.Error("a transaction in an empty context")
	}
	outerCtx, outer := transaction.Begin(t.Context())
	innerCtx, inner := transaction.Begin(outerCtx)
	if got, ok := transaction.FromContext(innerCtx); !ok || got != inner {
		t.Error("the inner context doesn't carry the inner transaction")
	}
	if got, ok := transaction.FromContext(outerCtx); !ok || got != outer {
		t.Error("the outer context doesn't carry the outer transaction")
	}
	if err := inner.Commit(innerCtx); err != nil {
		t.Fatal(err)
	}
	if outer.Status() != transaction.Active || inner.Status() != transaction.Committed {
		t.Errorf("outer is %s, inner %s", outer.Status(), inner.Status())
	}
	if got, ok := transaction.FromContext(innerCtx); !ok || got != inner {
		t.Error("a transaction that is over has left its context")
	}
}

// The context of a transaction behaves as any derived one does.
func TestContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	ctx, _ := transaction.Begin(parent)
	child, stop := context.WithCancel(ctx)
	defer stop()
	if got := child.Value(key{}); got != "value" {
		t.Errorf("value %v is lost", got)
	}
	cause := errors.New("gone")
	cancel(cause)
	<-child.Done()
	if !errors.Is(context.Cause(child), cause) {
		t.Errorf("got cause %v, want %v", context.Cause(child), cause)
	}
	if text := fmt.Sprint(ctx); text != "transaction.Begin" {
		t.Errorf("context prints as %q", text)
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		_, txn := transaction.Begin(t.Context())
		id := txn.ID()
		if len(id) < 26 || seen[id] { // 26 letters of 5 bits are 130
			t.Fatalf("bad id %q", id)
		}
		if txn.ID() != id {
			t.Fatal("the id changes")
		}
		seen[id] = true
	}
}

// What each operation returns in each state.
func TestStates(t *testing.T) {
	t.Parallel()
	states := []struct {
		name  string
		reach func(context.Context, *transaction.Txn)
	}{
		{"active", func(context.Context, *transaction.Txn) {}},
		{"doomed", func(_ context.Context, txn *transaction.Txn) { _ = txn.Doom() }},
		{"committed", func(ctx context.Context, txn *transaction.Txn) { _ = txn.Commit(ctx) }},
		{"commit failed", func(ctx context.Context, txn *transaction.Txn) {
			_ = txn.Join(&script{
				name: "x", log: new([]string),
				fails: map[string]string{"commit": "error"},
			})
			_ = txn.Commit(ctx)
		}},
		{"aborted", func(ctx context.Context, txn *transaction.Txn) { _ = txn.Abort(ctx) }},
	}
	operations := []struct {
		name string
		do   func(context.Context, *transaction.Txn) error
		want []error // by state
	}{
		{
			"join",
			func(_ context.Context, txn *transaction.Txn) error { return txn.Join(&script{}) },
			[]error{
				nil, nil, transaction.ErrEnded, transaction.ErrCommitFailed,
				transaction.ErrEnded,
			},
		},
		{
			"doom",
			func(_ context.Context, txn *transaction.Txn) error { return txn.Doom() },
			[]error{
				nil, nil, transaction.ErrEnded, transaction.ErrCommitFailed,
				transaction.ErrEnded,
			},
		},
		{
			"savepoint",
			func(_ context.Context, txn *transaction.Txn) error {
				_,
					err := txn.Savepoint()
				return err
			},
			[]error{
				nil, nil, transaction.ErrEnded, transaction.ErrCommitFailed,
				transaction.ErrEnded,
			},
		},
		{
			"commit",
			func(ctx context.Context, txn *transaction.Txn) error { return txn.Commit(ctx) },
			[]error{
				nil, transaction.ErrDoomed, transaction.ErrEnded, transaction.ErrCommitFailed,
				transaction.ErrEnded,
			},
		},
		{
			"abort",
			func(ctx context.Context, txn *transaction.Txn) error { return txn.Abort(ctx) },
			[]error{nil, nil, transaction.ErrEnded, nil, transaction.ErrEnded},
		},
	}
	for i, state := range states {
		for _, operation := range operations {
			t.Run(state.name+"/"+operation.name, func(t *testing.T) {
				t.Parallel()
				ctx, txn := transaction.Begin(t.Context())
				state.reach(ctx, txn)
				if got := txn.Status().String(); got != state.name {
					t.Fatalf("status is %s", got)
				}
				err, want := operation.do(ctx, txn), operation.want[i]
				if !errors.Is(err, want) || (want == nil) != (err == nil) {
					t.Errorf("got %v, want %v", err, want)
				}
				if errors.Is(want, transaction.ErrCommitFailed) &&
					!errors.Is(err, boom("x.commit")) {
					t.Errorf("%v doesn't wrap the cause", err)
				}
			})
		}
	}
	if got := transaction.Status(99).String(); got != "unknown" {
		t.Errorf("got %q", got)
	}
}

func TestJoinNil(t *testing.T) {
	t.Parallel()
	if _, txn := transaction.Begin(t.Context()); txn.Join(nil) == nil {
		t.Error("nil has joined")
	}
}

// inspect is a data manager that looks at its context.
type inspect struct {
	in func(ctx context.Context, t resource.Txn)
}

func (*inspect) SortKey() string { return "" }

func (i *inspect) Commit(ctx context.Context, t resource.Txn) error {
	i.in(ctx, t)
	return nil
}

func (i *inspect) Abort(ctx context.Context, t resource.Txn) error {
	i.in(ctx, t)
	return nil
}

// Once it has begun, neither a commit nor an abort notices that the caller has gone.
func TestCancel(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, end := range []func(*transaction.Txn, context.Context) error{
		(*transaction.Txn).Commit,
		(*transaction.Txn).Abort,
	} {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 5))
		_, txn := transaction.Begin(ctx)
		calls := 0
		look := func(ctx context.Context) {
			calls++
			cancel()
			if err := ctx.Err(); err != nil {
				t.Errorf("cancelled inside: %v", err)
			}
			// though the caller's doesn't carry it
			if got, _ := transaction.FromContext(ctx); got != txn {
				t.Error("the context doesn't carry the transaction")
			}
			if ctx.Value(key{}) != 5 {
				t.Error("the context has lost a value")
			}
		}
		txn.BeforeCommit(func(ctx context.Context) error { look(ctx); return nil })
		txn.AfterCommit(func(ctx context.Context, _ bool) { look(ctx) })
		txn.BeforeAbort(look)
		txn.AfterAbort(look)
		if err := txn.Join(&inspect{func(ctx context.Context,
			_ resource.Txn,
		) {
			look(ctx)
		}}); err != nil {
			t.Fatal(err)
		}
		if err := end(txn, ctx); err != nil || calls != 3 {
			t.Errorf("got %v after %d calls", err, calls)
		}
	}

	cause := errors.New("client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	ctx, txn := transaction.Begin(ctx)
	cancel(cause)
	if err := txn.Commit(ctx); !errors.Is(err, cause) || txn.Status() != transaction.Active {
		t.Errorf("commit with a cancelled context: %v, %s", err, txn.Status())
	}
	if err := txn.Abort(ctx); err != nil || txn.Status() != transaction.Aborted {
		t.Errorf("abort with a cancelled context: %v, %s", err, txn.Status())
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	txn.Note("  GET /\n")
	txn.Note("again")
	txn.SetUser("ann")
	if txn.Extension() != nil {
		t.Error("extension from nowhere")
	}
	txn.SetExtension("ip", "::1")
	txn.Extension()["ip"] = "changed in a copy"
	type key struct{}
	if txn.Data(key{}) != nil {
		t.Error("data from nowhere")
	}
	txn.SetData("other", 0)
	txn.SetData(key{}, 1)
	txn.SetData(key{}, 2)
	if txn.Data(key{}) != 2 || txn.Data("other") != 0 {
		t.Errorf("got data %v, %v", txn.Data(key{}), txn.Data("other"))
	}
	if diff := cmp.Diff(map[string]any{"ip": "::1"}, txn.Extension()); diff != "" {
		t.Error(diff)
	}
	txn.AfterCommit(func(context.Context, bool) {
		if txn.Data(key{}) != 2 {
			t.Error("data are gone before the hooks")
		}
	})
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if txn.Description() != "GET /\nagain" || txn.User() != "ann" {
		t.Errorf("got %q, %q", txn.Description(), txn.User())
	}
	if txn.Data(key{}) != nil || txn.Extension() != nil || txn.Managers() != nil {
		t.Error("the transaction keeps what it referred to")
	}
}

// A hook that comes too late is not kept, and not called.
func TestLateHooks(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	txn.AfterCommit(func(context.Context, bool) { t.Error("called") })
	txn.AfterAbort(func(context.Context) { t.Error("called") })
	if n := txn.Hooks(); n != 0 {
		t.Errorf("keeps %d hooks", n)
	}
	if err := txn.Abort(ctx); !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("got %v", err)
	}
}

// The end can't be called from within the end.
func TestEndInsideEnd(t *testing.T) {
	t.Parallel()
	for _, end := range []func(*transaction.Txn, context.Context) error{
		(*transaction.Txn).Commit,
		(*transaction.Txn).Abort,
	} {
		ctx, txn := transaction.Begin(t.Context())
		var errs []error
		again := func(ctx context.Context) { errs = append(errs, txn.Commit(ctx), txn.Abort(ctx)) }
		txn.BeforeCommit(func(ctx context.Context) error { again(ctx); return nil })
		txn.AfterCommit(func(ctx context.Context, _ bool) { again(ctx) })
		txn.BeforeAbort(again)
		txn.AfterAbort(again)
		if err := txn.Join(&inspect{func(ctx context.Context, _ resource.Txn) {
			again(ctx)
			errs = append(errs, txn.Join(&script{}), txn.Doom())
		}}); err != nil {
			t.Fatal(err)
		}
		if err := end(txn, ctx); err != nil {
			t.Fatal(err)
		}
		if len(errs) != 8 || slices.ContainsFunc(errs,
			func(err error) bool { return !errors.Is(err, transaction.ErrEnded) }) {
			t.Errorf("got %v", errs)
		}
	}
}

// What can't be returned is logged: with the transaction's id, the manager's key, and the stack of
// a panic.
func TestLog(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	m := &transaction.Manager{Logger: slog.New(slog.NewTextHandler(&text, nil))}
	var log []string
	scripts := cast("pp", &log)
	scripts["p1"].fails["finish"] = "panic"
	ctx, txn, err := m.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	joinAll(t, txn, scripts)
	txn.AfterCommit(func(context.Context, bool) { panic("too late") })
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"in doubt", "manager=p1", "p1.finish", "transaction=" +
			txn.ID(), "protocol_test.go", "hook after commit panicked", "too late",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, text.String())
		}
	}
}

// The goroutines of one request may use its transaction together.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	var mu sync.Mutex
	calls := 0
	count := func() { mu.Lock(); calls++; mu.Unlock() }
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := txn.Join(&inspectPrepared{inspect{func(context.Context,
				resource.Txn,
			) {
				count()
			}}}); err != nil {
				t.Error(err)
			}
			txn.SetData(i, i)
			txn.Note("x")
			txn.SetExtension(fmt.Sprint(i), i)
			txn.AfterCommit(func(context.Context, bool) { count() })
			_, _, _ = txn.ID(), txn.Data(i), txn.IsTransient(errors.New("x"))
		})
	}
	wg.Wait()
	ends := make([]error, 8)
	for i := range ends {
		wg.Go(func() { ends[i] = txn.Commit(ctx) })
	}
	wg.Wait()
	won := 0
	for _, err := range ends {
		if err == nil {
			won++
		} else if !errors.Is(err, transaction.ErrEnded) {
			t.Error(err)
		}
	}
	if won != 1 || calls != 100 {
		t.Errorf("%d commits, %d calls", won, calls)
	}
}

type inspectPrepared struct{ inspect }

func (i *inspectPrepared) Prepare(context.Context, resource.Txn) error { return nil }

func (i *inspectPrepared) Finish(ctx context.Context, t resource.Txn) error {
	i.in(ctx, t)
	return nil
}

func TestIsTransient(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"plain", plain, false},
		{"marked", transaction.Transient(plain), true},
		{"nil marked", transaction.Transient(nil), false},
		{"by behaviour", luckless("x"), true},
		{"wrapped", fmt.Errorf("a: %w", luckless("x")), true},
		{"joined, not the first", errors.Join(plain, fmt.Errorf("%w", luckless("x"))), true},
		{"below one that says no", fmt.Errorf("%w", never{luckless("x")}), true},
		{"says no", never{plain}, false},
		{"in doubt", fmt.Errorf("%w: %w", transaction.ErrInDoubt, luckless("x")), false},
		{"panic with it", &transaction.PanicError{Value: luckless("x")}, true},
		{"panic", &transaction.PanicError{Value: "x"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := transaction.IsTransient(tt.err); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
			if _, txn := transaction.Begin(t.Context()); txn.IsTransient(tt.err) != tt.want {
				t.Errorf("the transaction says %t, want %t", !tt.want, tt.want)
			}
		})
	}
	if err := transaction.Transient(plain); !errors.Is(err, plain) || err.Error() != "plain" {
		t.Errorf("Transient hides %v", err)
	}
}

type never struct{ err error }

func (e never) Error() string   { return "never" }
func (e never) Unwrap() error   { return e.err }
func (e never) Transient() bool { return false }

type judge struct {
	script
	says func(error) bool
}

func (j *judge) IsTransient(err error) bool { return j.says(err) }

func TestTransientReporter(t *testing.T) {
	t.Parallel()
	busy := errors.New("busy")
	ctx, txn := transaction.Begin(t.Context())
	for i, says := range []func(error) bool{
		func(error) bool { panic("judge") },
		func(err error) bool { return errors.Is(err, busy) },
	} {
		if err := txn.Join(&judge{
			script{name: fmt.Sprint(i), log: new([]string)},
			says,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if !txn.IsTransient(fmt.Errorf("sql: %w", busy)) || txn.IsTransient(errors.New("other")) {
		t.Error("the judge isn't heard")
	}
	if txn.IsTransient(fmt.Errorf("%w: %w", transaction.ErrInDoubt, busy)) {
		t.Error("what is in doubt must not be done again")
	}
	if err := txn.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	if txn.IsTransient(busy) {
		t.Error("the judge is kept after the end")
	}
}

func TestPanicError(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := error(&transaction.PanicError{Value: cause, Stack: []byte("goroutine 1")})
	if !errors.Is(err, cause) || err.Error() != "panic: cause" {
		t.Errorf("got %v", err)
	}
}

func TestSynchronizers(t *testing.T) {
	t.Parallel()
	var m transaction.Manager
	r := newReplay(t.Context(), goldenCase{})
	y := &synchronizer{r: r, name: "y"}
	m.Register(y)
	m.Register(y)
	if err := m.Run(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"y.newTransaction status=active", "y.beforeCompletion status=active",
		"y.afterCompletion status=committed",
	}
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Error(diff)
	}

	// One that refuses: who knows of the transaction learns of its end.
	r.log = nil
	refuses := &synchronizer{
		r: r, name: "z",
		goldenSynchronizer: goldenSynchronizer{Fail: map[string]string{"newTransaction": "error"}},
	}
	m.Register(refuses)
	err := m.Run(t.Context(), func(context.Context) error { t.Error("ran"); return nil })
	want = []string{
		"y.newTransaction status=active", "z.newTransaction status=active",
		"y.beforeCompletion status=active", "y.afterCompletion status=aborted",
	}
	if diff := cmp.Diff(want, r.log); diff != "" || !errors.Is(err, boom("z.newTransaction")) {
		t.Error(err, diff)
	}
	m.UnregisterAll()
	r.log = nil
	if err := m.Run(t.Context(), func(context.Context) error { return nil }); err != nil ||
		r.log != nil {
		t.Error(err, r.log)
	}
}

// An optimistic savepoint is refused when it is rolled back, by the name of the manager that has
// none.
func TestNoSavepoint(t *testing.T) {
	t.Parallel()
	_, txn := transaction.Begin(t.Context())
	dm := &script{name: "plain", log: new([]string)}
	if err := txn.Join(dm); err != nil {
		t.Fatal(err)
	}
	s, err := txn.OptimisticSavepoint()
	if err != nil || !s.Valid() {
		t.Fatal(err)
	}
	err = s.Rollback()
	if !errors.Is(err, transaction.ErrNoSavepoint) || !strings.Contains(err.Error(), `"plain"`) {
		t.Errorf("got %v", err)
	}
	if txn.Status() != transaction.CommitFailed || s.Valid() || len(*dm.log) != 0 {
		t.Errorf("%s, savepoint is valid: %t, %v", txn.Status(), s.Valid(), *dm.log)
	}
	if err := txn.Abort(t.Context()); err != nil ||
		!slices.Equal(*dm.log, []string{"plain.abort"}) {
		t.Errorf("%v, %v", err, *dm.log)
	}
}

// A manager that joined after the savepoint is out after the rollback, and can join anew.
func TestRollbackLateJoin(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	s, err := txn.Savepoint()
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	scripts := cast("po", &log)
	for range 2 {
		joinAll(t, txn, scripts)
		if err := s.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	scripts["p1"].fails["abort"] = "panic"
	joinAll(t, txn, scripts)
	if err := s.Rollback(); err == nil || txn.Status() != transaction.CommitFailed {
		t.Errorf("%v, %s", err, txn.Status())
	}
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
	if want := slices.Repeat([]string{"o2.abort", "p1.abort"}, 3); !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

// What a hook lets fail can't be committed, though the hook says nothing of it.
func TestHookFailsSavepoint(t *testing.T) {
	t.Parallel()
	ctx, txn := transaction.Begin(t.Context())
	dm := &script{name: "plain", log: new([]string)}
	if err := txn.Join(dm); err != nil {
		t.Fatal(err)
	}
	txn.BeforeCommit(func(context.Context) error {
		_, _ = txn.Savepoint()
		return nil
	})
	if err := txn.Commit(ctx); !errors.Is(err, transaction.ErrCommitFailed) ||
		!errors.Is(err, transaction.ErrNoSavepoint) {
		t.Errorf("got %v", err)
	}
	if err := txn.Abort(ctx); err != nil || !slices.Equal(*dm.log, []string{"plain.abort"}) {
		t.Errorf("%v, %v", err, *dm.log)
	}
}
