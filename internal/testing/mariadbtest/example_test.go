package mariadbtest_test

import (
	"database/sql"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/pasteline/pasteline/internal/testing/mariadbtest"
)

func Example() {
	// A function for the tests of a package: a database of the test's own.
	open := func(tb testing.TB) *sql.DB {
		tb.Helper()
		db, err := sql.Open("mysql", mariadbtest.Database(tb)+"?parseTime=true")
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { db.Close() })
		return db
	}
	_ = open
	// Output:
}
