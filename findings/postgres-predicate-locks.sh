#!/usr/bin/env bash
# PostgreSQL 15 of Debian 12 (apt-get install postgresql-15=15.18-0+deb12u1; a later 15 will do).
#
# One SERIALIZABLE transaction that has read one row of a table of its own, and stays open, makes small transactions on another table
# fail with 53200 (out of shared memory), after some thousand of them, until it ends. max_pred_locks_per_transaction is no bound for
# a transaction: the locks of all, also of those that have committed, share one table as long as any transaction that overlaps
# is open; to summarise old transactions does not join their locks on rows.
#
#	PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit
#	room in the table: 6400 locks
#	expected: the locks of committed transactions are summarised, so that an idle reader of another table makes nothing fail
#	seen, transactions that fail with 53200:
#	  nothing else open:                    0 of 8000
#	  beside one that has read one row:     718 of 8500, from number 7783 on
#	  after that one has committed:         0 of 500
#	locks of the open transaction: 1; kept of those that have committed: 10236
set -euo pipefail

bin=/usr/lib/postgresql/15/bin
[ -x "$bin/postgres" ] || { echo "PostgreSQL 15 is not installed: apt-get install postgresql-15" >&2; exit 2; }
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL does not run as root
	chown postgres "$dir"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
cleanup() {
	exec 3>&- || true
	"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust -U postgres -N >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/data/log" \
	-o "-c listen_addresses='' -c unix_socket_directories=$dir -c fsync=off" start >/dev/null
export PGHOST=$dir PGUSER=postgres PGDATABASE=postgres
export PGOPTIONS='-c default_transaction_isolation=serializable'
psql() { "$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$@"; }

psql -c 'SELECT version()'
psql -c "SELECT 'room in the table: ' || current_setting('max_pred_locks_per_transaction')::int
	* current_setting('max_connections')::int || ' locks'"
psql <<'SQL'
CREATE TABLE apart (id int PRIMARY KEY);
INSERT INTO apart VALUES (1);
CREATE TABLE account (id int PRIMARY KEY, n int);
INSERT INTO account SELECT g, 0 FROM generate_series(1, 100000) g;
VACUUM ANALYZE account;
SQL
# Transactions of one client, one after the other: each reads one row, that no other reads, and changes another. A line of several
# statements is one transaction.
run() { # first row, number of transactions; prints how many fail with 53200
	for ((i = $1; i < $1 + $2; i++)); do
		echo "SELECT n FROM account WHERE id = $i\\; UPDATE account SET n = n + 1 WHERE id = 1;"
	done >work.sql
	psql -v ON_ERROR_STOP=0 -v VERBOSITY=sqlstate -f work.sql >/dev/null 2>errors || true
	grep -c 53200 errors || true
}

alone=$(run 10 8000)

mkfifo statements
psql <statements >answers & # the open transaction: it reads one row and waits
exec 3>statements
echo 'BEGIN; SELECT id FROM apart;' >&3
until [ -s answers ]; do sleep 0.1; done
beside=$(run 10010 8500)
first=$(sed -n '/53200/{s/^psql:work.sql:\([0-9]*\):.*/\1/p;q}' errors)
kept=$(psql -c "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND relation::regclass::text LIKE 'account%'")
own=$(psql -c "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND relation::regclass::text LIKE 'apart%'")
echo 'COMMIT;' >&3
exec 3>&-
wait
after=$(run 20010 500)

cat <<OUT
expected: the locks of committed transactions are summarised, so that an idle reader of another table makes nothing fail
seen, transactions that fail with 53200:
  nothing else open:                    $alone of 8000
  beside one that has read one row:     $beside of 8500, from number $first on
  after that one has committed:         $after of 500
locks of the open transaction: $own; kept of those that have committed: $kept
OUT
[ "$alone" = 0 ] && [ "$beside" -gt 100 ] && [ "$after" = 0 ] && [ "$own" -le 2 ] || { echo 'the behaviour has changed' >&2; exit 1; }
