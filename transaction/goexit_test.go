package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction"
)

// One who ends the goroutine (as t.FailNow does), where an error or a panic would be contained,
// keeps nobody from learning of the end: not the other managers, not the hooks after it.
func TestGoexit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		cast, who, step string
		want            string // log
		status          transaction.Status
		doubt           bool
	}{
		{
			"o", "o1", "commit", "o1.commit o1.abort after-commit=false", transaction.CommitFailed,
			true,
		},
		{
			"ppo", "p1", "prepare", "p1.prepare p1.abort p2.abort o3.abort after-commit=false",
			transaction.CommitFailed, false,
		},
		{
			"ppo", "p2", "prepare",
			"p1.prepare p2.prepare p1.abort p2.abort o3.abort after-commit=false", transaction.CommitFailed, false,
		},
		{
			"ppo", "o3", "commit", "p1.prepare p2.prepare o3.commit o3.abort after-commit=false",
			transaction.CommitFailed, true,
		},
		{
			"ppo", "p1", "finish",
			"p1.prepare p2.prepare o3.commit p1.finish p2.finish after-commit=true", transaction.Committed, false,
		},
		{
			"rp", "r1", "commit", "r1.commit r1.abort p2.abort after-commit=false",
			transaction.CommitFailed, false,
		},
		{"ppo", "", "before", "", transaction.Active, false},
		{
			"po", "", "after", "p1.prepare o2.commit p1.finish o2.forget after-commit=true",
			transaction.Committed, false,
		},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s, %s.%s", tt.cast, tt.who, tt.step), func(t *testing.T) {
			t.Parallel()
			var log []string
			scripts := cast(tt.cast, &log)
			ctx, txn := transaction.Begin(t.Context())
			joinAll(t, txn, scripts)
			switch tt.step {
			case "before":
				txn.BeforeCommit(func(context.Context) error { runtime.Goexit(); return nil })
			case "after":
				txn.AfterCommit(func(context.Context, bool) { runtime.Goexit() })
			default:
				scripts[tt.who].fails[tt.step] = "exit"
			}
			txn.AfterCommit(func(_ context.Context,
				committed bool,
			) {
				log = append(log, fmt.Sprintf("after-commit=%t", committed))
			})
			inGoroutine(func() { _ = txn.Commit(ctx) })
			if got := strings.Join(log, " "); got != tt.want || txn.Status() != tt.status {
				t.Errorf("got %s, %s\nwant %s, %s", got, txn.Status(), tt.want, tt.status)
			}
			if tt.status == transaction.CommitFailed {
				if err := txn.Join(&script{}); errors.Is(err, transaction.ErrInDoubt) != tt.doubt ||
					!strings.Contains(err.Error(), "runtime.Goexit") {
					t.Errorf("got %v, want in doubt: %t", err, tt.doubt)
				}
			}
			// Whoever deferred an abort learns what is true, and everybody has been told once.
			before := len(log)
			err := txn.Abort(ctx)
			if committed := tt.status == transaction.Committed; errors.Is(err,
				transaction.ErrEnded) != committed || !committed && err != nil {
				t.Errorf("abort afterwards: %v", err)
			}
			if tt.status != transaction.Active && len(log) != before {
				t.Errorf("told again: %v", log[before:])
			}
			if n := txn.Hooks(); n != 0 {
				t.Errorf("%d hooks are kept", n)
			}
		})
	}
}

func TestGoexitInAbort(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"before", "manager", "after"} {
		var log []string
		scripts := cast("po", &log)
		ctx, txn := transaction.Begin(t.Context())
		joinAll(t, txn, scripts)
		exit := func(name string) func(context.Context) {
			return func(context.Context) {
				log = append(log, name)
				if who == name {
					runtime.Goexit()
				}
			}
		}
		if who == "manager" {
			scripts["o2"].fails["abort"] = "exit"
		}
		txn.BeforeAbort(exit("before"))
		txn.AfterAbort(exit("after"))
		txn.AfterAbort(exit("after that"))
		inGoroutine(func() { _ = txn.Abort(ctx) })
		if diff := cmp.Diff([]string{"before", "o2.abort", "p1.abort", "after", "after that"},
			log); diff != "" || txn.Status() != transaction.Aborted {
			t.Errorf("%s: %s %s", who, diff, txn.Status())
		}
		if err := txn.Abort(ctx); !errors.Is(err, transaction.ErrEnded) || txn.Managers() != nil {
			t.Errorf("%s: afterwards: %v", who, err)
		}
	}
}

func inGoroutine(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
