package retry_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the drivers "mysql",
	_ "github.com/jackc/pgx/v5/stdlib" // "pgx" and
	_ "modernc.org/sqlite"             // "sqlite"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// A loser adds 1 to a number in the transaction of ctx; if lose is set, a rival changes the number
// first. The error is the one that the database has returned before the commit.
type loser func(ctx context.Context, lose bool) error

// counter returns a loser of a bucket, whose rival commits between its read and its write.
func counter(t *testing.T, db *storage.DB) loser {
	t.Helper()
	add := func(ctx context.Context, between func() error) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		value, err := tx.Bucket("b").Get([]byte("n"))
		if err != nil {
			return err
		}
		if err := between(); err != nil {
			return err
		}
		return tx.Bucket("b").Put([]byte("n"), append(value, '+'))
	}
	return func(ctx context.Context, lose bool) error {
		return add(ctx, func() error {
			if !lose {
				return nil
			}
			return transaction.Run(t.Context(), func(ctx context.Context) error {
				return add(ctx, func() error { return nil })
			})
		})
	}
}

// row returns a loser of a table's row, with the app's own SQL. Tx returns the SQL transaction of
// ctx.
func row(t *testing.T, pool *sql.DB, tx func(ctx context.Context) (read, write func() error,
	err error),
) loser {
	t.Helper()
	for _, statement := range []string{
		"CREATE TABLE numbers (n INTEGER)",
		"INSERT INTO numbers VALUES (0)",
	} {
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return func(ctx context.Context, lose bool) error {
		read, write, err := tx(ctx)
		if err != nil {
			return err
		}
		if err := read(); err != nil {
			return err
		}
		if lose {
			if _, err := pool.ExecContext(t.Context(), add); err != nil {
				return err
			}
		}
		return write()
	}
}

const (
	count = "SELECT n FROM numbers"
	add   = "UPDATE numbers SET n = n + 1"
)

func openPool(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	pool, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func throughSQLTx(t *testing.T, driver, dsn string) loser {
	t.Helper()
	pool := openPool(t, driver, dsn)
	db, err := sqltx.New(t.Context(), pool, sqltx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return row(t, pool, func(ctx context.Context) (read, write func() error, err error) {
		tx, err := db.Tx(ctx)
		if err != nil {
			return nil, nil, err
		}
		read = func() error { var n int; return tx.QueryRowContext(ctx, count).Scan(&n) }
		write = func() error { _, err := tx.ExecContext(ctx, add); return err }
		return read, write, nil
	})
}

func openDB(t *testing.T, uri string) *storage.DB {
	t.Helper()
	opener := storage.NewOpener()
	bolt.Register(opener)
	postgres.Register(opener)
	db, err := opener.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A request that met a conflict is run again, even if its handler hides the conflict; at the last
// attempt the handler's own answer is sent.
func TestHiddenConflict(t *testing.T) {
	t.Parallel()
	databases := map[string]func(t *testing.T) loser{
		"memory": func(t *testing.T) loser {
			t.Helper()
			return counter(t, memory.New("swallowed"))
		},
		"bolt": func(t *testing.T) loser {
			t.Helper()
			return counter(t, openDB(t, "bolt://"+filepath.Join(t.TempDir(), "data.db")))
		},
		"postgres, the app's SQL": func(t *testing.T) loser {
			t.Helper()
			uri := pgtest.Database(t)
			db := openDB(t, uri)
			return row(t, openPool(t, "pgx", uri), func(ctx context.Context) (read,
				write func() error, err error,
			) {
				tx, err := postgres.Tx(ctx, db)
				if err != nil {
					return nil, nil, err
				}
				read = func() error { var n int; return tx.QueryRow(ctx, count).Scan(&n) }
				write = func() error { _, err := tx.Exec(ctx, add); return err }
				return read, write, nil
			})
		},
		"sqltx, PostgreSQL": func(t *testing.T) loser {
			t.Helper()
			return throughSQLTx(t, "pgx", pgtest.Database(t))
		},
		"sqltx, SQLite": func(t *testing.T) loser {
			t.Helper()
			return throughSQLTx(t, "sqlite", "file:"+filepath.Join(t.TempDir(),
				"data.sqlite")+"?_pragma=journal_mode(wal)")
		},
	}
	sorry := errors.New("sorry")
	handlers := map[string]struct {
		finish func(w http.ResponseWriter, txn *transaction.Txn, failed error) error
		status int // status of the handler's own answer
	}{
		"the handler's 500": {func(w http.ResponseWriter, _ *transaction.Txn, _ error) error {
			http.Error(w, "sorry", http.StatusInternalServerError)
			return nil
		}, 500},
		"a veto of the app's": {func(w http.ResponseWriter, _ *transaction.Txn, _ error) error {
			w.Header().Set("X-Tm-Abort", "yes")
			w.WriteHeader(http.StatusConflict)
			return nil
		}, 409},
		"another error": {func(http.ResponseWriter,
			*transaction.Txn, error,
		) error {
			return sorry
		}, 503},
		"another error, with a status": {func(http.ResponseWriter,
			*transaction.Txn, error,
		) error {
			return attempt.WithStatus(422, sorry)
		}, 422},
		"doomed": {func(_ http.ResponseWriter, txn *transaction.Txn,
			_ error,
		) error {
			return txn.Doom()
		}, 200},
		"the handler's abort": {func(w http.ResponseWriter, txn *transaction.Txn, _ error) error {
			w.WriteHeader(http.StatusInternalServerError)
			return txn.Abort(txn.Context())
		}, 500},
		"the handler's commit": {func(w http.ResponseWriter, txn *transaction.Txn, _ error) error {
			if err := txn.Commit(txn.Context()); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return nil
		}, 500},
		"a flush": {func(w http.ResponseWriter, _ *transaction.Txn, _ error) error {
			w.WriteHeader(http.StatusInternalServerError)
			w.(http.Flusher).Flush()
			return nil
		}, 500},
		"nothing": {
			func(_ http.ResponseWriter, _ *transaction.Txn, _ error) error { return nil },
			503,
		},
	}
	for database, open := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			work := open(t)
			for name, h := range handlers {
				attempts := 0
				app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
					attempts++
					try, _ := transaction.AttemptFromContext(r.Context())
					txn, _ := transaction.FromContext(r.Context())
					lose := attempts == 1
					err := work(r.Context(), lose)
					if lose {
						return h.finish(w, txn, err)
					}
					fmt.Fprintf(w, "attempt %d", try.Number)
					return err
				})
				for _, tries := range []int{3, 1} {
					attempts = 0
					var log strings.Builder
					logger := slog.New(slog.NewTextHandler(&log, nil))
					chain := mustRetry(t, retry.Config{
						Tries:  tries,
						Logger: logger,
					})(tm.New(tm.Config{Veto: vetoBoth, Logger: logger})(app))
					w := httptest.NewRecorder()
					chain.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(),
						http.MethodPost, "/", nil))
					if tries > 1 {
						if w.Code != http.StatusOK || w.Body.String() != "attempt 2" ||
							attempts != 2 {
							t.Errorf("%s: got %d %q after %d attempts, want the second one's "+
								"answer\n%s", name, w.Code, w.Body, attempts, &log)
						}
						continue
					}
					if w.Code != h.status || attempts != 1 {
						t.Errorf("%s, one try: got %d after %d attempts, want %d\n%s", name, w.Code,
							attempts, h.status, &log)
					}
					if log.Len() == 0 {
						t.Errorf("%s, one try: nothing is logged", name)
					}
				}
			}
		})
	}
}

// A request that met a deadlock is run again, too, though the handler answers 500. MariaDB reports
// a deadlock to one of the two statements.
func TestHiddenDeadlock(t *testing.T) {
	t.Parallel()
	dsn := mariadbtest.Database(t)
	pool := openPool(t, "mysql", dsn)
	for _, statement := range []string{
		"CREATE TABLE pairs (id INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT INTO pairs VALUES (1, 0), (2, 0)",
	} {
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqltx.New(t.Context(), pool, sqltx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup // done when both first attempts have locked their first row
	first.Add(2)
	var deadlocks, attempts atomic.Int64
	chain := mustRetry(t,
		retry.Config{})(tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request,
	) {
		attempts.Add(1)
		try, _ := transaction.AttemptFromContext(r.Context())
		tx, err := db.Tx(r.Context())
		for i, id := range strings.Split(r.URL.Query().Get("ids"), ",") {
			if err == nil {
				_, err = tx.ExecContext(r.Context(), "UPDATE pairs SET n = n + 1 WHERE id = "+id)
			}
			if i == 0 && try.Number == 1 {
				first.Done()
				first.Wait()
			}
		}
		if err != nil {
			if strings.Contains(err.Error(), "1213") {
				deadlocks.Add(1)
			}
			http.Error(w, "sorry", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "done")
	})))
	var both sync.WaitGroup
	for _, ids := range []string{"1,2", "2,1"} {
		both.Go(func() {
			w := httptest.NewRecorder()
			chain.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost,
				"/?ids="+ids, nil))
			if w.Code != http.StatusOK || w.Body.String() != "done" {
				t.Errorf("%s: got %d %q", ids, w.Code, w.Body)
			}
		})
	}
	both.Wait()
	var sum int
	if err := pool.QueryRowContext(t.Context(), "SELECT SUM(n) FROM pairs").Scan(&sum); err != nil {
		t.Fatal(err)
	}
	if sum != 4 || deadlocks.Load() == 0 || attempts.Load() < 3 {
		t.Errorf("got the sum %d, %d deadlocks, %d attempts; want 4, at least one, and one more "+
			"attempt for it", sum, deadlocks.Load(), attempts.Load())
	}
}

// vetoBoth objects if both vetoes of package tm object.
func vetoBoth(r *http.Request, status int, header http.Header) bool {
	return status >= http.StatusInternalServerError || tm.RepozeVeto(r, status, header)
}
