package sqltext_test

import (
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/internal/sqltext"
)

func ExampleEndsTransaction() {
	fmt.Println(sqltext.EndsTransaction("UPDATE job SET state = 'done'; COMMIT"))
	fmt.Println(sqltext.EndsTransaction("ROLLBACK TO SAVEPOINT before"))
	// Output:
	// true
	// false
}

func TestEndsTransaction(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sql  string
		want bool
	}{
		{"", false},
		{"COMMIT", true},
		{"commit;", true},
		{" \n\t(commit)", true},
		{"-- hello\nCOMMIT", true},
		{"# hello\nCOMMIT", true},
		{"/* a /* b */ c */ COMMIT AND CHAIN", true},
		{"/* COMMIT */ SELECT 1", false},
		{"-- COMMIT", false},
		{"SELECT 'a; COMMIT'", false},
		{"SELECT 'it''s; COMMIT'", false},
		{`SELECT "a; COMMIT"`, false},
		{"SELECT `a; COMMIT`", false},
		{"SELECT $$a; COMMIT$$", false},
		{"SELECT $x$a; $$ COMMIT$x$; ABORT", true},
		{"SELECT $1; COMMIT", true},
		{"SELECT 1; COMMIT", true},
		{"SELECT 1 AS commit", false},
		{"ROLLBACK", true},
		{"ROLLBACK WORK", true},
		{"ROLLBACK TO a", false},
		{"ROLLBACK TRANSACTION TO SAVEPOINT a", false},
		{"ROLLBACK PREPARED 'a'", true},
		{"BEGIN", true},
		{"BEGIN WORK", true},
		{"START TRANSACTION", true},
		{"START SLAVE", false},
		{"END", true},
		{"ABORT", true},
		{"PREPARE TRANSACTION 'a'", true},
		{"PREPARE a AS SELECT 1", false},
		{"SET autocommit=0", true},
		{"SET SESSION autocommit = 1", true},
		{"SET search_path TO a", false},
		{"SAVEPOINT a; RELEASE a", false},
		{"XA START 'a'", true},
		{"UPDATE t SET begin = 1", false},
		{"CREATE TRIGGER a AFTER INSERT ON t BEGIN UPDATE u SET n = 1; UPDATE u SET m = 1; END;", false},
		{"CREATE FUNCTION a() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", false},
	} {
		if got := sqltext.EndsTransaction(tt.sql); got != tt.want {
			t.Errorf("%q: got %t, want %t", tt.sql, got, tt.want)
		}
	}
}

// What stands before a statement changes nothing.
func FuzzEndsTransaction(f *testing.F) {
	f.Add("COMMIT")
	f.Add("SELECT 1; ROLLBACK TO a")
	f.Add("/* /* */ END")
	f.Fuzz(func(t *testing.T, sql string) {
		want := sqltext.EndsTransaction(sql)
		if got := sqltext.EndsTransaction("SELECT 1;" + sql); got != want {
			t.Errorf("%q alone: %t, after another: %t", sql, want, got)
		}
		if got := sqltext.EndsTransaction("\n ;; " + sql); got != want {
			t.Errorf("%q alone: %t, after nothing: %t", sql, want, got)
		}
	})
}
