package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// hostile is a schema in which the names that our statements use are others.
var hostile = []string{
	`CREATE SCHEMA tenant`,
	`CREATE TABLE tenant.pasteline_data (LIKE public.pasteline_data INCLUDING ALL)`,
	`CREATE TABLE tenant.pasteline_decisions (LIKE public.pasteline_decisions INCLUDING ALL)`,
	`CREATE DOMAIN tenant.bytea AS int`, `CREATE DOMAIN tenant.text AS int`,
	`CREATE FUNCTION tenant.no(bytea, bytea) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE ` +
		`'another operator'; END $$`,
	`CREATE FUNCTION tenant.no(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE ` +
		`'another operator'; END $$`,
	`CREATE FUNCTION tenant.no(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE ` +
		`'another operator'; END $$`,
	`CREATE OPERATOR tenant.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = tenant.no)`,
	`CREATE OPERATOR tenant.>= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = tenant.no)`,
	`CREATE OPERATOR tenant.< (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = tenant.no)`,
	`CREATE OPERATOR tenant.<= (LEFTARG = int, RIGHTARG = int, FUNCTION = tenant.no)`,
	`CREATE OPERATOR tenant.= (LEFTARG = text, RIGHTARG = text, FUNCTION = tenant.no)`,
	`CREATE FUNCTION tenant.octet_length(bytea) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE ` +
		`'another function'; END $$`,
	`CREATE FUNCTION tenant.set_config(text, text, bool) RETURNS text LANGUAGE plpgsql AS $$ ` +
		`BEGIN RAISE 'another function'; END $$`,
	`CREATE FUNCTION tenant.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN ` +
		`RAISE 'another function'; END $$`,
	`CREATE FUNCTION tenant.txid_current_if_assigned() RETURNS bigint LANGUAGE plpgsql AS $$ ` +
		`BEGIN RAISE 'another function'; END $$`,
	`CREATE FUNCTION tenant.pg_try_advisory_xact_lock_shared(bigint) RETURNS bool LANGUAGE ` +
		`plpgsql AS $$ BEGIN RAISE 'another function'; END $$`,
	`CREATE FUNCTION tenant.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ ` +
		`BEGIN RAISE 'another function'; END $$`,
}

// A setting of the app's own SQL either does not affect this package's statements or is refused,
// and the next transaction on the same connection does not find it. docs/databases.md has the same
// table.
func TestForeignState(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	made := openDB(t, uri)
	mustPut(t, made, "old", "1")
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, uri)
	role := "role_of_" + ask[string](t, conn, `SELECT current_database()`)
	exec(t, conn, hostile...)
	exec(t, conn, `CREATE TABLE orders (id int PRIMARY KEY, n int UNIQUE DEFERRABLE)`,
		`CREATE ROLE `+role, `GRANT SELECT, INSERT ON orders TO `+role, `GRANT USAGE ON SCHEMA `+
			`tenant TO `+role)
	const nobody, defaultPath = "none", `"$user", public`
	tests := []struct {
		name    string
		sql     []string
		wantErr string // of the transaction; empty: it is committed
		left    string // a query of the next transaction
		want    string // its result
	}{
		{
			"search_path, local",
			[]string{`SET LOCAL search_path = tenant, pg_catalog`},
			"",
			`SELECT current_setting('search_path')`, defaultPath,
		},
		{
			"search_path",
			[]string{`SET search_path = tenant, pg_catalog`},
			"",
			`SELECT current_setting('search_path')`, defaultPath,
		},
		{
			"search_path, empty",
			[]string{`SELECT pg_catalog.set_config('search_path', '', false)`},
			"", `SELECT current_setting('search_path')`, defaultPath,
		},
		{"temporary tables", []string{
			`CREATE TEMP TABLE pasteline_data (LIKE public.pasteline_data INCLUDING ALL)`,
			`CREATE TEMP TABLE bytea (n int)`,
			`CREATE TEMP TABLE pasteline_decisions (LIKE public.pasteline_decisions INCLUDING ALL)`,
			`CREATE TEMP TABLE text (n int)`,
		}, "", `SELECT count(*)::pg_catalog.text FROM pg_class WHERE relpersistence = 't'`, "0"},
		{
			"role, local",
			[]string{`SET LOCAL ROLE ` + role},
			"",
			`SELECT current_setting('role')`, nobody,
		},
		{"role", []string{`SET ROLE ` + role}, "", `SELECT current_setting('role')`, nobody},
		{
			"session authorization, local",
			[]string{`SET LOCAL SESSION AUTHORIZATION ` + role},
			"",
			`SELECT session_user`, "postgres",
		},
		{
			"session authorization",
			[]string{`SET SESSION AUTHORIZATION ` + role},
			"",
			`SELECT session_user`, "postgres",
		},
		{"row security", []string{`SET row_security = off`}, "", `SHOW row_security`, "on"},
		{
			"statement_timeout",
			[]string{`SET statement_timeout = '1h'`},
			"",
			`SHOW statement_timeout`, "30s",
		},
		{"lock_timeout", []string{`SET lock_timeout = '1h'`}, "", `SHOW lock_timeout`, "5s"},
		{
			"idle time-out",
			[]string{`SET idle_in_transaction_session_timeout = 0`},
			"",
			`SHOW idle_in_transaction_session_timeout`, "1min",
		},
		{"default_transaction_isolation", []string{`SET default_transaction_isolation = 'read ` +
			`committed'`}, "", `SHOW default_transaction_isolation`, "serializable"},
		{
			"session characteristics",
			[]string{`SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, ` +
				`READ ONLY`},
			"",
			`SELECT current_setting('default_transaction_isolation') || ` +
				`current_setting('default_transaction_read_only')`, "serializableoff",
		},
		{
			"default_transaction_read_only",
			[]string{`SET default_transaction_read_only = on`},
			"",
			`SHOW default_transaction_read_only`, "off",
		},
		{
			"default_transaction_deferrable",
			[]string{`SET default_transaction_deferrable = on`},
			"",
			`SHOW default_transaction_deferrable`, "off",
		},
		{
			"read only",
			[]string{`SET TRANSACTION READ ONLY`},
			"made the transaction read-only",
			`SHOW transaction_read_only`, "off",
		},
		{
			"isolation level",
			[]string{`SET TRANSACTION ISOLATION LEVEL READ COMMITTED`},
			"SET TRANSACTION ISOLATION LEVEL must not be called", `SHOW transaction_isolation`,
			"serializable",
		},
		{
			"isolation level, after our savepoint",
			[]string{
				`RELEASE SAVEPOINT pasteline_origin`,
				`SET TRANSACTION ISOLATION LEVEL READ COMMITTED`,
			},
			"not serializable", `SHOW transaction_isolation`, "serializable",
		},
		{
			"session_replication_role",
			[]string{`SET session_replication_role = replica`},
			"",
			`SHOW session_replication_role`, "origin",
		},
		{"deferred constraints", []string{`SET CONSTRAINTS ALL DEFERRED`, `INSERT INTO orders ` +
			`VALUES (1, 1), (2, 1)`}, "duplicate key", `SELECT count(*)::text FROM orders`, "0"},
		{"constraints at once", []string{`SET CONSTRAINTS ALL IMMEDIATE`}, "", `SELECT 'a'`, "a"},
		{
			"standard_conforming_strings",
			[]string{`SET standard_conforming_strings = off`},
			"",
			`SHOW standard_conforming_strings`, "on",
		},
		{"bytea_output", []string{`SET bytea_output = 'escape'`}, "", `SHOW bytea_output`, "hex"},
		{
			"dates",
			[]string{
				`SET datestyle = 'German'`, `SET timezone = 'Asia/Tokyo'`,
				`SET intervalstyle = 'sql_standard'`,
			},
			"",
			`SELECT current_setting('datestyle') || current_setting('timezone')`, "ISO, MDYUTC",
		},
		{
			"client_encoding",
			[]string{`SET client_encoding = 'LATIN1'`},
			"",
			`SHOW client_encoding`, "UTF8",
		},
		{
			"synchronous_commit",
			[]string{`SET synchronous_commit = off`},
			"",
			`SHOW synchronous_commit`, "on",
		},
		{
			"application_name",
			[]string{`SET application_name = 'app'`},
			"", `SHOW application_name`,
			"pasteline",
		},
		{
			"planner",
			[]string{
				`SET enable_indexscan = off`, `SET enable_seqscan = on`,
				`SET plan_cache_mode = force_custom_plan`,
			},
			"",
			`SELECT current_setting('enable_indexscan') || (SELECT reset_val FROM pg_settings ` +
				`WHERE name = 'enable_seqscan')`, "onon",
		},
		{
			"a setting of the app's own",
			[]string{`SET app.tenant = 'a'`},
			"",
			`SELECT coalesce(current_setting('app.tenant', true), '')`, "",
		},
		{
			"reset all",
			[]string{`RESET ALL`},
			"",
			`SELECT current_setting('default_transaction_isolation') || ` +
				`current_setting('statement_timeout')`, "serializable30s",
		},
		{
			"LISTEN",
			[]string{`LISTEN a`, `NOTIFY a`},
			"",
			`SELECT count(*)::text FROM pg_listening_channels()`, "0",
		},
		{
			"advisory lock",
			[]string{`SELECT pg_advisory_lock(7)`},
			"",
			`SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND objid = 7`, "0",
		},
		{
			"all advisory locks given back",
			[]string{`SELECT pg_advisory_unlock_all()`},
			"",
			`SELECT 'a'`, "a",
		},
		{
			"cursor",
			[]string{`DECLARE c CURSOR WITH HOLD FOR SELECT 1`},
			"",
			`SELECT count(*)::text FROM pg_cursors WHERE name = 'c'`, "0",
		},
		{
			"statement in SQL",
			[]string{`PREPARE p AS SELECT 1`},
			"",
			`SELECT count(*)::text FROM pg_prepared_statements WHERE name = 'p'`, "0",
		},
		{
			"sequence",
			[]string{`CREATE SEQUENCE IF NOT EXISTS s`, `SELECT nextval('s')`},
			"",
			`SELECT count(*)::text FROM pg_sequences WHERE sequencename = 's'`, "1",
		},
	}
	for _, options := range []string{
		"", "default_query_exec_mode=exec",
		"default_query_exec_mode=simple_protocol",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			if options != "" && testing.Short() {
				t.Skip("short")
			}
			db := openDB(t, with(uri, strings.TrimPrefix(options+"&pool_max_conns=1", "&")))
			defer db.Close()
			for _, tt := range tests {
				wantErr := tt.wantErr
				if (tt.name == "standard_conforming_strings" || tt.name == "client_encoding") &&
					strings.HasSuffix(options, "simple_protocol") {
					wantErr = "simple protocol queries must be run with"
				}
				key := tt.name + options
				err := transaction.Run(t.Context(), func(ctx context.Context) error {
					if err := sqlDo(ctx, db, tt.sql...); err != nil {
						return err
					}
					for _, known := range []string{"old", "missing"} {
						if _, err := get(ctx, db, known); err != nil {
							return err
						}
					}
					tx, err := db.Tx(ctx)
					if err != nil {
						return err
					}
					n := 0
					for item, err := range tx.Bucket("b").Range(storage.Range{
						From: []byte("old"),
						To:   []byte("old\x00"),
					}) {
						if err != nil {
							return err
						}
						n += len(item.Value)
					}
					if n != 1 {
						return fmt.Errorf("read %d bytes of the key that is there, want 1", n)
					}
					if err := put(ctx, db, key, "new"); err != nil {
						return err
					}
					if !strings.HasPrefix(tt.name, "role") &&
						!strings.HasPrefix(tt.name, "session authorization") {
						return nil
					}
					own, err := postgres.Tx(ctx, db)
					if err != nil {
						return err
					}
					is := ""
					if err := own.QueryRow(ctx, `SELECT current_user`).Scan(&is); err != nil ||
						is != role {
						return fmt.Errorf("the app's SQL runs as %s after our statements, %w, "+
							"want %s", is, err, role)
					}
					return nil
				}, transaction.Policy{Tries: 50})
				if (err == nil) != (wantErr == "") || err != nil &&
					!strings.Contains(err.Error(), wantErr) {
					t.Errorf("%s: got %v, want %q", tt.name, err, wantErr)
				}
				run(t, func(ctx context.Context) error {
					value, err := get(ctx, db, key)
					if (value == "new") != (wantErr == "") {
						t.Errorf("%s: the next transaction reads %q", tt.name, value)
					}
					return err
				})
				run(t, func(ctx context.Context) error {
					tx, err := postgres.Tx(ctx, db)
					if err != nil {
						return err
					}
					got := ""
					if err := tx.QueryRow(ctx, tt.left).Scan(&got); err != nil || got != tt.want {
						t.Errorf("%s: the next transaction gets %q, %v, want %q", tt.name, got,
							err, tt.want)
					}
					return nil
				})
			}
		})
	}
}

// The app's prepared statements do not affect the next request, and DEALLOCATE ALL fails at most
// its own transaction.
func TestForeignStatements(t *testing.T) {
	t.Parallel()
	db, _, _ := newSite(t, "pool_max_conns=1")
	for i := range 3 {
		run(t, func(ctx context.Context) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			if _, err := tx.Prepare(ctx, "mine", fmt.Sprintf(`SELECT %d`, i)); err != nil {
				return err
			}
			got := -1
			if err := tx.QueryRow(ctx, "mine").Scan(&got); err != nil || got != i {
				t.Errorf("got %d, %v, want %d", got, err, i)
			}
			_, err = tx.Exec(ctx, fmt.Sprintf(`PREPARE theirs AS SELECT %d`, i))
			return err
		})
	}
	mustPut(t, db, "a", "1")
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		return sqlDo(ctx, db, `DEALLOCATE ALL`)
	})
	if err != nil && !transaction.IsTransient(err) {
		t.Errorf("got %v", err)
	}
	for range 3 {
		run(t, func(ctx context.Context) error {
			_, err := get(ctx, db, "a")
			return errors.Join(err, put(ctx, db, "a", "2"))
		})
	}
}

// A migration may change settings, as files that pg_dump writes do: it is recorded in the same
// table as the others, and the next one begins without those settings.
func TestForeignMigrations(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	conn := connect(t, uri)
	role := "owner_of_" + ask[string](t, conn, `SELECT current_database()`)
	exec(t, conn, `CREATE ROLE `+role)
	db := openDB(t, uri)
	t.Cleanup(func() { _ = db.Close() })
	files := fstest.MapFS{
		"1.sql": {Data: []byte(`SELECT pg_catalog.set_config('search_path', '', false); SET ` +
			`row_security = off; CREATE TABLE public.one (n int)`)},
		"2.sql": {Data: []byte(`CREATE TABLE two (n int); CREATE INDEX {prefix}index ON two (n); ` +
			`CREATE SCHEMA AUTHORIZATION ` + role + `; SET ROLE ` + role)},
		"3.sql": {Data: []byte(`CREATE TABLE three (n int)`)},
	}
	for range 2 {
		if err := postgres.Migrate(t.Context(), db, "app", files); err != nil {
			t.Fatal(err)
		}
	}
	if n := ask[int](t, conn, `SELECT count(*) FROM pasteline_migrations WHERE app = 'app'`); n !=
		3 {
		t.Errorf("got %d, want 3", n)
	}
}

// Where the tables are is looked up once; a schema that comes before it in the search path later
// changes nothing.
func TestTablesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openDB(t, uri)
	mustPut(t, db, "a", "1")
	exec(t, connect(t, uri), `CREATE SCHEMA postgres`)
	for range 2 {
		run(t, func(ctx context.Context) error {
			if got, err := get(ctx, db, "a"); err != nil || got != "1" {
				t.Errorf("got %q, %v, want 1", got, err)
			}
			return nil
		})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, uri)
	}
	_ = db.Close()
	opener := storage.NewOpener()
	postgres.Register(opener)
	if _, err := opener.Open(t.Context(), with(uri, "search_path=nowhere")); err == nil ||
		!strings.Contains(err.Error(), "no schema of the search path exists") {
		t.Errorf("got %v, want that there is no such schema", err)
	}
}
