package pgtest_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

func TestBouncer(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	exec(t, connect(t, uri), `CREATE TABLE t (n int)`, `INSERT INTO t VALUES (7)`)
	for _, tt := range []struct {
		lines []string
		mode  string
		same  bool // two clients, one after the other, are given the same session of the server's
	}{
		{nil, "session", false},
		{[]string{"pool_mode = transaction"}, "transaction", true},
	} {
		b := pgtest.StartBouncer(t, uri, tt.lines...)
		uri := b.URI() + "&default_query_exec_mode=simple_protocol"
		one, other := connect(t, uri), connect(t, uri)
		if n := ask[int](t, one, `SELECT n FROM t`); n != 7 {
			t.Errorf("got %d through PgBouncer, want 7", n)
		}
		const pid = `SELECT pg_backend_pid()`
		if same := ask[int](t, one, pid) == ask[int](t, other, pid); same != tt.same {
			t.Errorf("%s: the same session is %t, want %t", tt.mode, same, tt.same)
		}
		mode := ""
		rows, err := connect(t, b.Admin()).Query(t.Context(), `SHOW CONFIG`)
		if err != nil {
			t.Fatal(err)
		}
		var key, value, byDefault, changeable *string
		if _, err := pgx.ForEachRow(rows, []any{&key, &value, &byDefault, &changeable}, func() error {
			if *key == "pool_mode" {
				mode = *value
			}
			return nil
		}); err != nil || mode != tt.mode {
			t.Errorf("got mode %q, %v, want %s", mode, err, tt.mode)
		}
		if !strings.Contains(b.Log(), "process up: PgBouncer") {
			t.Errorf("the log is %s", b.Log())
		}
	}
}
