package transaction_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// usingHandler is a log handler that uses the transaction that it is told of.
type usingHandler struct {
	slog.Handler
	use func()
}

func (h usingHandler) Handle(context.Context, slog.Record) error {
	h.use()
	return nil
}

// A stuckManager can neither make savepoints nor abort.
type stuckManager struct{ key string }

func (m *stuckManager) SortKey() string                          { return m.key }
func (*stuckManager) Commit(context.Context, resource.Txn) error { return nil }
func (*stuckManager) Abort(context.Context, resource.Txn) error  { return errors.New("stuck") }

// A log handler may use the transaction whose savepoint, or rollback to one, failed.
func TestLogHandlerUsesTransaction(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*transaction.Txn) error{
		"savepoint": func(txn *transaction.Txn) error {
			if err := txn.Join(&stuckManager{"late"}); err != nil {
				return err
			}
			_, err := txn.Savepoint()
			return err
		},
		"rollback": func(txn *transaction.Txn) error {
			s, err := txn.Savepoint()
			if err != nil {
				return err
			}
			if err := txn.Join(&stuckManager{"late"}); err != nil {
				return err
			}
			return s.Rollback()
		},
	} {
		var txn *transaction.Txn
		told := 0
		m := transaction.Manager{Logger: slog.New(usingHandler{
			slog.NewTextHandler(t.Output(), nil),
			func() {
				told++
				if err := txn.Hold(); !errors.Is(err, transaction.ErrCommitFailed) {
					t.Errorf("%s: Hold: got %v, want ErrCommitFailed", name, err)
				}
				if _, err := txn.Savepoint(); !errors.Is(err, transaction.ErrCommitFailed) {
					t.Errorf("%s: Savepoint: got %v, want ErrCommitFailed", name, err)
				}
			},
		})}
		ctx, begun, err := m.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		txn = begun
		if err := fail(txn); err == nil || told != 1 {
			t.Errorf("%s: got %v, and %d lines of log", name, err, told)
		}
		if err := txn.Abort(ctx); err != nil && name == "savepoint" {
			t.Errorf("%s: abort: %v", name, err)
		}
	}
}
