package sqltx_test

import (
	"context"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

// A listener keeps the statements that it is told.
type listener struct {
	mu         sync.Mutex
	statements []observe.Statement
}

func (*listener) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}
func (*listener) RequestEnd(context.Context, observe.RequestEnd) {}

func (l *listener) StatementEnd(_ context.Context, f observe.Statement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statements = append(l.statements, f)
}

// Listeners get each statement once, without its arguments.
func TestStatementsAreTold(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		l := &listener{}
		ctx := observe.NewContext(e.t.Context(), observe.NewJob("test", observe.NewListeners(l)))
		const update, wrong = "UPDATE counter SET n = 4711 WHERE name = 'a'", "SELECT nothing FROM nowhere"
		err := transaction.Run(ctx, func(ctx context.Context) error {
			tx, err := e.db.Tx(ctx)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, update); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, wrong)
			return err
		})
		if err == nil {
			e.t.Fatal("the wrong statement was accepted")
		}
		if len(l.statements) != 2 {
			e.t.Fatalf("got %v, want two statements", l.statements)
		}
		first, second := l.statements[0], l.statements[1]
		if first.SQL != update || first.Err != nil || first.DB != e.db.Name() || first.Start.IsZero() ||
			second.SQL != wrong || second.Err == nil {
			e.t.Errorf("got %v", l.statements)
		}
	}, "sqlite", "postgres")
}
