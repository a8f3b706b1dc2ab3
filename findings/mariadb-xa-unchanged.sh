#!/usr/bin/env bash
# MariaDB 10.11 of Debian 12 (apt-get install mariadb-server-core=1:10.11.19-0+deb12u1; a later 10.11 will do), with
# github.com/go-sql-driver/mysql v1.10.1.
#
# A branch that XA PREPARE has accepted survives its connection, and XA RECOVER lists it. If it has changed
# no row (a SELECT, one FOR UPDATE, an UPDATE that matches nothing), XA COMMIT by another connection answers
# 1402, "Transaction branch was rolled back", though the branch had promised to commit; by the connection
# that prepared it, it succeeds. A coordinator that settles branches after a crash takes this answer for a
# transaction that was committed in one database and rolled back in another. Nothing is lost: there was no
# change.
#
#	10.11.19-MariaDB-0+deb12u1
#	expected: a prepared branch commits, by any connection
#	seen, XA COMMIT by:             the same connection    another one
#	  UPDATE of a row               ok                     ok
#	  UPDATE of no row              ok                     1402
#	  SELECT                        ok                     1402
#	  SELECT FOR UPDATE             ok                     1402
set -euo pipefail

command -v mariadbd >/dev/null || PATH=$PATH:/usr/sbin
command -v mariadbd >/dev/null || { echo "MariaDB is not installed: apt-get install mariadb-server-core" >&2; exit 2; }
dir=$(mktemp -d)
server=
cleanup() {
	[ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
mkdir data
mariadbd --no-defaults --user="$(id -un)" --datadir="$dir/data" --socket="$dir/s" --skip-networking --skip-grant-tables \
	--innodb-stats-persistent=OFF --innodb-buffer-pool-size=16M --innodb-log-file-size=16M >log 2>&1 &
server=$!
until grep -qs 'ready for connections' log; do
	kill -0 "$server" || { cat log >&2; exit 2; }
	sleep 0.1
done

cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/go-sql-driver/mysql"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	must(err)
	db.SetMaxIdleConns(0) // Close ends a connection
	for _, statement := range []string{
		"CREATE DATABASE finding",
		"CREATE TABLE finding.account (id INT PRIMARY KEY, n INT) ENGINE=InnoDB",
		"INSERT INTO finding.account VALUES (1, 0)",
	} {
		_, err := db.Exec(statement)
		must(err)
	}
	var version string
	must(db.QueryRow("SELECT version()").Scan(&version))
	fmt.Println(version)
	fmt.Println("expected: a prepared branch commits, by any connection")
	fmt.Printf("%-31s %-22s %s\n", "seen, XA COMMIT by:", "the same connection", "another one")
	var got []string
	for _, branch := range [][2]string{
		{"UPDATE of a row", "UPDATE finding.account SET n = n + 1 WHERE id = 1"},
		{"UPDATE of no row", "UPDATE finding.account SET n = n + 1 WHERE id = 2"},
		{"SELECT", "SELECT n FROM finding.account WHERE id = 1"},
		{"SELECT FOR UPDATE", "SELECT n FROM finding.account WHERE id = 1 FOR UPDATE"},
	} {
		same, other := commit(db, branch[1], false), commit(db, branch[1], true)
		fmt.Printf("  %-29s %-22s %s\n", branch[0], same, other)
		got = append(got, same, other)
	}
	if !slices.Equal(got, []string{"ok", "ok", "ok", "1402", "ok", "1402", "ok", "1402"}) {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}

// commit prepares a branch and commits it, by the same connection or after that has been closed, and
// returns ok or the number of the error.
func commit(db *sql.DB, statement string, reconnect bool) string {
	conn, err := db.Conn(ctx)
	must(err)
	for _, s := range []string{"XA START 'x'", statement, "XA END 'x'", "XA PREPARE 'x'"} {
		_, err := conn.ExecContext(ctx, s)
		must(err)
	}
	if reconnect {
		var id, open int
		must(conn.QueryRowContext(ctx, "SELECT connection_id()").Scan(&id))
		must(conn.Close())
		for open = 1; open > 0; { // until the server has noticed
			must(db.QueryRow("SELECT count(*) FROM information_schema.processlist WHERE id = ?", id).Scan(&open))
		}
		var format, length, rest int
		var name string
		must(db.QueryRow("XA RECOVER").Scan(&format, &length, &rest, &name)) // the branch is still there
		conn, err = db.Conn(ctx)
		must(err)
	}
	defer conn.Close()
	_, err = conn.ExecContext(ctx, "XA COMMIT 'x'")
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return fmt.Sprint(refused.Number)
	}
	must(err)
	return "ok"
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/go-sql-driver/mysql@v1.10.1 >/dev/null 2>&1
go run . "$dir/s"
