// Package postgres is the engine of package storage for sites that run on several machines: it
// keeps a transactional key-value database in PostgreSQL tables, and lets the app's own SQL run in
// the same transaction.
//
//	postgres.Register(opener)                                  // an opener is storage.NewOpener()
//	db, err := opener.Open(ctx, "postgres://localhost/site")
//	tx, err := postgres.Tx(ctx, db)                            // a pgx.Tx: the app's own SQL
//
// Buckets are rows of one table. Each row has the version that its last write's commit gave it.
//
// # How a transaction runs
//
// A transaction runs in one of two ways. One opens a SERIALIZABLE SQL transaction at the first use
// and keeps it until the commit: BEGIN, the reads, the writes, COMMIT, and a connection that is
// idle in a transaction while the handler does something else. The other, which is used for
// buckets, holds no connection:
//
//   - The first read is one statement, a transaction of its own and one round trip. A request that
//     only reads its session needs nothing else. Only caching sessions in the process could save
//     it, and then another process could have changed them.
//   - Further reads come from a snapshot, which is a read-only SQL transaction that begins with the
//     second read (in the same round trip). It checks that the result of the first read is
//     unchanged. If it is not, the read is a conflict, and the work is run again. A second or later
//     attempt begins the snapshot with its first read.
//   - A transaction that only read ends its snapshot by COMMIT, and waits for the answer: one more
//     round trip. The server has to remember the reads until all concurrent transactions have
//     ended. If it has ended the snapshot (a time-out, a terminated session, a lost connection), it
//     has forgotten them, and the work is run again. With one read no snapshot exists.
//   - The commit is one statement, one round trip: it compares the versions of all reads, ranges by
//     number and sum, and writes only if nothing differs. It names the key that differed, after
//     another query if the keys were few. It also inserts a record of itself, which is deleted
//     later, with many others.
//
// All statements run at the isolation level SERIALIZABLE, so the commits are serializable among
// each other, ranges included, and so are transactions that only read. PostgreSQL also reports
// false conflicts (on small tables it watches pages, not rows). Since the versions decide, the
// commit statement is simply run again then, or the snapshot begun again, without running the
// handler again.
//
// [Tx] is the first way, because this package can't compare the results of SQL that it does not
// see: from there on the transaction is one SERIALIZABLE SQL transaction, which the buckets use
// too; PostgreSQL alone then decides about conflicts.
//
// # Options
//
// The URI is that of libpq, with all of its parameters (sslmode, sslrootcert, connect_timeout,
// target_session_attrs …), those of the pool, and any run-time parameter of the server, which is
// set by a statement after connecting. Times are in PostgreSQL's notation, such as 5s.
//
//	pool_max_conns          the most connections (4, or the number of processors if that is more)
//	pool_min_conns, pool_min_idle_conns, pool_max_conn_lifetime, pool_max_conn_idle_time,
//	pool_health_check_period, …
//	                        see pgxpool.ParseConfig
//	acquire_timeout=5s      how long to wait for a free connection; after that the request fails
//	                        with a transient error
//	statement_timeout=30s   the server cancels a statement that takes longer
//	lock_timeout=5s         … that waits longer for a lock
//	idle_in_transaction_session_timeout=1min
//	                        the server ends a transaction that is idle for longer
//	synchronous_commit=on   off, local: commits may be lost that were acknowledged, but never one
//	                        that decides over others. Without it commits run with on, or
//	                        remote_apply if that is the server's setting
//	app_sql_timeout=1min    how long the app's own SQL may be open; after that it is rolled back,
//	                        and may be run again. 0: no limit
//	schema=name             of the tables; created if it does not exist (default: the first of
//	                        the search_path)
//	table_prefix=pasteline_ the beginning of their names
//	snapshot=lazy           first: the snapshot begins with the first read, so that no read is
//	                        ever a conflict, and the transaction holds a connection from there on
//	two_phase=auto          off: no transaction writes here and to another database that can't
//	                        prepare
//	program=pasteline       the name of this program in the ids of prepared transactions: letters,
//	                        digits, -, up to 32
//
// # When the server has no room for more locks
//
// The server remembers the reads of a serializable transaction until all concurrent transactions
// have ended. A transaction that is open for long fills the lock table, and then all reads and
// writes fail (SQLSTATE 53200), until it has ended. Such errors are transient, and name the oldest
// transaction; [ReadLocks] returns how full the table is. The time of the app's own SQL is
// limited by app_sql_timeout, that of a single statement by statement_timeout. See
// docs/databases.md for the server's settings.
//
// # Several databases in one transaction
//
// If the server allows it (max_prepared_transactions is more than 0), a database can prepare its
// part of a transaction, with PREPARE TRANSACTION, under the name
//
//	pasteline:program:tables:transaction:process:recorder
//
// where tables is an id that the tables were given when they were created. It can also decide over
// others; it keeps a record of that until all have finished. Package recovery settles such work
// after a crash.
//
// # Contended keys
//
// Transactions that conflict over a key queue for it, within the process and among processes (with
// advisory locks, on a few connections of their own), so that many requests of one session succeed
// with few attempts. A transaction that has lost twice queues for all keys that it has read and
// written, so a third attempt is enough, unless it uses other keys than the first two.
//
// On a contended key each transaction must read its predecessor's write. If it had to wait until
// that is on the server, there would be one flush of the server's log per commit. So the commit of
// a ticket's holder is accepted before it is sent, and releases the ticket. The next holder's first
// read returns what the accepted commit has read and written, without a round trip. Its own commit
// joins the group that is sent next: one statement, which writes the last value of each key and the
// records of all members. The first member of a group sends it, when the group before has ended.
// Commits without a ticket are sent one by one, as above: the server flushes its log for many of
// them at once anyway. These rules ensure that nothing of this weakens a guarantee:
//
//   - Every commit has a version of its own, which it gives to the rows that it writes. A commit that
//     has read an accepted one names that version among its reads. In a later statement the server
//     compares it, so the commit succeeds only if its predecessor has. In the same statement only
//     the reads of the members' own writes are left out, and either all members are committed or
//     none. So a group is serializable like one transaction that does the work of its members in
//     their order, and each member is answered when the server has committed it.
//   - If the server refuses the statement, each member is sent in a statement of its own, in order.
//     Those that have read a refused one are refused without asking the server, with a conflict.
//   - If the connection is lost, the record of one member shows the outcome of all, because the
//     statement inserts the records of all members or none.
//   - Only a second attempt reads accepted commits, only if the first one has used nothing else, and
//     only if a third is allowed. A holder that reads from the server first waits until the accepted
//     commits have ended.
//   - A transaction without writes, or one that is aborted, is verified by no commit. If it has read
//     an accepted one, it gets a transient error, and the next attempt reads from the server. Further
//     reads wait for the accepted commit, and begin a snapshot that verifies the first read.
//   - A commit that writes a key which an accepted one has read or writes waits until that has
//     ended, unless it has read it. The advisory locks of the keys are kept until the accepted
//     commits have ended; the next ticket of this process shares them, for a limited time, after
//     which other processes get them first.
//
// # Caveats
//
// Run-time parameters, prepared statements and advisory locks belong to the connection: a pooler
// such as PgBouncer works in its mode "session", its default. Another mode is detected when a
// connection is made, which fails then, and every statement that is a transaction of its own
// verifies its isolation level. A pooler needs pool_max_conns and 9 more connections to the server
// for each process (pool_size).
//
// Settings of the app's own SQL don't change the meaning of this package's statements, and don't
// stay with the connection when it returns to the pool: docs/databases.md has a table. If the app's
// own SQL conflicts (an error 40001 in one of its statements), there is no queue for the retry:
// such an app needs more tries, with a delay.
//
// The records of commits that were waiting to be deleted when a process died stay, some bytes each.
//
// A commit whose answer was lost is looked up afterwards, by the record that it leaves; if there is
// none, a record is made that prevents it from happening later. Only if the server can't be reached
// for some time (15 s) is it in doubt ([transaction.ErrInDoubt]), and not tried again.
//
// Tested with PostgreSQL 15 and 18.4, and through PgBouncer 1.18. CockroachDB and YugabyteDB use
// the same protocol, but were not tested: there, a commit is several statements, the queue for
// contended keys is per process, and in a two-phase commit the database can only be the one that
// decides.
package postgres
