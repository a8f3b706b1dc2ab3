package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

func Example() {
	// A function for the tests of a package: a connection to a database of the test's own.
	connect := func(tb testing.TB) *pgx.Conn {
		tb.Helper()
		conn, err := pgx.Connect(tb.Context(), pgtest.Database(tb))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { conn.Close(context.WithoutCancel(tb.Context())) })
		return conn
	}
	_ = connect
	// Output:
}
