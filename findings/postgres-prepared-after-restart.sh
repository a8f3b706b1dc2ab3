#!/usr/bin/env bash
# PostgreSQL 15 of Debian 12 (apt-get install postgresql-15=15.18-0+deb12u1; a later 15 will do).
#
# A SERIALIZABLE transaction that is prepared (PREPARE TRANSACTION) and waits for its outcome does not
# disturb a transaction that reads a row which it has changed: the reader sees the old version and
# commits. After a restart of the server, every such reader fails with 40001, also one that writes
# nothing, and also when it is run again: until the prepared transaction ends. The restored transaction
# counts as one with conflicts in both directions, since those that it had are not on disk. Transactions
# that write the rows which it has read, or read other rows, are not concerned.
#
#	PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 12.2.0-14+deb12u1) 12.2.0, 64-bit
#	expected: a restart changes nothing for the readers
#	seen, transactions beside the prepared one:
#	                                   before    after the restart    after its end
#	  reads a row that it changed      ok        40001                ok
#	  the same once more               ok        40001                ok
#	  writes a row that it read        ok        ok                   ok
#	  reads another row                ok        ok                   ok
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
	"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"
"${as[@]}" "$bin/initdb" -D "$dir/data" -A trust -U postgres -N >/dev/null
start() {
	"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/data/log" \
		-o "-c listen_addresses='' -c unix_socket_directories=$dir -c max_prepared_transactions=10" start >/dev/null
}
start
export PGHOST=$dir PGUSER=postgres PGDATABASE=postgres
export PGOPTIONS='-c default_transaction_isolation=serializable'
psql() { "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate "$@"; }

psql -c 'SELECT version()'
psql >/dev/null <<'SQL'
CREATE TABLE source (id int PRIMARY KEY, n int);
INSERT INTO source SELECT g, 0 FROM generate_series(1, 10000) g;
CREATE TABLE target (id int PRIMARY KEY, n int);
INSERT INTO target SELECT g, 0 FROM generate_series(1, 10000) g;
VACUUM ANALYZE;
BEGIN;
SELECT n FROM source WHERE id = 1;
UPDATE target SET n = 1 WHERE id = 1;
PREPARE TRANSACTION 'waiting';
SQL

run() { # a statement, in a transaction of its own: prints ok, or the SQLSTATE
	psql -c "BEGIN" -c "$1" -c "COMMIT" >/dev/null 2>error && echo ok || sed 's/^ERROR: *//' error
}
all() {
	run 'SELECT n FROM target WHERE id = 1'
	run 'SELECT n FROM target WHERE id = 1'
	run 'UPDATE source SET n = n + 1 WHERE id = 1'
	run 'SELECT n FROM target WHERE id = 5000'
}
mapfile -t before < <(all)
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null
start
mapfile -t restarted < <(all)
psql -c "COMMIT PREPARED 'waiting'"
mapfile -t ended < <(all)

echo 'expected: a restart changes nothing for the readers'
echo 'seen, transactions beside the prepared one:'
printf '  %-32s %-9s %-20s %s\n' '' before 'after the restart' 'after its end'
i=0
for what in 'reads a row that it changed' 'the same once more' 'writes a row that it read' 'reads another row'; do
	printf '  %-32s %-9s %-20s %s\n' "$what" "${before[i]}" "${restarted[i]}" "${ended[i]}"
	i=$((i + 1))
done
[ "${before[*]}" = 'ok ok ok ok' ] && [ "${restarted[*]}" = '40001 40001 ok ok' ] && [ "${ended[*]}" = 'ok ok ok ok' ] ||
	{ echo 'the behaviour has changed' >&2; exit 1; }
