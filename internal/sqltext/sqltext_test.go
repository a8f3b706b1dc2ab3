package sqltext_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/sqltext"
)

func ExampleDialect_Look() {
	fmt.Println(sqltext.SQLite.Look("UPDATE job SET state = 'done'; COMMIT").Ends)
	fmt.Println(sqltext.PostgreSQL.Look("ROLLBACK TO SAVEPOINT before").Ends)
	fmt.Println(sqltext.MySQL.Look("TRUNCATE job").Commits)
	fmt.Println(sqltext.MySQL.Look("CALL finish(7)").MayEnd)
	// Output:
	// true
	// false
	// true
	// true
}

const (
	generic  = sqltext.Generic
	postgres = sqltext.PostgreSQL
	mysql    = sqltext.MySQL
	sqlite   = sqltext.SQLite
)

var all = []sqltext.Dialect{generic, postgres, mysql, sqlite}

// The facts that hold are listed; the others don't.
func TestLook(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sql  string
		in   []sqltext.Dialect
		want string
	}{
		{"", all, ""},
		{" ;; ", all, ""},
		{"-- COMMIT", all, ""},
		{"SELECT 1;", all, ""},
		{"SELECT 1 -- ; COMMIT", all, ""},
		{"SELECT 'a; COMMIT'", all, ""},
		{"SELECT 'it''s; COMMIT'", all, ""},
		{`SELECT "a; COMMIT"`, all, ""},
		{"SELECT 1 AS commit", all, ""},
		{"UPDATE t SET begin = 1", all, ""},
		{"WITH a AS (SELECT 1) SELECT * FROM a", all, ""},
		{"INSERT INTO t (temp, n) VALUES (?, ?)", all, ""},
		{"-- name: GetAuthor :one\nSELECT * FROM authors WHERE id = $1", all, ""},
		{"SAVEPOINT a", all, ""},
		{"RELEASE a", all, ""},
		{"ROLLBACK TO a", all, "back"},
		{"/* back */ rollback work to savepoint a;", all, "back"},
		{"ROLLBACK TRANSACTION TO SAVEPOINT a", all, "back"},
		{"SAVEPOINT a; RELEASE a", all, "may"},

		{"COMMIT", all, "ends may"},
		{"commit;", all, "ends may"},
		{" \n\t(commit)", all, "ends may"},
		{"-- hello\nCOMMIT", all, "ends may"},
		{"/* hello; */ COMMIT AND CHAIN", all, "ends may"},
		{"SELECT 1; COMMIT", all, "ends may"},
		{"SELECT 1 /* one */; /* two */ COMMIT", all, "ends may"},
		{"ROLLBACK TO a; COMMIT", all, "ends may"},
		{"ROLLBACK", all, "ends may"},
		{"ROLLBACK WORK", all, "ends may"},
		{"ROLLBACK PREPARED 'a'", all, "ends may"},
		{"BEGIN", all, "ends may"},
		{"BEGIN WORK", all, "ends may"},
		{"BEGIN IMMEDIATE", all, "ends may"},
		{"BEGIN NOT DEFERRABLE", all, "ends may"},
		{"START TRANSACTION", all, "ends may"},
		{"END", all, "ends may"},
		{"END AND NO CHAIN", all, "ends may"},
		{"ABORT", all, "ends may"},
		{"PREPARE TRANSACTION 'a'", all, "ends may"},
		{"SET autocommit=0", all, "ends may"},
		{"SET SESSION autocommit = 1", all, "ends may"},
		{"SET @@session.autocommit = 1", all, "ends may"},
		{"XA START 'a'", all, "ends may"},

		// What ends nothing is not refused.
		{"PREPARE transaction FROM 'SELECT 1'", []sqltext.Dialect{mysql}, "may leaves"},
		{"XA RECOVER", []sqltext.Dialect{mysql}, "may"},
		{"SET @autocommit_x = 1", []sqltext.Dialect{mysql}, "may leaves"},
		{"SET autocommit_x = 1", []sqltext.Dialect{postgres}, "leaves"},
		{`INSERT INTO t VALUES ('It\'s over; end')`, []sqltext.Dialect{mysql}, "may leaves"}, // NO_BACKSLASH_ESCAPES
		{`INSERT INTO t VALUES (E'It\'s over; end')`, []sqltext.Dialect{postgres}, ""},
		{`INSERT INTO t VALUES ('a\'); COMMIT; --')`, []sqltext.Dialect{sqlite}, "ends may"},
		{`INSERT INTO t VALUES ('a\'); COMMIT; --')`, []sqltext.Dialect{mysql}, "may leaves"},
		{`INSERT INTO t VALUES ('a\'); COMMIT; --')`, []sqltext.Dialect{postgres}, "may"},
		{"BEGIN NOT ATOMIC IF 1 THEN SELECT 1; END IF; END", []sqltext.Dialect{mysql}, "may leaves"},
		{"IF 1 THEN SELECT 1; END IF", []sqltext.Dialect{mysql}, "may leaves"},
		{"SELECT 1; END IF", []sqltext.Dialect{mysql}, "may leaves"},
		{"CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE u SET n = 1; UPDATE u SET m = 1; END;", []sqltext.Dialect{sqlite}, "may"},
		{"CREATE FUNCTION a() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", []sqltext.Dialect{postgres}, "may"},
		{"START SLAVE", []sqltext.Dialect{mysql}, "may leaves"},

		// Comments and quotes of one dialect are none of another.
		{"# hello\nCOMMIT", []sqltext.Dialect{mysql}, "ends may"},
		{"SELECT 1 # 2; COMMIT", []sqltext.Dialect{mysql}, ""},
		{"SELECT 1 # 2; COMMIT", []sqltext.Dialect{postgres}, "ends may"},
		{"SELECT 5 --1; COMMIT", []sqltext.Dialect{mysql}, "ends may"},
		{"SELECT 5 --1; COMMIT", []sqltext.Dialect{postgres, sqlite}, ""},
		{"-- a\rCOMMIT", []sqltext.Dialect{postgres}, "ends may"},
		{"-- a\rCOMMIT", []sqltext.Dialect{mysql, sqlite}, ""},
		{"/* a /* b */ c */ COMMIT", []sqltext.Dialect{postgres}, "ends may"},
		{"/* a /* b */ COMMIT", []sqltext.Dialect{mysql, sqlite}, "ends may"},
		{"/* a /* b */ COMMIT", []sqltext.Dialect{postgres}, ""},
		{"/*! COMMIT */", []sqltext.Dialect{mysql}, "may"}, // by version
		{"/*!50000 COMMIT */", []sqltext.Dialect{mysql}, "may"},
		{"/*M!100100 TRUNCATE t */", []sqltext.Dialect{mysql}, "may"},
		{"SELECT 1 /*! ; COMMIT */", []sqltext.Dialect{mysql}, "may"},
		{"/*! COMMIT */", []sqltext.Dialect{postgres, sqlite}, ""},
		{"SELECT `a; COMMIT`", []sqltext.Dialect{mysql, sqlite}, ""},
		{"SELECT [a; COMMIT]", []sqltext.Dialect{sqlite}, ""},
		{"SELECT $$a; COMMIT$$", []sqltext.Dialect{postgres}, ""},
		{"SELECT $x$a; $$ COMMIT$x$; ABORT", []sqltext.Dialect{postgres}, "ends may"},
		{"SELECT $1; COMMIT", []sqltext.Dialect{postgres}, "ends may"},
		{"SELECT E'\\\\'; COMMIT", []sqltext.Dialect{postgres}, "ends may"},

		// What MySQL commits before.
		{"TRUNCATE t", []sqltext.Dialect{mysql}, "commits may"},
		{"TRUNCATE t", []sqltext.Dialect{postgres}, ""},
		{"CREATE TABLE t (n int)", []sqltext.Dialect{mysql}, "commits may"},
		{"CREATE OR REPLACE TABLE t (n int)", []sqltext.Dialect{mysql}, "commits may"},
		{"CREATE TABLE t (n int)", []sqltext.Dialect{postgres, sqlite}, ""},
		{"CREATE TEMPORARY TABLE t (n int)", []sqltext.Dialect{mysql}, "may leaves"},
		{"CREATE OR REPLACE TEMPORARY TABLE t (n int)", []sqltext.Dialect{mysql}, "may leaves"},
		{"DROP TABLE t", []sqltext.Dialect{mysql}, "commits may"},
		{"DROP TEMPORARY TABLE t", []sqltext.Dialect{mysql}, "may"},
		{"DROP PREPARE s", []sqltext.Dialect{mysql}, "may"},
		{"ANALYZE TABLE t", []sqltext.Dialect{mysql}, "commits may"},
		{"ANALYZE SELECT 1", []sqltext.Dialect{mysql}, "may"},
		{"LOCK TABLES t WRITE", []sqltext.Dialect{mysql}, "commits may"},
		{"UNLOCK TABLES", []sqltext.Dialect{mysql}, "may leaves"},
		{"UPDATE t SET n = 1; TRUNCATE u", []sqltext.Dialect{mysql}, "commits may"},

		// What only the database knows.
		{"CALL p()", []sqltext.Dialect{mysql}, "may leaves"},
		{"CALL p()", []sqltext.Dialect{postgres}, "leaves"},
		{"EXECUTE s", []sqltext.Dialect{mysql}, "may leaves"},
		{"EXECUTE IMMEDIATE 'SET @a = 1'", []sqltext.Dialect{mysql}, "may leaves"},
		{"EXECUTE s", []sqltext.Dialect{postgres}, ""},
		{"DO $$ BEGIN PERFORM f(); END $$", []sqltext.Dialect{postgres}, "leaves"},
		{"DO 1", []sqltext.Dialect{mysql}, ""},
		{"SELECT setseed(0.5)", []sqltext.Dialect{postgres}, "leaves"},

		// What stays in the session.
		{"SET SESSION TRANSACTION READ ONLY", []sqltext.Dialect{mysql}, "may leaves"},
		{"SET search_path TO a", []sqltext.Dialect{postgres}, "leaves"},
		{"SET LOCAL search_path TO a", []sqltext.Dialect{postgres}, ""},
		{"SET TRANSACTION READ ONLY", []sqltext.Dialect{postgres}, ""},
		{"SET CONSTRAINTS ALL DEFERRED", []sqltext.Dialect{postgres}, ""},
		{"select Set_Config('search_path', 'a', false)", []sqltext.Dialect{postgres}, "leaves"},
		{"SELECT pg_advisory_lock(1)", []sqltext.Dialect{postgres}, "leaves"},
		{"SELECT pg_advisory_xact_lock(1)", []sqltext.Dialect{postgres}, ""},
		{"CREATE TEMP TABLE t (n int)", []sqltext.Dialect{postgres, sqlite}, "leaves"},
		{"SELECT 1 INTO TEMP t", []sqltext.Dialect{postgres}, "leaves"},
		{"SELECT temp FROM weather", all, ""},
		{"CREATE TABLE temp.t (n int)", []sqltext.Dialect{sqlite}, "leaves"},
		{"CREATE TABLE IF NOT EXISTS temp.t (n int)", []sqltext.Dialect{sqlite}, "leaves"},
		{"CREATE VIEW temp.v AS SELECT 1", []sqltext.Dialect{sqlite}, "leaves"},
		{"CREATE TABLE pg_temp.t (n int)", []sqltext.Dialect{postgres}, "leaves"},
		{`CREATE TABLE "pg_temp".t (n int)`, []sqltext.Dialect{postgres}, "leaves"},
		{"SET LOCAL search_path = pg_temp", []sqltext.Dialect{postgres}, "leaves"},
		{`SELECT pg_catalog."set_config"('a.b', 'c', false)`, []sqltext.Dialect{postgres}, "leaves"},
		{"LISTEN a", []sqltext.Dialect{postgres}, "leaves"},
		{"PREPARE a AS SELECT 1", []sqltext.Dialect{postgres}, "leaves"},
		{"USE other", []sqltext.Dialect{mysql}, "leaves"},
		{"SELECT GET_LOCK('a', 1)", []sqltext.Dialect{mysql}, "leaves"},
		{"SELECT @a := 1", []sqltext.Dialect{mysql}, "leaves"},
		{"SELECT @@autocommit", []sqltext.Dialect{mysql}, ""},
		{"SELECT a @> b FROM t", []sqltext.Dialect{postgres}, ""},
		{"SELECT 'a@b.c'", all, ""},
		{"PRAGMA query_only = 1", []sqltext.Dialect{sqlite}, "leaves"},
		{"ATTACH 'a' AS b", []sqltext.Dialect{sqlite}, "leaves"},
	} {
		for _, d := range tt.in {
			if got := describe(d.Look(tt.sql)); got != tt.want {
				t.Errorf("dialect %d: %q: got %q, want %q", d, tt.sql, got, tt.want)
			}
		}
	}
}

func describe(f sqltext.Facts) string {
	var words []string
	for _, fact := range []struct {
		holds bool
		word  string
	}{{f.Ends, "ends"}, {f.Commits, "commits"}, {f.MayEnd, "may"}, {f.RollsBack, "back"}, {f.Leaves, "leaves"}} {
		if fact.holds {
			words = append(words, fact.word)
		}
	}
	return strings.Join(words, " ")
}

// A statement before the text changes nothing of what the others do; and nothing makes Look fail or contradict itself.
func FuzzLook(f *testing.F) {
	for _, sql := range []string{
		"COMMIT", "SELECT 1; ROLLBACK TO a", "/* /* */ END", `SELECT 'a\'; COMMIT; --'`, "/*!50000 COMMIT */", "$a$;$a$", "# a\nEND",
		"E'\\'", "--1\rABORT", "[", "CREATE TEMP TABLE t()", "@a := 1", "BEGIN NOT ATOMIC COMMIT; END",
	} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		for _, d := range all {
			got := d.Look(sql)
			if (got.Ends || got.Commits) && !got.MayEnd || got.RollsBack && got.Ends {
				t.Errorf("dialect %d: %q: %q", d, sql, describe(got))
			}
			after := d.Look("SELECT 1;" + sql)
			if after.Ends != got.Ends || after.Commits != got.Commits || got.MayEnd && !after.MayEnd || after.Leaves != got.Leaves {
				t.Errorf("dialect %d: %q: %q alone, %q after another", d, sql, describe(got), describe(after))
			}
			if blank := d.Look("\n ;; " + sql); blank != got {
				t.Errorf("dialect %d: %q: %q alone, %q after nothing", d, sql, describe(got), describe(blank))
			}
			if d == generic && got.Ends && slices.ContainsFunc(all, func(d sqltext.Dialect) bool { return !d.Look(sql).Ends }) {
				t.Errorf("%q ends a transaction in general, but not in all", sql)
			}
		}
	})
}
