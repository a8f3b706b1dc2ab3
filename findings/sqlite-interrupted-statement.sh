#!/usr/bin/env bash
# modernc.org/sqlite v1.62.0 (SQLite 3.54.1).
#
# When the context of one statement of a transaction ends while it runs, the driver interrupts it. If that is a SELECT, the
# transaction goes on. If it is an INSERT, UPDATE or DELETE, SQLite rolls the whole transaction back, and the Tx of database/sql goes
# on without one: what was written before is lost, what is written afterwards is committed at once, and Commit says that it failed.
#
#	modernc.org/sqlite v1.62.0
#	SQLite 3.54.1
#	expected: a statement whose context ends fails alone, and the transaction decides about the rest
#	seen: WITH R: context deadline exceeded; the next INSERT: <nil>; Commit: <nil>; rows there afterwards: 1,2
#	seen: INSERT: context deadline exceeded; the next INSERT: <nil>; Commit: SQL logic error: cannot commit - no transaction is active (1); rows there afterwards: 2
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "modernc.org/sqlite"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := sql.Open("sqlite", "file:data.db")
	must(err)
	db.SetMaxOpenConns(1)
	var version string
	must(db.QueryRow("SELECT sqlite_version()").Scan(&version))
	fmt.Println("SQLite", version)
	_, err = db.Exec("CREATE TABLE t (id int)")
	must(err)
	fmt.Println("expected: a statement whose context ends fails alone, and the transaction decides about the rest")
	const long = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
	changed := false
	for _, test := range []struct {
		statement string
		ends      bool
	}{{long, false}, {"INSERT INTO t " + long, true}} {
		_, err = db.Exec("DELETE FROM t")
		must(err)
		tx, err := db.Begin()
		must(err)
		_, err = tx.Exec("INSERT INTO t VALUES (1)")
		must(err)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		_, errLong := tx.ExecContext(ctx, test.statement)
		cancel()
		_, errNext := tx.Exec("INSERT INTO t VALUES (2)")
		errCommit := tx.Commit()
		var rows sql.NullString
		must(db.QueryRow("SELECT group_concat(id) FROM t").Scan(&rows))
		fmt.Printf("seen: %.6s: %v; the next INSERT: %v; Commit: %v; rows there afterwards: %s\n",
			test.statement, errLong, errNext, errCommit, rows.String)
		changed = changed || errLong == nil || errNext != nil || (errCommit != nil) != test.ends ||
			(rows.String == "2") != test.ends
	}
	must(db.Close())
	if changed {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
unset GOWORK
export GOFLAGS=-trimpath
go mod init finding 2>/dev/null
go get modernc.org/sqlite@v1.62.0 2>/dev/null
go list -m modernc.org/sqlite
go run .
