package sqltx_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func TestEnd(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		for _, tt := range []struct {
			name    string
			work    func(ctx context.Context) error
			want    int
			wantErr error
		}{
			{"commit", func(context.Context) error { return nil }, 1, nil},
			{"error", func(context.Context) error { return errApp }, 0, errApp},
			{"doomed", func(ctx context.Context) error {
				txn, _ := transaction.FromContext(ctx)
				return txn.Doom()
			}, 0, transaction.ErrDoomed},
			{"veto", func(ctx context.Context) error {
				txn, _ := transaction.FromContext(ctx)
				txn.BeforeCommit(func(context.Context) error { return errApp })
				return nil
			}, 0, errApp},
			{"panic", func(context.Context) error { panic("the app has panicked") }, 0, nil},
		} {
			t.Run(tt.name, func(t *testing.T) {
				before := e.value(t, "a")
				func() {
					defer func() {
						if v := recover(); v != nil && tt.name != "panic" {
							t.Error(v)
						}
					}()
					err := transaction.Run(t.Context(), func(ctx context.Context) error {
						if err := e.add(ctx, "a", 1); err != nil {
							return err
						}
						return tt.work(ctx)
					})
					if !errors.Is(err, tt.wantErr) {
						t.Errorf("got %v, want %v", err, tt.wantErr)
					}
				}()
				e.want(t, "a", before+tt.want)
				if n := e.pool.Stats().InUse; n != 0 {
					t.Errorf("%d connections are in use", n)
				}
			})
		}
	})
}

func TestNoUpdateIsLost(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		const workers, each = 16, 10
		e.pool.SetMaxOpenConns(8)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }, patient); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		e.want(t, "a", workers*each)
	})
}

func TestTx(t *testing.T) {
	t.Parallel()
	e := newEnv(t, servers[0], sqltx.Options{Name: "shop"})
	if _, err := e.db.Tx(t.Context()); !errors.Is(err, transaction.ErrNoTransaction) {
		t.Errorf("without a transaction: got %v, want %v", err, transaction.ErrNoTransaction)
	}
	ctx, txn := transaction.Begin(t.Context())
	tx := e.tx(t, ctx)
	if e.tx(t, ctx) != tx {
		t.Error("a second call returns another Tx")
	}
	if n := e.pool.Stats().InUse; n != 0 {
		t.Errorf("before a statement: %d connections are in use", n)
	}
	if err := e.add(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	stmt, err := tx.PrepareContext(ctx, "UPDATE counter SET n = n + ? WHERE name = 'b'")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stmt.ExecContext(ctx, 2); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.QueryContext(ctx, "SELECT n FROM counter ORDER BY name") // stays open
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	if err := txn.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	e.want(t, "a", 1)
	e.want(t, "b", 2)
	const want = "sqltx: shop: transaction: is over"
	if _, err := tx.ExecContext(ctx, "SELECT 1"); !errors.Is(err, transaction.ErrEnded) || err.Error() != want {
		t.Errorf("Exec after the end: got %v, want %s", err, want)
	}
	if err := tx.QueryRowContext(ctx, "SELECT 1").Scan(new(int)); !errors.Is(err, transaction.ErrEnded) || err.Error() != want {
		t.Errorf("QueryRow after the end: got %v, want %s", err, want)
	}
	if _, err := e.db.Tx(ctx); !errors.Is(err, transaction.ErrEnded) {
		t.Errorf("Tx after the end: got %v, want %v", err, transaction.ErrEnded)
	}
	if rows.Next() {
		t.Error("rows outlive the transaction")
	}
	if err := e.db.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, _ = transaction.Begin(t.Context())
	if _, err := e.db.Tx(ctx); err == nil || err.Error() != "sqltx: shop: is closed" {
		t.Errorf("Tx after Close: got %v", err)
	}
}

// The context of one statement may end before the transaction does.
func TestContext(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		ctx, txn := transaction.Begin(t.Context())
		first, cancel := context.WithCancel(ctx)
		if err := e.add(first, "a", 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := e.add(ctx, "b", 1); err != nil {
			t.Fatal(err)
		}
		if err := txn.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		e.want(t, "a", 1)
		e.want(t, "b", 1)

		ctx, txn = transaction.Begin(t.Context())
		first, fail := context.WithCancelCause(ctx)
		fail(errApp)
		if err := e.add(first, "a", 1); !errors.Is(err, context.Canceled) && !errors.Is(err, errApp) {
			t.Errorf("with a context that is done: got %v", err)
		}
		if err := txn.Abort(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// A pool with one connection can't make anything wait for itself.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Decisions: sqltx.DecideAlways}, func(e *env) {
		t := e.t
		e.pool.SetMaxOpenConns(1)
		for range 3 {
			if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
				t.Fatal(err)
			}
		}
		e.want(t, "a", 3)

		ctx, txn := transaction.Begin(t.Context())
		if err := e.add(ctx, "a", 1); err != nil {
			t.Fatal(err)
		}
		other, cancel := context.WithCancel(t.Context())
		other, otherTxn := transaction.Begin(other)
		cancel()
		if err := e.add(other, "a", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("without a free connection: got %v, want %v", err, context.Canceled)
		}
		if err := otherTxn.Abort(other); err != nil {
			t.Error(err)
		}
		if err := txn.Abort(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if err := e.add(ctx, "a", 1); err != nil {
				return err
			}
			tx := e.tx(t, ctx)
			for _, query := range []string{
				"COMMIT", "begin", "START  TRANSACTION", "ROLLBACK", "-- done\nEND", "(abort)", "SET autocommit = 1",
				"PREPARE TRANSACTION 'x'", "SELECT 1; COMMIT",
			} {
				const want = " is refused: the SQL transaction begins and ends with that of the request or job"
				check := func(method string, err error) {
					if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("sqltx: shop: %q%s", query, want)) {
						t.Errorf("%s %q: got %v", method, query, err)
					}
				}
				_, err := tx.ExecContext(ctx, query)
				check("Exec", err)
				_, err = tx.QueryContext(ctx, query) //nolint:rowserrcheck,sqlclosecheck // there are none
				check("Query", err)
				_, err = tx.PrepareContext(ctx, query)
				check("Prepare", err)
				check("QueryRow", tx.QueryRowContext(ctx, query).Scan(new(int)))
			}
			return nil // a refusal does no harm
		})
		if err != nil {
			t.Error(err)
		}
		e.want(t, "a", 1)
	})
}

// Whatever stands before it, and however it is written.
func FuzzRefused(f *testing.F) {
	pool, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		f.Fatal(err)
	}
	defer pool.Close()
	db, err := sqltx.New(f.Context(), pool, sqltx.Options{Decisions: sqltx.DecideNever})
	if err != nil {
		f.Fatal(err)
	}
	ctx, _ := transaction.Begin(f.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		f.Fatal(err)
	}
	keywords := []string{"COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION", "END", "ABORT", "SET AUTOCOMMIT = 0"}
	before := []string{" ", "\n", "\t(", ";", "-- a comment; it's one\n", "/* a 'comment */", "/* /* nested */ ; */", "("}
	f.Add(uint(0), uint(0), []byte{0, 4, 5})
	f.Add(uint(3), uint(0b1010), []byte{6, 3})
	f.Fuzz(func(t *testing.T, keyword, lower uint, choices []byte) {
		var query strings.Builder
		for _, c := range choices {
			query.WriteString(before[int(c)%len(before)])
		}
		for i, c := range keywords[keyword%uint(len(keywords))] {
			if lower>>(i%32)&1 != 0 {
				c = []rune(strings.ToLower(string(c)))[0]
			}
			query.WriteRune(c)
		}
		if _, err := tx.ExecContext(ctx, query.String()); err == nil || !strings.Contains(err.Error(), "is refused") {
			t.Errorf("%q: got %v", query.String(), err)
		}
	})
}

func openBolt(t *testing.T) *storage.DB {
	t.Helper()
	o := storage.NewOpener()
	bolt.Register(o)
	db, err := o.Open(t.Context(), "bolt://"+filepath.Join(t.TempDir(), "data.bolt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func put(ctx context.Context, db *storage.DB, value string) error {
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	return tx.Bucket("b").Put([]byte("k"), []byte(value))
}

func get(t *testing.T, db *storage.DB) (value string) {
	t.Helper()
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		v, err := tx.Bucket("b").Get([]byte("k"))
		value = string(v)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestTogetherWithStorage(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		mem, file := memory.New("scratch"), openBolt(t)
		work := func(db *storage.DB, fail error) error {
			return transaction.Run(t.Context(), func(ctx context.Context) error {
				if err := put(ctx, db, "written"); err != nil {
					return err
				}
				return errors.Join(e.add(ctx, "a", 1), fail)
			})
		}
		if err := work(mem, errApp); !errors.Is(err, errApp) {
			t.Errorf("got %v, want %v", err, errApp)
		}
		if got := get(t, mem); got != "" {
			t.Errorf("after an abort: got %q", got)
		}
		if err := work(mem, nil); err != nil {
			t.Fatal(err)
		}
		if got := get(t, mem); got != "written" {
			t.Errorf("after a commit: got %q", got)
		}
		e.want(t, "a", 1)

		err := work(file, nil)
		if !errors.Is(err, transaction.ErrOnePhase) || !strings.Contains(err.Error(), `"sql:shop"`) || !strings.Contains(err.Error(), `"storage:`) {
			t.Errorf("two that can't prepare: got %v, want an error that names both", err)
		}
		if got := get(t, file); got != "" {
			t.Errorf("after a refusal: got %q", got)
		}
		e.want(t, "a", 1)
	})
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		dsn := e.dsn
		if e.driver == "sqlite" {
			_, err := sqltx.New(t.Context(), e.pool, sqltx.Options{ReadOnly: true})
			if err == nil || !strings.Contains(err.Error(), "query_only(1)") {
				t.Errorf("without query_only: got %v", err)
			}
			dsn += "&_pragma=query_only(1)"
		}
		e.db = newDB(t, openPool(t, e.driver, dsn), sqltx.Options{ReadOnly: true})
		if id := e.db.RecorderID(); id != "" {
			t.Errorf("records decisions as %q", id)
		}
		file := openBolt(t)
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if err := e.tx(t, ctx).QueryRowContext(ctx, "SELECT n FROM counter WHERE name = 'a'").Scan(new(int)); err != nil {
				return err
			}
			return put(ctx, file, "written")
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := get(t, file); got != "written" {
			t.Errorf("got %q", got)
		}
		err = transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }, once)
		if err == nil {
			t.Error("a write: got no error")
		}
		e.want(t, "a", 0)
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	pool := openPool(t, "sqlite", sqliteDeferred(t))
	for _, tt := range []struct {
		options sqltx.Options
		want    string
	}{
		{sqltx.Options{Table: "a b"}, `sqltx: table "a b": want a name of letters, digits and _, or schema.name`},
		{sqltx.Options{Decisions: 7}, `sqltx: decisions 7: want DecideForOthers, DecideAlways or DecideNever`},
		{sqltx.Options{Name: "shop", Table: "nowhere.decided"}, `sqltx: shop: cannot make the table of decisions: `},
	} {
		if _, err := sqltx.New(t.Context(), pool, tt.options); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.options, err, tt.want)
		}
	}
}

func TestNegativeTimeoutIsNone(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Timeout: -1}, func(e *env) {
		t := e.t
		r := &preparer{}
		if err := together(t, e, r); err != nil || r.finish != 1 {
			t.Errorf("got %v, %d finishes", err, r.finish)
		}
		e.decided(t, r.id, true)
		e.want(t, "a", 1)
	})
}

func TestIsolationThatTheDriverHasNot(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		_, err := sqltx.New(t.Context(), e.pool, sqltx.Options{Isolation: sql.LevelLinearizable})
		if err == nil || !strings.Contains(err.Error(), "cannot begin a transaction (isolation Linearizable, read-only false)") {
			t.Errorf("got %v", err)
		}
	}, "postgres", "mariadb")
}
