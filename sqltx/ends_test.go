package sqltx_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/transaction"
)

var update = flag.Bool("update", false, "write the table of statements into the document")

// An ending is a statement that ends a transaction, or looks as if it did.
type ending struct {
	statement string
	does      effect
	refused   bool   // before it is run
	before    string // a statement that comes before it
}

type effect string

const (
	ends  effect = "ends it"
	fails effect = "fails, and ends nothing"
	stays effect = "ends nothing"
)

var endings = map[string][]ending{
	"mariadb": {
		{"COMMIT", ends, true, ""},
		{"SET autocommit = 1", stays, true, ""},
		{"XA START 'a'", fails, true, ""},
		{"CREATE TABLE made (n int)", ends, true, ""},
		{"CREATE TABLE counter (n int)", ends, true, ""}, // fails
		{"CREATE INDEX i ON other (n)", ends, true, ""},
		{"CREATE VIEW v AS SELECT 1", ends, true, ""},
		{"ALTER TABLE other ADD m int", ends, true, ""},
		{"RENAME TABLE other TO another", ends, true, ""},
		{"TRUNCATE other", ends, true, ""},
		{"DROP TABLE other", ends, true, ""},
		{"DROP TABLE IF EXISTS nothing", ends, true, ""},
		{"ANALYZE TABLE other", ends, true, ""},
		{"CHECK TABLE other", ends, true, ""},
		{"OPTIMIZE TABLE other", ends, true, ""},
		{"REPAIR TABLE other", ends, true, ""},
		{"FLUSH STATUS", ends, true, ""},
		{"LOCK TABLES other WRITE", ends, true, ""},
		{"GRANT SELECT ON x.* TO nobody", ends, true, ""}, // fails
		{"REVOKE SELECT ON x.* FROM nobody", ends, true, ""},
		{"SET PASSWORD = ''", ends, false, ""}, // fails
		{"RESET QUERY CACHE", ends, false, ""},
		{"CALL commits()", ends, false, ""},
		{"CALL truncates()", ends, false, ""},
		{"CALL commits_and_begins()", ends, false, ""},
		{"CALL commits_and_fails()", ends, false, ""},
		{"EXECUTE IMMEDIATE 'COMMIT'", ends, false, ""},
		{"EXECUTE IMMEDIATE 'TRUNCATE other'", ends, false, ""},
		{"SET STATEMENT max_statement_time = 1 FOR COMMIT", ends, false, ""},
		{"BEGIN NOT ATOMIC COMMIT; END", ends, false, ""},
		{"IF 1 THEN COMMIT; END IF", ends, false, ""},
		{"/*! COMMIT */", ends, false, ""},
		{"/*M!100100 TRUNCATE other */", ends, false, ""},
		{"# a comment\nCOMMIT", ends, true, ""},
		{"SELECT 1; COMMIT", ends, true, ""},
		{"COMMIT; BEGIN", ends, true, ""},
		{"SELECT 1; /*! COMMIT */", ends, false, ""},
		{`SELECT 'it\'s'; COMMIT; -- '`, ends, false, ""},
		{"UNLOCK TABLES", stays, false, ""},
		{"CALL writes()", stays, false, ""},
		{"CREATE TEMPORARY TABLE made (n int)", stays, false, ""},
		{"CREATE OR REPLACE TEMPORARY TABLE made (n int)", stays, false, ""},
		{"DROP TEMPORARY TABLE IF EXISTS made", stays, false, ""},
		{"ANALYZE SELECT 1", stays, false, ""},
		{"CHECKSUM TABLE other", stays, false, ""},
		{"XA RECOVER", stays, false, ""},
		{"SET @autocommit_x = 1", stays, false, ""},
		{"/*!999999 COMMIT */", stays, false, ""},
		{"BEGIN NOT ATOMIC IF 1 THEN SELECT 1; END IF; END", stays, false, ""},
		{`INSERT INTO other SELECT LENGTH('It\'s over; end')`, stays, false, ""},
		{"SAVEPOINT a; ROLLBACK TO a", stays, false, ""},
		{"INSERT INTO counter VALUES ('b', 1)", fails, false, ""},
	},
	"postgres": {
		{"COMMIT", ends, true, ""},
		{"SELECT 1; COMMIT", ends, true, ""},
		{"SELECT 1; COMMIT AND CHAIN", ends, true, ""},
		{"SELECT 1; END", ends, true, ""},
		{"/* /* nested */ */ COMMIT", ends, true, ""},
		{`SELECT E'it\'s'; COMMIT; -- '`, ends, true, ""},
		{"-- a comment\rCOMMIT", ends, true, ""},
		{`SELECT 'it\''; COMMIT; SELECT '1'`, ends, false, "SET standard_conforming_strings = off"},
		{`SELECT 'it\''; COMMIT; BEGIN; SELECT '1'`, ends, false, "SET standard_conforming_strings = off"},
		{"CALL commits()", fails, false, ""},
		{"DO $$ BEGIN COMMIT; END $$", fails, false, ""},
		{"CREATE TABLE made (n int)", stays, false, ""},
		{"TRUNCATE other", stays, false, ""},
		{"DROP TABLE other", stays, false, ""},
		{"ANALYZE other", stays, false, ""},
		{"VACUUM other", fails, false, ""},
		{"SELECT 1; SELECT 2", stays, false, ""},
		{"SAVEPOINT a; ROLLBACK TO a; RELEASE a", stays, false, ""},
		{`SELECT E'It\'s over; end'`, stays, false, ""},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", stays, false, ""},
		{"SELECT 1/0; SELECT 2", fails, false, ""},
	},
	"sqlite": {
		{"COMMIT", ends, true, ""},
		{"SELECT 1; COMMIT", ends, true, ""},
		{"UPDATE counter SET n = n; END", ends, true, ""},
		{"/* /* nested */ COMMIT", ends, true, ""},
		{`SELECT 'it\'; COMMIT; --'`, ends, true, ""},
		{"INSERT OR ROLLBACK INTO counter VALUES ('b', 1)", "fails, and rolls it back", false, ""},
		{"CREATE TABLE made (n int)", stays, false, ""},
		{"DROP TABLE other", stays, false, ""},
		{"ANALYZE", stays, false, ""},
		{"VACUUM", fails, false, ""},
		{"SELECT 1; SELECT 2", stays, false, ""},
		{"SELECT [a; COMMIT] FROM (SELECT 1 AS [a; COMMIT])", stays, false, ""},
		{"CREATE TRIGGER g AFTER INSERT ON other BEGIN UPDATE counter SET n = n; END", stays, false, ""},
	},
}

var procedures = map[string][]string{
	"mariadb": {
		"CREATE PROCEDURE commits() COMMIT",
		"CREATE PROCEDURE truncates() TRUNCATE other",
		"CREATE PROCEDURE commits_and_begins() BEGIN COMMIT; START TRANSACTION; END",
		"CREATE PROCEDURE commits_and_fails() BEGIN COMMIT; SIGNAL SQLSTATE '45000'; END",
		"CREATE PROCEDURE writes() UPDATE counter SET n = n",
	},
	"postgres": {"CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'"},
}

// prepare makes what the statements need, in one database, and a pool for texts of several statements.
func (e *env) prepare(t *testing.T) {
	t.Helper()
	if e.name == "mariadb" {
		mariadbtest.Procedures(t)
		e.dsn += "?multiStatements=true"
		e.pool = openPool(t, e.driver, e.dsn)
		e.db = newDB(t, e.pool, sqltx.Options{Name: "shop"})
	}
	for _, query := range procedures[e.name] {
		if _, err := e.pool.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	e.reset(t)
}

// reset makes the tables as they were.
func (e *env) reset(t *testing.T) {
	t.Helper()
	for _, query := range []string{
		"DROP TABLE IF EXISTS made", "DROP TABLE IF EXISTS another", "DROP TABLE IF EXISTS other", "DROP VIEW IF EXISTS v",
		"CREATE TABLE other (n int)", "UPDATE counter SET n = 0",
	} {
		if _, err := e.pool.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
}

// What every statement does to a transaction, on the server itself.
func TestWhatEndsATransaction(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{}, func(e *env) {
		t := e.t
		var version string
		query := map[string]string{"sqlite": "SELECT sqlite_version()"}[e.name]
		if query == "" {
			query = "SELECT version()"
		}
		if err := e.pool.QueryRowContext(t.Context(), query).Scan(&version); err != nil {
			t.Fatal(err)
		}
		version, _, _ = strings.Cut(strings.TrimPrefix(version, "PostgreSQL "), "-")
		version, _, _ = strings.Cut(version, " ")
		table := fmt.Sprintf("| %s %s | |\n|---|---|\n", title[e.name], version)
		e.prepare(t)
		e.pool.SetMaxIdleConns(0) // nothing stays of a session
		for _, tt := range endings[e.name] {
			e.reset(t)
			conn, err := e.pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			before := cmp.Or(tt.before, "SELECT 1")
			for _, query := range []string{before, "BEGIN", "UPDATE counter SET n = 7 WHERE name = 'a'", "SAVEPOINT own"} {
				if _, err := conn.ExecContext(t.Context(), query); err != nil {
					t.Fatal(err)
				}
			}
			_, failed := conn.ExecContext(t.Context(), tt.statement)
			_, back := conn.ExecContext(t.Context(), "ROLLBACK TO SAVEPOINT own")
			_, _ = conn.ExecContext(t.Context(), "ROLLBACK")
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			got := stays
			switch n := e.value(t, "a"); {
			case back != nil && n == 7:
				got = ends
			case back != nil && failed != nil:
				got = "fails, and rolls it back"
			case back != nil:
				t.Errorf("%q: %v, a = %d", tt.statement, back, n)
			case failed != nil:
				got = fails
			}
			if got != tt.does {
				t.Errorf("%q: got %s, want %s (%v, %v)", tt.statement, got, tt.does, failed, back)
			}
			table += fmt.Sprintf("| `%s` | %s |\n", strings.NewReplacer("\n", "⏎", "\r", "⏎", "|", `\|`).Replace(tt.statement), tt.does)
		}
		inDocument(t, e.name, table)
	}, "sqlite", "postgres", "mariadb")
}

var title = map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}

// inDocument compares a table with that of the document, or writes it there.
func inDocument(t *testing.T, name, table string) {
	t.Helper()
	const file = "../docs/statements.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- %s -->\n\n", name), fmt.Sprintf("\n<!-- end of %s -->", name)
	before, rest, found := strings.Cut(string(text), begin)
	old, after, found2 := strings.Cut(rest, end)
	if !found || !found2 {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	// Other versions than the one of the document are expected to do the same.
	_, oldRows, _ := strings.Cut(old, "\n")
	_, rows, _ := strings.Cut(table, "\n")
	if oldRows == rows {
		return
	}
	if !*update {
		t.Errorf("the table of %s in %s is not what was found: go test ./sqltx -run WhatEnds -update -parallel 1", name, file)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// After a statement that has ended the SQL transaction the work fails, is not done again, and the error says what is kept;
// what ends nothing is let through.
func TestStatementEndsTransaction(t *testing.T) {
	t.Parallel()
	onAll(t, sqltx.Options{Name: "shop"}, func(e *env) {
		e.prepare(e.t)
		for _, tt := range endings[e.name] {
			for _, way := range []string{"exec", "prepare", "query", "row"} {
				if way == "prepare" && e.name == "mariadb" && tt.does == stays {
					continue // go-sql-driver/mysql waits for ever, in Stmt.Exec, for the end of rows that MariaDB had not announced
				}
				if way != "exec" && tt.refused {
					continue // there is one way to refuse
				}
				e.t.Run(way+" "+tt.statement, func(t *testing.T) {
					if strings.Contains(tt.statement, "other") || strings.Contains(tt.statement, "made") {
						e.reset(t)
					} else if _, err := e.pool.ExecContext(t.Context(), "UPDATE counter SET n = 0"); err != nil {
						t.Fatal(err)
					}
					e.ending(t, tt, way)
				})
			}
		}
	}, "sqlite", "postgres", "mariadb")
}

func (e *env) ending(t *testing.T, tt ending, way string) {
	t.Helper()
	luck := transaction.Transient(errors.New("bad luck"))
	attempts := 0
	var statementErr error
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		attempts++
		tx := e.tx(t, ctx)
		if tt.before != "" {
			if _, err := tx.ExecContext(ctx, tt.before); err != nil {
				return err
			}
		}
		const update = "UPDATE counter SET n = n + 1 WHERE name = 'a'"
		if _, err := tx.ExecContext(ctx, update); err != nil {
			return err
		}
		statementErr = e.exec(ctx, tx, tt.statement, way)
		_, _ = tx.ExecContext(ctx, "UPDATE counter SET n = 100 WHERE name = 'b'") // as if nothing had been
		if attempts == 1 {
			return luck
		}
		return nil
	})
	n := e.value(t, "a")
	switch {
	case tt.refused && !errors.Is(err, transaction.ErrPartlyKept) && strings.Contains(fmt.Sprint(statementErr), "is refused"):
		if n > 1 {
			t.Errorf("a = %d", n)
		}
	case strings.HasPrefix(fmt.Sprint(statementErr), "prepare: "): // it can't be prepared, and was not run
		if n > 1 {
			t.Errorf("a = %d", n)
		}
	case tt.does == ends && n == 1: // else it was refused by the driver in this way
		if !errors.Is(err, transaction.ErrPartlyKept) || transaction.IsTransient(err) || attempts != 1 {
			t.Errorf("%d attempts, %v; the statement: %v", attempts, err, statementErr)
		}
		if !strings.Contains(fmt.Sprint(err), `"UPDATE counter SET n = n + 1 WHERE name = 'a'"`) {
			t.Errorf("the error does not say what is kept: %v", err)
		}
		e.want(t, "b", 0)
	case tt.does == stays && statementErr == nil:
		if err != nil || attempts != 2 || n != 1 {
			t.Errorf("%d attempts, a = %d, %v", attempts, n, err)
		}
		e.want(t, "b", 100)
	case n > 1 || tt.does == ends && n == 1 || errors.Is(err, transaction.ErrPartlyKept):
		t.Errorf("%d attempts, a = %d, %v; the statement: %v", attempts, n, err, statementErr)
	}
}

// exec runs a statement in one of the ways that there are.
func (e *env) exec(ctx context.Context, tx *sqltx.Tx, statement, way string) error {
	switch way {
	case "exec":
		_, err := tx.ExecContext(ctx, statement)
		return err
	case "query":
		rows, err := tx.QueryContext(ctx, statement)
		if err != nil {
			return err
		}
		for more := true; more; more = rows.NextResultSet() {
			for rows.Next() {
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	case "row":
		err := tx.QueryRowContext(ctx, statement).Scan(new(any))
		if err != nil && strings.Contains(err.Error(), "sql: ") {
			return nil // no row, or other columns
		}
		return err
	default:
		stmt, err := tx.PrepareContext(ctx, statement)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		_, err = stmt.ExecContext(ctx)
		return errors.Join(err, stmt.Close())
	}
}
