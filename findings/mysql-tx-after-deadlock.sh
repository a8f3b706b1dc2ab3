#!/usr/bin/env bash
# github.com/go-sql-driver/mysql v1.10.1 with MariaDB 10.11 of Debian 12 (apt-get install mariadb-server-core=1:10.11.19-0+deb12u1;
# a later 10.11 will do).
#
# A deadlock (1213) ends the whole transaction in the server, but not the Tx of database/sql, which goes on: what it executes next
# is committed at once, statement by statement, and its Rollback returns no error and takes nothing back.
#
#	driver github.com/go-sql-driver/mysql v1.10.1
#	server 10.11.19-MariaDB-0+deb12u1
#	one of two transactions: Error 1213 (40001): Deadlock found when trying to get lock; try restarting transaction
#	expected: its next Exec is refused; at least, no row is there after a Rollback without an error
#	seen: Tx.Exec of an INSERT: <nil>, Tx.Rollback: <nil>, rows there afterwards: 1
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
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	must(err)
	db.SetMaxOpenConns(2) // one for each transaction
	var version string
	must(db.QueryRow("SELECT version()").Scan(&version))
	fmt.Println("server", version)
	for _, s := range []string{
		"CREATE DATABASE d",
		"CREATE TABLE d.t (id int PRIMARY KEY, n int)",
		"INSERT INTO d.t VALUES (1, 0), (2, 0)",
	} {
		_, err = db.Exec(s)
		must(err)
	}
	// Each of two transactions changes a row, and then wants that of the other.
	a, err := db.Begin()
	must(err)
	b, err := db.Begin()
	must(err)
	exec := func(tx *sql.Tx, statement string) error {
		_, err := tx.Exec(statement)
		return err
	}
	must(exec(a, "INSERT INTO d.t VALUES (3, 0)"))
	must(exec(a, "UPDATE d.t SET n = 1 WHERE id = 1"))
	must(exec(b, "INSERT INTO d.t VALUES (4, 0)"))
	must(exec(b, "UPDATE d.t SET n = 1 WHERE id = 2"))
	ends := make(chan error)
	go func() { ends <- exec(a, "UPDATE d.t SET n = 1 WHERE id = 2") }()
	errB := exec(b, "UPDATE d.t SET n = 1 WHERE id = 1")
	errA := <-ends
	victim, other, refused := a, b, errA
	if errA == nil {
		victim, other, refused = b, a, errB
	}
	fmt.Println("one of two transactions:", refused)
	var deadlock *mysql.MySQLError
	if !errors.As(refused, &deadlock) || deadlock.Number != 1213 {
		fmt.Println("there was no deadlock")
		os.Exit(1)
	}
	errNext := exec(victim, "INSERT INTO d.t VALUES (99, 0)")
	errRollback := victim.Rollback()
	must(other.Rollback())
	rows := 0
	must(db.QueryRow("SELECT count(*) FROM d.t WHERE id = 99").Scan(&rows))
	fmt.Println("expected: its next Exec is refused; at least, no row is there after a Rollback without an error")
	fmt.Printf("seen: Tx.Exec of an INSERT: %v, Tx.Rollback: %v, rows there afterwards: %d\n", errNext, errRollback, rows)
	if errNext != nil || errRollback != nil || rows != 1 {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
unset GOFLAGS GOWORK
go mod init finding 2>/dev/null
go get github.com/go-sql-driver/mysql@v1.10.1 filippo.io/edwards25519@v1.2.0 2>/dev/null
echo "driver $(go list -m github.com/go-sql-driver/mysql)"
go run . "$dir/s"
