package sqltx_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

// What an app sets in a session is not there for the next one that gets a connection of the pool, nor does it change
// what the records of decisions mean.
func TestWhatIsSetInASession(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Decisions: sqltx.DecideAlways}, func(e *env) {
		t := e.t
		if e.name == "mariadb" {
			mariadbtest.Procedures(t)
		}
		e.pool.SetMaxOpenConns(1)
		for _, tt := range map[string][]struct{ set, show string }{
			"mariadb": {
				{"SET SESSION TRANSACTION READ ONLY", "SELECT @@tx_read_only"},
				{"SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "SELECT @@tx_isolation"},
				{"SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'", "SELECT @@sql_mode"},
				{"SET completion_type = 'CHAIN'", "SELECT @@completion_type"},
				{"SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"},
				{"SET @a = 1", "SELECT @a"},
				{"SELECT @a := 1", "SELECT @a"},
				{"SELECT GET_LOCK('sqltx', 1)", "SELECT IS_USED_LOCK('sqltx')"},
				{"CREATE TEMPORARY TABLE counted (n int)", "SELECT COUNT(*) FROM counted"},
				{"CREATE DATABASE IF NOT EXISTS elsewhere", ""},
				{"USE elsewhere", "SELECT DATABASE()"},
				{"PREPARE s FROM 'SELECT 1'", "EXECUTE s"},
				{"EXECUTE IMMEDIATE 'SET SESSION TRANSACTION READ ONLY'", "SELECT @@tx_read_only"},
				{"CREATE PROCEDURE reads_only() SET SESSION TRANSACTION READ ONLY", ""},
				{"CALL reads_only()", "SELECT @@tx_read_only"},
			},
			"postgres": {
				{"SET search_path = nowhere", "SHOW search_path"},
				{"SET LOCAL search_path = nowhere", "SHOW search_path"},
				{"SELECT set_config('search_path', 'nowhere', false)", "SHOW search_path"},
				{"CREATE ROLE nobody_in_particular", ""},
				{"SET ROLE nobody_in_particular", "SELECT current_user"},
				{"SET LOCAL ROLE nobody_in_particular", "SELECT current_user"},
				{"SET default_transaction_read_only = on", "SHOW default_transaction_read_only"},
				{"SET default_transaction_isolation = 'read committed'", "SHOW default_transaction_isolation"},
				{"SET session_replication_role = replica", "SHOW session_replication_role"},
				{"SET row_security = off", "SHOW row_security"},
				{"SET statement_timeout = 60000", "SHOW statement_timeout"},
				{"SELECT pg_advisory_lock(1)", "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
				{"CREATE TEMP TABLE pasteline_decided (id text, outcome text, decided_at bigint)", "SELECT to_regclass('pg_temp.pasteline_decided')"},
				{"CREATE TABLE pg_temp.counter (name text, n int)", "SELECT to_regclass('pg_temp.counter')"},
				{"LISTEN sqltx", "SELECT COUNT(*) FROM pg_listening_channels()"},
				{"DO $$ BEGIN SET search_path = nowhere; END $$", "SHOW search_path"},
				{"DO $$ BEGIN PERFORM pg_advisory_lock(2); END $$", "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
				{"CREATE PROCEDURE reads_only() LANGUAGE SQL AS $$ SET default_transaction_read_only = on $$", ""},
				{"CALL reads_only()", "SHOW default_transaction_read_only"},
				{"PREPARE s AS SELECT 1", "SELECT COUNT(*) FROM pg_prepared_statements WHERE name = 's'"},
			},
			"sqlite": {
				{"PRAGMA query_only = 1", "PRAGMA query_only"},
				{"PRAGMA recursive_triggers = 1", "PRAGMA recursive_triggers"},
				{"PRAGMA busy_timeout = 1", "PRAGMA busy_timeout"},
				{"PRAGMA ignore_check_constraints = 1", "PRAGMA ignore_check_constraints"},
				{"CREATE TEMP TABLE pasteline_decided (id TEXT, outcome TEXT, decided_at INTEGER)", "SELECT COUNT(*) FROM sqlite_temp_schema"},
				{"CREATE TABLE temp.counter (name TEXT, n INTEGER)", "SELECT COUNT(*) FROM sqlite_temp_schema"},
			},
		}[e.name] {
			if tt.show == "" {
				if _, err := e.pool.ExecContext(t.Context(), tt.set); err != nil {
					t.Fatal(err)
				}
				continue
			}
			t.Run(tt.set, func(t *testing.T) {
				show := func() string {
					var value any
					if err := e.pool.QueryRowContext(t.Context(), tt.show).Scan(&value); err != nil {
						return err.Error()
					}
					if b, ok := value.([]byte); ok {
						value = string(b)
					}
					return fmt.Sprint(value)
				}
				before := show()
				if err := transaction.Run(t.Context(), func(ctx context.Context) error {
					_, err := e.tx(t, ctx).ExecContext(ctx, tt.set)
					return err
				}); err != nil && tt.set != "PRAGMA query_only = 1" { // the record can't be made
					t.Error(err)
				}
				after := show()
				for deadline := time.Now().Add(10 * time.Second); after != before && time.Now().Before(deadline); after = show() {
					runtime.Gosched() // the server has yet to see that the connection is closed
				}
				if after != before {
					t.Errorf("%s: %s before, %s after", tt.show, before, after)
				}
				if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
					t.Errorf("the next transaction: %v", err)
				}
			})
		}
	}, "sqlite", "postgres", "mariadb")
}

// Decisions are recorded in the table that was found at the start, as the role that opened it.
func TestRecordIsWhereItBelongs(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		for _, query := range map[string][]string{
			"postgres": {"CREATE ROLE nobody_at_all", "CREATE SCHEMA tenant", "CREATE TABLE tenant.pasteline_decided (LIKE public.pasteline_decided)"},
			"mariadb":  {"CREATE DATABASE IF NOT EXISTS tenant", "CREATE TABLE IF NOT EXISTS tenant.pasteline_decided LIKE pasteline_decided"},
		}[e.name] {
			if _, err := e.pool.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		for _, set := range map[string][]string{
			"postgres": {"SET LOCAL search_path = tenant", "SET LOCAL ROLE nobody_at_all", "CREATE TEMP TABLE pasteline_decided (LIKE public.pasteline_decided)"},
			"mariadb":  {"USE tenant"},
			"sqlite":   {"CREATE TEMP TABLE pasteline_decided (id TEXT, outcome TEXT, decided_at INTEGER)"},
		}[e.name] {
			r := &preparer{}
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				txn, _ := transaction.FromContext(ctx)
				_, err := e.tx(t, ctx).ExecContext(ctx, set)
				return errors.Join(err, txn.Join(r))
			})
			if err != nil || r.finish != 1 {
				t.Errorf("%s: finished %d times, %v", set, r.finish, err)
			}
		}
	}, "sqlite", "postgres", "mariadb")
}

// An operator of a schema that comes first in the search path of every connection changes nothing of what our own
// statements mean.
func TestOperatorsOfAnotherSchema(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Decisions: sqltx.DecideAlways}, func(e *env) {
		t := e.t
		for _, query := range []string{
			"CREATE SCHEMA tenant",
			"CREATE FUNCTION tenant.yes(text, text) RETURNS bool LANGUAGE sql AS 'SELECT true'",
			"CREATE FUNCTION tenant.yes(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT true'",
			"CREATE FUNCTION tenant.yes(varchar, varchar) RETURNS bool LANGUAGE sql AS 'SELECT true'",
			"CREATE OPERATOR tenant.= (LEFTARG = text, RIGHTARG = text, FUNCTION = tenant.yes)",
			"CREATE OPERATOR tenant.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = tenant.yes)",
			"CREATE OPERATOR tenant.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = tenant.yes)",
			"DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || quote_ident(current_database()) || ' SET search_path = tenant, public, pg_catalog'; END $$",
		} {
			if _, err := e.pool.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		pool := openPool(t, e.driver, e.dsn)
		db := newDB(t, pool, sqltx.Options{Decisions: sqltx.DecideAlways})
		if db.RecorderID() != e.db.RecorderID() {
			t.Errorf("got the id %q, want %q", db.RecorderID(), e.db.RecorderID())
		}
		known := ""
		if err := transaction.Run(t.Context(), func(ctx context.Context) error {
			txn, _ := transaction.FromContext(ctx)
			known = txn.ID()
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "UPDATE counter SET n = 1")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]bool{known: true, "UNKNOWN": false} {
			if got, err := db.Decided(t.Context(), id); err != nil || got != want {
				t.Errorf("decided %s: got %t, %v, want %t", id, got, err, want)
			}
		}
	}, "postgres")
}

// Requests of a crowd that read and then write: a second attempt of SQLite waits for its lock before it reads.
func TestReadThenWrite(t *testing.T) {
	t.Parallel()
	for name, journal := range map[string]string{"plain": "", "wal": "?_pragma=journal_mode(WAL)"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, server{"sqlite", "sqlite", func(tb testing.TB) string {
				tb.Helper()
				return "file:" + tb.TempDir() + "/test.db" + journal
			}}, sqltx.Options{})
			const workers, each = 8, 15
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range each {
						if err := transaction.Run(t.Context(), func(ctx context.Context) error { return e.add(ctx, "a", 1) }); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			e.want(t, "a", workers*each)
		})
	}
}
