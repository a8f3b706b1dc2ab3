package sqltx_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

// An error that the app ignores does not make half a transaction.
func TestIgnoredError(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		for _, tt := range []struct {
			name, statement string
			fatal           bool // here
		}{
			{"duplicate key", "INSERT INTO counter (name, n) VALUES ('b', 1)", e.name == "postgres"},
			{"syntax", "no SQL", e.name == "postgres"},
			{"constraint that rolls back", "INSERT OR ROLLBACK INTO counter (name, n) VALUES ('b', 1)", e.name != "mariadb"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				before := e.value(t, "a")
				var next error
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					if err := e.add(ctx, "a", 1); err != nil {
						return err
					}
					if _, err := e.tx(t, ctx).ExecContext(ctx, tt.statement); err == nil {
						t.Error("got no error")
					}
					next = e.add(ctx, "a", 10)
					return nil
				}, once)
				if !tt.fatal {
					if next != nil || err != nil {
						t.Errorf("got %v, then %v", next, err)
					}
					e.want(t, "a", before+11)
					return
				}
				const want = "sqltx: shop: an earlier statement has failed, and the transaction with it: "
				for _, err := range []error{next, err} {
					if err == nil || !strings.HasPrefix(err.Error(), want) || transaction.IsTransient(err) {
						t.Errorf("got %v, want %s...", err, want)
					}
				}
				e.want(t, "a", before)
			})
		}
	})
}

// The error of a row comes when the rows are read; and that may have ended the SQL transaction.
func TestIgnoredErrorOfRows(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			if err := e.add(ctx, "a", 1); err != nil {
				return err
			}
			rows, err := e.tx(t, ctx).QueryContext(ctx, "SELECT 1/(3-i) FROM generate_series(1, 5) AS i")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return nil
		}, once)
		if err == nil || !strings.Contains(err.Error(), "division by zero") {
			t.Errorf("got %v", err)
		}
		e.want(t, "a", 0)
	}, "postgres")
}

// A prepared statement's errors are seen, too.
func TestIgnoredErrorOfStmt(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			stmt, err := e.tx(t, ctx).PrepareContext(ctx, "UPDATE counter SET n = 1/n")
			if err != nil {
				return err
			}
			if _, err := stmt.ExecContext(ctx); err == nil {
				t.Error("got no error")
			}
			return nil
		}, once)
		const want = "sqltx: shop: an earlier statement has failed, and the transaction with it: ERROR: division by zero"
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}, "postgres")
}

// After a deadlock, MySQL has rolled back, and would commit every further statement by itself.
func TestIgnoredDeadlock(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		var first sync.WaitGroup // both have a lock
		first.Add(2)
		var deadlocks atomic.Int64
		var both sync.WaitGroup
		work := func(mine, other string) {
			attempts := 0
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx := e.tx(t, ctx)
				add := func(name string) error {
					_, err := tx.ExecContext(ctx, e.sql("UPDATE counter SET n = n + 1 WHERE name = ?"), name)
					return err
				}
				if err := add(mine); err != nil {
					return err
				}
				if attempts++; attempts == 1 {
					first.Done()
					first.Wait()
				}
				if err := add(other); err != nil {
					deadlocks.Add(1)
					_ = add(other) // as if nothing had been
				}
				return nil
			}, patient)
			if err != nil {
				t.Error(err)
			}
		}
		both.Go(func() { work("a", "b") })
		both.Go(func() { work("b", "a") })
		both.Wait()
		if deadlocks.Load() == 0 {
			t.Error("there was no deadlock")
		}
		e.want(t, "a", 2)
		e.want(t, "b", 2)
	}, "postgres", "mariadb")
}

func TestConflictIsTransient(t *testing.T) {
	t.Parallel()
	e := newEnv(t, servers[1], sqltx.Options{}) // SQLite, deferred: the two read first
	ctx, txn := transaction.Begin(t.Context())
	if err := e.tx(t, ctx).QueryRowContext(ctx, "SELECT n FROM counter").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
		t.Fatal(err)
	}
	err := e.add(ctx, "a", 1)
	if !txn.IsTransient(err) {
		t.Errorf("got %v, want it to be transient", err)
	}
	err = txn.Commit(ctx) // though it was ignored
	if !txn.IsTransient(err) {
		t.Errorf("commit: got %v, want it to be transient", err)
	}
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
	e.want(t, "a", 1)
}

// A constraint that is looked at by the commit fails it, and leaves the connection as good as new.
func TestCommitThatIsRefused(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		t := e.t
		e.pool.SetMaxOpenConns(1)
		if e.driver == "sqlite" {
			if _, err := e.pool.ExecContext(t.Context(), "PRAGMA foreign_keys = 1"); err != nil {
				t.Fatal(err)
			}
		}
		const table = "CREATE TABLE part (counter VARCHAR(20) REFERENCES counter (name) DEFERRABLE INITIALLY DEFERRED)"
		if _, err := e.pool.ExecContext(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			_, err := e.tx(t, ctx).ExecContext(ctx, "INSERT INTO part VALUES ('nothing')")
			return err
		})
		if err == nil || !strings.HasPrefix(err.Error(), "sqltx: shop: not committed: ") || errors.Is(err, transaction.ErrInDoubt) {
			t.Errorf("got %v", err)
		}
		if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
			t.Error(err)
		}
		e.want(t, "a", 1)
	}, "sqlite", "sqlite-deferred", "postgres")
}

func TestIsTransient(t *testing.T) {
	t.Parallel()
	e := newEnv(t, servers[0], sqltx.Options{Transient: func(err error) bool { return errors.Is(err, io.ErrNoProgress) }})
	ctx, txn := transaction.Begin(t.Context())
	e.tx(t, ctx)
	pg := func(state string) error { return fmt.Errorf("query: %w", &pgconn.PgError{Code: state}) }
	my := func(number uint16) error { return errors.Join(errApp, &mysql.MySQLError{Number: number}) }
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{pg("40001"), true},
		{pg("40P01"), true},
		{pg("55P03"), true},
		{pg("57P01"), true},
		{pg("08006"), true},
		{pg("40003"), true},
		{pg("23505"), false},
		{pg("25P02"), false},
		{my(1213), true},
		{my(1205), true},
		{my(1020), true},
		{my(3101), true},
		{my(1927), true},
		{my(1062), false},
		{my(1064), false},
		{mattn{Code: 5, ExtendedCode: 517}, true},
		{mattn{Code: 6, ExtendedCode: 262}, true},
		{mattn{Code: 19, ExtendedCode: 1555}, false},
		{driver.ErrBadConn, true},
		{io.ErrNoProgress, true},
		{pgx.ErrTxCommitRollback, false},
		{mysql.ErrInvalidConn, false}, // not one of a statement
		{io.ErrUnexpectedEOF, false},
		{errApp, false},
		{fmt.Errorf("%w: %w", transaction.ErrInDoubt, pg("40001")), false},
	} {
		if got := txn.IsTransient(tt.err); got != tt.want {
			t.Errorf("%v: got %t, want %t", tt.err, got, tt.want)
		}
	}
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
}

// mattn looks like the Error of github.com/mattn/go-sqlite3, which needs C.
type mattn struct {
	Code, ExtendedCode int
	SystemErrno        uintptr
}

func (e mattn) Error() string { return fmt.Sprintf("sqlite %d", e.ExtendedCode) }

// A connection that the server cuts in the middle of a transaction.
func TestConnectionKilled(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		kill := func(ctx context.Context) {
			id := map[string]string{"pgx": "pg_backend_pid()", "mysql": "CONNECTION_ID()"}[e.driver]
			var connection int
			if err := e.tx(t, ctx).QueryRowContext(ctx, "SELECT "+id).Scan(&connection); err != nil {
				t.Fatal(err)
			}
			statement := map[string]string{"pgx": "SELECT pg_terminate_backend(%d, 5000)", "mysql": "KILL %d"}[e.driver]
			if _, err := e.pool.ExecContext(t.Context(), fmt.Sprintf(statement, connection)); err != nil {
				t.Fatal(err)
			}
		}
		attempts := 0
		work := func(after func(ctx context.Context) error) error {
			attempts = 0
			return transaction.Run(t.Context(), func(ctx context.Context) error {
				if err := e.add(ctx, "a", 1); err != nil {
					return err
				}
				if attempts++; attempts == 1 {
					kill(ctx)
					return after(ctx)
				}
				return nil
			})
		}
		// It is found by the next statement, returned or ignored.
		if err := work(func(ctx context.Context) error { return e.add(ctx, "b", 1) }); err != nil {
			t.Error(err)
		}
		if err := work(func(ctx context.Context) error { _ = e.add(ctx, "b", 1); return nil }); err != nil {
			t.Error(err)
		}
		e.want(t, "a", 2)
		e.want(t, "b", 0)
		// It is found by the commit: whether the connection was lost before or after, nobody can tell.
		err := work(func(context.Context) error { return nil })
		if !errors.Is(err, transaction.ErrInDoubt) || transaction.IsTransient(err) {
			t.Errorf("got %v, want %v", err, transaction.ErrInDoubt)
		}
		e.want(t, "a", 2)
		// With a record, everybody can.
		e.db = newDB(t, e.pool, sqltx.Options{Decisions: sqltx.DecideAlways})
		if err := work(func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		e.want(t, "a", 3)
	}, "postgres", "mariadb")
}

// A connection that breaks while it commits: before the server knows, or before the answer arrives.
func TestConnectionCutInCommit(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]sqltx.Options{"for others": {}, "always": {Decisions: sqltx.DecideAlways}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onAll(t, options, func(e *env) {
				t := e.t
				p := newProxy(t, e)
				e.db = newDB(t, openPool(t, e.driver, p.dsn), options)
				always := options.Decisions == sqltx.DecideAlways
				for _, cut := range []when{beforeCommit, afterCommit} {
					for _, others := range []bool{false, true} {
						before := e.value(t, "a")
						r := &preparer{}
						p.cut.Store(int64(cut))
						attempts := 0
						err := transaction.Run(t.Context(), func(ctx context.Context) error {
							attempts++
							if txn, _ := transaction.FromContext(ctx); others {
								if err := txn.Join(r); err != nil {
									return err
								}
							}
							return e.add(ctx, "a", 1)
						})
						if when(p.cut.Load()) != never {
							t.Fatal("nothing was cut")
						}
						label := fmt.Sprintf("cut %s, others %t", cut, others)
						if !always && !others {
							if !errors.Is(err, transaction.ErrInDoubt) || transaction.IsTransient(err) {
								t.Errorf("%s: got %v, want %v", label, err, transaction.ErrInDoubt)
							}
							if cut == afterCommit {
								before++
							}
							e.want(t, "a", before)
							continue
						}
						if err != nil {
							t.Errorf("%s: %v", label, err)
						}
						if want := map[when]int{beforeCommit: 2, afterCommit: 1}[cut]; attempts != want {
							t.Errorf("%s: %d attempts, want %d", label, attempts, want)
						}
						if others && (r.finish != 1 || r.abort != attempts-1) {
							t.Errorf("%s: finished %d times, aborted %d times", label, r.finish, r.abort)
						}
						e.want(t, "a", before+1)
					}
				}
			}, "postgres", "mariadb")
		})
	}
}

// As long as the database can't be reached, the outcome is not known.
func TestConnectionCutForGood(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		p := newProxy(t, e)
		e.db = newDB(t, openPool(t, e.driver, p.dsn), sqltx.Options{})
		p.cut.Store(int64(afterCommit))
		p.forGood = true
		r := &preparer{}
		err := together(t, e, r)
		if !errors.Is(err, transaction.ErrInDoubt) || !strings.Contains(err.Error(), "looking for its record") {
			t.Errorf("got %v, want %v", err, transaction.ErrInDoubt)
		}
		if r.finish+r.abort != 0 {
			t.Error("who had prepared was told an end")
		}
		e.want(t, "a", 1)
		p.down.Store(false)
		e.decided(t, r.id, true)
	}, "postgres", "mariadb")
}

type when int64

const (
	never when = iota
	beforeCommit
	afterCommit
)

func (w when) String() string { return [...]string{"never", "before", "after"}[w] }

// proxy stands before a server and cuts a connection, once, at a COMMIT.
type proxy struct {
	dsn, to string
	cut     atomic.Int64 // a when
	forGood bool         // and all that come later, until down is false again
	down    atomic.Bool
}

func newProxy(t *testing.T, e *env) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	switch e.driver {
	case "pgx":
		config, err := pgx.ParseConfig(e.dsn)
		if err != nil {
			t.Fatal(err)
		}
		p.to = net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
		if strings.HasPrefix(config.Host, "/") {
			p.to = fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
		}
		uri := url.URL{
			Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: l.Addr().String(), Path: config.Database,
			RawQuery: "sslmode=disable",
		}
		p.dsn = uri.String()
	case "mysql":
		config, err := mysql.ParseDSN(e.dsn)
		if err != nil {
			t.Fatal(err)
		}
		p.to = config.Addr
		config.Net, config.Addr = "tcp", l.Addr().String()
		p.dsn = config.FormatDSN()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if p.down.Load() {
		return
	}
	network := "tcp"
	if strings.HasPrefix(p.to, "/") {
		network = "unix"
	}
	upstream, err := net.Dial(network, p.to)
	if err != nil {
		return
	}
	defer upstream.Close()
	answers := make(chan struct{})
	var drop atomic.Bool // the next answer
	go func() {
		defer close(answers)
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := upstream.Read(buffer)
			if err != nil || drop.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	defer func() { upstream.Close(); <-answers }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		// "commit" ends in a zero for PostgreSQL, and with the packet for MySQL; the record of a decision does not.
		message := bytes.ToUpper(buffer[:n])
		if bytes.HasSuffix(message, []byte("COMMIT\x00")) || bytes.HasSuffix(message, []byte("\x03COMMIT")) {
			cut := when(p.cut.Swap(int64(never)))
			if cut != never && p.forGood {
				p.down.Store(true)
			}
			switch cut {
			case beforeCommit:
				return
			case afterCommit:
				drop.Store(true)
				if _, err := upstream.Write(buffer[:n]); err == nil {
					<-answers
				}
				return
			}
		}
		if _, err := upstream.Write(buffer[:n]); err != nil {
			return
		}
	}
}
