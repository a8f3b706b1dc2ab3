package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// A listener keeps the statements that it is told.
type listener struct {
	mu         sync.Mutex
	statements []string
}

func (*listener) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}
func (*listener) RequestEnd(context.Context, observe.RequestEnd) {}

func (l *listener) StatementEnd(_ context.Context, f observe.Statement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statements = append(l.statements, f.SQL)
}

// Listeners get the statements of the engine and those of the app, without arguments.
func TestStatementsAreTold(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.Database(t))
	l := &listener{}
	ctx := observe.NewContext(t.Context(), observe.NewJob("test", observe.NewListeners(l)))
	err := transaction.Run(ctx, func(ctx context.Context) error {
		b, err := db.Bucket(ctx, "bucket")
		if err != nil {
			return err
		}
		if err := b.Put([]byte("key"), []byte("sesame")); err != nil {
			return err
		}
		tx, err := postgres.Tx(ctx, db)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "SELECT $1::text", "sesame")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(l.statements, "\n")
	if !strings.Contains(all, "SELECT $1::text") || !strings.Contains(all, "COMMIT") ||
		strings.Contains(all, "sesame") {
		t.Errorf("got\n%s", all)
	}
}
