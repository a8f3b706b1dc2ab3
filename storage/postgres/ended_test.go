package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// rawly runs a text in a way that the package does not inspect.
func rawly(ctx context.Context, tx pgx.Tx, text string) {
	_, _ = tx.Conn().PgConn().Exec(ctx, text).ReadAll()
}

// byQuery runs a text as one statement of the extended protocol.
func byQuery(ctx context.Context, tx pgx.Tx, text string) {
	_ = tx.Conn().PgConn().ExecParams(ctx, text, nil, nil, nil, nil).Read()
}

// A statement of the app that ends the SQL transaction is detected, in any form. Then nothing else
// is committed, and the work is never run again, even after other errors: it could be done twice.
func TestSQLEndsTransaction(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	other := memory.New("zzz")
	defer other.Close()
	lucky := transaction.Transient(errors.New("bad luck"))
	nothing := func(context.Context, pgx.Tx) error { return nil }
	n := 0
	for _, text := range []string{ // those with a semicolon are no one statement
		"COMMIT", "COMMIT AND CHAIN", "SELECT 1; COMMIT", "COMMIT; BEGIN",
		"COMMIT; BEGIN ISOLATION LEVEL SERIALIZABLE; SAVEPOINT a", "ROLLBACK; BEGIN", "ROLLBACK",
		"COMMIT; BEGIN; SELECT 1/0", "PREPARE TRANSACTION 'own'; ROLLBACK PREPARED 'own'",
	} {
		for i, run := range []func(context.Context, pgx.Tx, string){rawly, byQuery} {
			if i == 1 && strings.Contains(text, ";") {
				continue
			}
			for _, then := range []struct {
				name string
				do   func(ctx context.Context, tx pgx.Tx) error
			}{
				{"nothing", nothing},
				{"a transient error", func(context.Context, pgx.Tx) error { return lucky }},
				{"a transient error of a commit", func(ctx context.Context, _ pgx.Tx) error {
					txn, _ := transaction.FromContext(ctx)
					txn.BeforeCommit(func(context.Context) error { return lucky })
					return nil
				}},
				{"a statement", func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, `INSERT INTO orders VALUES (-1)`)
					return err
				}},
				{
					"a statement, whose error is passed over",
					func(ctx context.Context, tx pgx.Tx) error {
						_, _ = tx.Exec(ctx, `INSERT INTO orders VALUES (-1)`)
						return put(ctx, db, "left", "1")
					},
				},
				{"a write", func(ctx context.Context, _ pgx.Tx) error {
					return put(ctx, db,
						"left", "1")
				}},
				{"a savepoint", func(ctx context.Context, _ pgx.Tx) error {
					txn, _ := transaction.FromContext(ctx)
					sp, err := txn.Savepoint()
					if err != nil {
						return err
					}
					return errors.Join(sp.Rollback(), lucky)
				}},
				{"another database", func(ctx context.Context, _ pgx.Tx) error {
					return errors.Join(put(ctx, other, "left", "1"), put(ctx, db, "left", "1"))
				}},
			} {
				n++
				attempts := 0
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					if attempts++; attempts > 1 {
						return nil
					}
					tx, err := postgres.Tx(ctx, db)
					if err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1)`, n); err != nil {
						return err
					}
					run(ctx, tx, text)
					return then.do(ctx, tx)
				})
				if err == nil || transaction.IsTransient(err) || attempts != 1 ||
					!endedByHand(err) {
					t.Errorf("%s, then %s: got %v after %d attempts, want that the transaction "+
						"was ended by hand", text, then.name, err, attempts)
				}
			}
		}
	}
	if got := ask[int](t, conn, `SELECT count(*) FROM orders WHERE id = -1`) +
		ask[int](t, conn, `SELECT count(*) FROM pasteline_data`); got != 0 {
		t.Errorf("%d writes were kept after the end of the transaction", got)
	}
	run(t, func(ctx context.Context) error {
		if value, err := get(ctx, other, "left"); value != "" || err != nil {
			t.Errorf("the other database has kept %q, %v", value, err)
		}
		return nil
	})
	until(t, conn, nobodyIdles)
}

// endedByHand reports whether err says that a statement has ended the transaction, rather than that
// a commit is in doubt.
func endedByHand(err error) bool {
	return errors.Is(err, postgres.ErrByHand) && errors.Is(err, transaction.ErrPartlyKept) &&
		!errors.Is(err, transaction.ErrInDoubt)
}

// A text that ends the transaction, though it does not look like that, makes Exec return an error.
func TestExecEndsTransaction(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	attempts := 0
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		attempts++
		tx, err := postgres.Tx(ctx, db)
		if err != nil {
			return err
		}
		if _, err := tx.Conn().Prepare(ctx, "finish", `COMMIT`); err != nil {
			return err
		}
		return sqlDo(ctx, db, `INSERT INTO orders VALUES (1)`, `finish`)
	})
	if attempts != 1 || !endedByHand(err) || !strings.Contains(err.Error(), "is kept") {
		t.Errorf("got %v after %d attempts, want that what was done before is kept", err, attempts)
	}
	if got := ask[int](t, conn, `SELECT count(*) FROM orders`); got != 1 {
		t.Errorf("got %d orders, want the one that was committed by hand", got)
	}
}

// Statements that end no transaction are not refused, nor reported as an end.
func TestSQLEndsNothing(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	exec(t, conn, `CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$`)
	run(t, func(ctx context.Context) error {
		tx, err := postgres.Tx(ctx, db)
		if err != nil {
			return err
		}
		// which PostgreSQL refuses here
		for _, text := range []string{`CALL ends()`, `DO $$ BEGIN COMMIT; END $$`} {
			if err := pgx.BeginFunc(ctx, tx,
				func(tx pgx.Tx) error { _, err := tx.Exec(ctx, text); return err }); err == nil {
				t.Errorf("%s: got no error", text)
			}
		}
		return sqlDo(ctx, db,
			`SAVEPOINT a; INSERT INTO orders VALUES (1); ROLLBACK TO a; RELEASE a`,
			`DO $$ BEGIN IF true THEN PERFORM 1; END IF; END $$`, `INSERT INTO orders VALUES `+
				`(2); SELECT 'it''s over; end'`)
	})
	if got := ask[int](t, conn, `SELECT sum(id) FROM orders`); got != 2 {
		t.Errorf("got orders with the sum %d, want 2", got)
	}
}

// Statements of a goroutine that still runs at the end of the transaction are committed whole, or
// refused.
func TestLeftOverStatements(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	for round := range 20 {
		var left error
		done, first := make(chan int, 1), make(chan struct{})
		run(t, func(ctx context.Context) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			go func() {
				for n := 0; ; n++ {
					if _, left = tx.Exec(ctx, `INSERT INTO orders VALUES ($1)`,
						1000*round+n); left != nil {
						done <- n
						return
					}
					if n == 0 {
						close(first)
					}
				}
			}()
			<-first
			return nil
		})
		n := <-done
		if !errors.Is(left, transaction.ErrEnded) {
			t.Errorf("got %v, want ErrEnded", left)
		}
		if got := ask[int](t, conn, `SELECT count(*) FROM orders WHERE id >= $1`,
			1000*round); got != n {
			t.Errorf("got %d orders, want the %d that were reported", got, n)
		}
	}
}
