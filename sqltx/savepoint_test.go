package sqltx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

func TestSavepoint(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		savepoint := func(txn *transaction.Txn) *transaction.Savepoint {
			s, err := txn.Savepoint()
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		rollback := func(s *transaction.Savepoint) {
			if err := s.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			name  string
			work  func(txn *transaction.Txn, add func(n int))
			wantA int
		}{
			{"to after some work", func(txn *transaction.Txn, add func(int)) {
				add(1)
				s := savepoint(txn)
				add(10)
				rollback(s)
			}, 1},
			{"and on", func(txn *transaction.Txn, add func(int)) {
				add(1)
				s := savepoint(txn)
				add(10)
				rollback(s)
				add(100)
			}, 101},
			{"twice to the same", func(txn *transaction.Txn, add func(int)) {
				add(1)
				s := savepoint(txn)
				add(10)
				rollback(s)
				add(100)
				rollback(s)
				add(1000)
			}, 1001},
			{"to the outer of two", func(txn *transaction.Txn, add func(int)) {
				add(1)
				outer := savepoint(txn)
				add(10)
				inner := savepoint(txn)
				add(100)
				rollback(inner)
				rollback(outer)
			}, 1},
			{"to before the database was used", func(txn *transaction.Txn, add func(int)) {
				s := savepoint(txn)
				add(1)
				rollback(s)
			}, 0},
			{"to before it was used, and on, and again", func(txn *transaction.Txn, add func(int)) {
				s := savepoint(txn)
				add(1)
				rollback(s)
				add(10)
				rollback(s)
				add(100)
			}, 100},
			{"to before it was used, and a later one", func(txn *transaction.Txn, add func(int)) {
				s := savepoint(txn)
				add(1)
				savepoint(txn)
				rollback(s)
				add(10)
				later := savepoint(txn)
				add(100)
				rollback(later)
			}, 10},
		} {
			t.Run(tt.name, func(t *testing.T) {
				before := e.value(t, "a")
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					txn, _ := transaction.FromContext(ctx)
					tt.work(txn, func(n int) {
						if err := e.add(ctx, "a", n); err != nil {
							t.Error(err)
						}
					})
					return nil
				}, once)
				if err != nil {
					t.Fatal(err)
				}
				e.want(t, "a", before+tt.wantA)
			})
		}

		t.Run("joined, not used", func(t *testing.T) {
			before := e.value(t, "a")
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				txn, _ := transaction.FromContext(ctx)
				e.tx(t, ctx)
				s := savepoint(txn)
				if err := e.add(ctx, "a", 1); err != nil {
					return err
				}
				rollback(s)
				return nil
			}, once)
			if err != nil {
				t.Fatal(err)
			}
			e.want(t, "a", before)
		})

		t.Run("by hand", func(t *testing.T) {
			before := e.value(t, "a")
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx := e.tx(t, ctx)
				for _, query := range []string{
					"SAVEPOINT mine", "UPDATE counter SET n = n + 1 WHERE name = 'a'", "ROLLBACK TO SAVEPOINT mine",
					"RELEASE SAVEPOINT mine", "UPDATE counter SET n = n + 10 WHERE name = 'a'",
				} {
					if _, err := tx.ExecContext(ctx, query); err != nil {
						return err
					}
				}
				return nil
			}, once)
			if err != nil {
				t.Fatal(err)
			}
			e.want(t, "a", before+10)
		})
	})
}

// What was read before a rollback to before the first use may be why the transaction went there: it is still validated.
func TestWhatWasReadStaysRead(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		ctx, txn := transaction.Begin(t.Context())
		s, err := txn.Savepoint()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := e.tx(t, ctx).QueryRowContext(ctx, "SELECT n FROM counter WHERE name = 'a'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if err := s.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.pool.ExecContext(t.Context(), "UPDATE counter SET n = 100 WHERE name = 'a'"); err != nil {
			t.Fatal(err)
		}
		_, err = e.tx(t, ctx).ExecContext(ctx, e.sql("UPDATE counter SET n = ? WHERE name = 'a'"), n+1)
		if err == nil {
			err = txn.Commit(ctx)
		}
		if !txn.IsTransient(err) {
			t.Errorf("got %v, want a conflict", err)
		}
		if err := txn.Abort(ctx); err != nil {
			t.Error(err)
		}
		e.want(t, "a", 100)
	}, "postgres", "sqlite-deferred") // the others lock what is read
}

// A statement that failed is made good by a rollback.
func TestSavepointAfterFailure(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		duplicate := func(ctx context.Context) {
			if _, err := e.tx(t, ctx).ExecContext(ctx, "INSERT INTO counter (name, n) VALUES ('b', 1)"); err == nil {
				t.Error("a duplicate key: got no error")
			}
		}
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			txn, _ := transaction.FromContext(ctx)
			first, err := txn.Savepoint()
			if err != nil {
				return err
			}
			duplicate(ctx)
			if err := first.Rollback(); err != nil {
				return err
			}
			if err := e.add(ctx, "a", 1); err != nil {
				return err
			}
			second, err := txn.Savepoint()
			if err != nil {
				return err
			}
			duplicate(ctx)
			if err := second.Rollback(); err != nil {
				return err
			}
			tx := e.tx(t, ctx)
			if _, err := tx.ExecContext(ctx, "SAVEPOINT mine"); err != nil {
				return err
			}
			duplicate(ctx)
			if _, err := tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT mine"); err != nil {
				return err
			}
			return e.add(ctx, "b", 1)
		}, once)
		if err != nil {
			t.Error(err)
		}
		e.want(t, "a", 1)
		e.want(t, "b", 1)
	})
}

func TestSavepointThatFails(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			txn, _ := transaction.FromContext(ctx)
			if err := e.add(ctx, "a", 1); err != nil {
				return err
			}
			_, _ = e.tx(t, ctx).ExecContext(ctx, "no SQL")
			_, err := txn.Savepoint()
			if err == nil {
				t.Error("got no error")
			}
			return errors.Join(err, errApp)
		}, once)
		if !errors.Is(err, errApp) {
			t.Errorf("got %v, want %v", err, errApp)
		}
		e.want(t, "a", 0)
	}, "postgres")
}
