package transaction_test

import (
	"context"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

type leaves struct{ prepares }

func (l leaves) Leave(context.Context, resource.Txn) { _ = l.step("leave") }

// Who has prepared is told when nobody is going to tell it the outcome, and only then, whatever
// others do meanwhile.
func TestLeaver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, commit, finish, leave, want string }{
		{"committed", "", "", "", "a.prepare b.prepare o.commit a.finish b.finish o.forget"},
		{"not committed", "error", "", "", "a.prepare b.prepare o.commit a.abort b.abort o.abort"},
		{"in doubt", "doubt", "", "", "a.prepare b.prepare o.commit a.leave b.leave o.abort"},
		{"panic", "panic", "", "", "a.prepare b.prepare o.commit a.leave b.leave o.abort"},
		{
			"the goroutine ends", "exit", "", "",
			"a.prepare b.prepare o.commit a.leave b.leave o.abort",
		},
		{
			"one panics when it leaves", "doubt", "", "panic",
			"a.prepare b.prepare o.commit a.leave b.leave o.abort",
		},
		{
			"one ends the goroutine when it leaves", "doubt", "", "exit",
			"a.prepare b.prepare o.commit a.leave b.leave o.abort",
		},
		{"not finished", "", "error", "", "a.prepare b.prepare o.commit a.finish b.finish"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log []string
			done := make(chan struct{})
			go func() { // so that it may end
				defer close(done)
				ctx, txn := transaction.Begin(t.Context())
				for _, dm := range []resource.DataManager{
					leaves{prepares{&script{name: "a", fails: map[string]string{
						"finish": tt.finish,
						"leave":  tt.leave,
					}, log: &log}}},
					leaves{prepares{&script{name: "b", log: &log}}},
					&script{name: "o", fails: map[string]string{"commit": tt.commit}, log: &log},
				} {
					if err := txn.Join(dm); err != nil {
						t.Error(err)
					}
				}
				_ = txn.Commit(ctx)
			}()
			<-done
			if got := strings.Join(log, " "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
