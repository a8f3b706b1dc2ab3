// Package sqltx lets an SQL database take part in a transaction: what an app does in SQL is committed together with its session and
// whatever else is in the transaction of the request or job, or not at all. It works with every driver of database/sql.
//
//	pool, err := sql.Open("pgx", uri)
//	db, err := sqltx.New(ctx, pool, sqltx.Options{Name: "shop"})
//	...
//	tx, err := db.Tx(ctx) // ctx is that of the request, or of the function that transaction.Run runs
//	_, err = tx.ExecContext(ctx, "UPDATE stock SET n = n - 1 WHERE item = $1", item)
//
// [DB.Tx] joins the transaction. An SQL transaction begins with the first statement, SERIALIZABLE unless told otherwise; no connection is
// held by a request that runs none. [Tx] has the four methods that code made by sqlc calls; it has none to commit, and refuses COMMIT as a
// statement. Savepoints of the transaction are savepoints in SQL, and the app may use its own.
//
// # What is run again
//
// Lost races are transient, so that transaction.Run and the retry filter run the work again: serialization failures, deadlocks and locks
// that could not be had of PostgreSQL and its kin (SQLSTATE 40001, 40P01, 55P03), MySQL and MariaDB (1213, 1205, 1020, 3101), and SQLite
// (BUSY, LOCKED). So are connections that broke before the COMMIT was sent. It is recognised by what errors look like; no driver is
// imported. [Options.Transient] is for others.
//
// # Commit
//
// A database/sql driver can't prepare. So at most one such database can be written to in a transaction, and of several data managers it
// is the last, whose own commit is the decision (see package transaction). With that commit it leaves a record, a row in a table that New makes:
//
//	CREATE TABLE pasteline_decided (id VARCHAR(64) NOT NULL PRIMARY KEY, outcome VARCHAR(64) NOT NULL, decided_at BIGINT NOT NULL)
//
// Recovery looks there, after a crash. One row is the identity of the database, never to be changed. Rows are deleted some time after
// everything is finished, a hundred at a time. A row that stays because of a crash, or that says aborted, does no harm; decided_at, in seconds
// of Unix time, tells how old it is, and it may be deleted once nothing of that age is prepared anywhere.
//
// If the connection is lost during the COMMIT, nobody knows the outcome. If there is a record in case of success, it is looked up as soon as
// the database can be reached, within [Options.Timeout]. Otherwise the error wraps transaction.ErrInDoubt. [DecideAlways] makes that record
// also when there is nothing else in the transaction.
//
// # Errors that are ignored
//
// After most errors the SQL transaction is of no use: PostgreSQL refuses everything until a rollback, MySQL has rolled back after a deadlock and
// would commit each following statement by itself. So from then on all is refused, Commit too, until there is a rollback to a
// savepoint. The exceptions are errors after which MySQL or SQLite go on with the transaction, such as a duplicate key; there the app may, too.
//
// # Statements that end the transaction
//
// COMMIT and its kin are refused, and so is what MySQL and MariaDB always commit before (CREATE, DROP, ALTER, RENAME, TRUNCATE, LOCK TABLES,
// GRANT and others; not temporary tables). What else could end the transaction, such as CALL, or a text of several statements, is run behind
// a savepoint; if that is gone afterwards, the error wraps transaction.ErrPartlyKept, the transaction fails and is not run again, and
// the error says what is kept. docs/statements.md has tables of what ends a transaction, by database, and of what a
// statement may leave in the session: a connection for which that is so is closed and not used again.
//
// # Left-over goroutines
//
// The end of the transaction is exclusive (see package transaction): of a goroutine that is still at work, each statement, and each
// row that it reads, counts whole or is refused with [transaction.ErrEnded]. The end waits for the statement that runs; bound
// its time by the context. Two goroutines that use one [Tx] share its SQL transaction: a statement that fails may cost
// the other's work, too, and while rows are open, most drivers run no other statement.
//
// # Databases
//
// SQLite: a transaction begins without a lock, so that those that read do not wait. If it then writes, and another has written since it read, that is
// transient, and the second attempt begins with BEGIN IMMEDIATE: it waits for the lock before it reads, and can't lose again. Where
// most requests write, use BEGIN IMMEDIATE from the start, and WAL in any case; a busy time-out of 5 s is set if there is none. For
// modernc.org/sqlite:
//
//	file:shop.db?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)
//
// For work that only reads, make another pool with _pragma=query_only(1) and without _txlock, and a DB with [Options.ReadOnly]. Isolation levels
// make no difference: SQLite is always serializable.
//
// PostgreSQL: with pgx's driver or lib/pq. An app that has its sessions there as well is better served by package storage/postgres, which can
// put both into one SQL transaction.
//
// MySQL, MariaDB: the table of decisions, and those of the app, have to be transactional (InnoDB). In a SERIALIZABLE transaction every SELECT locks what it reads, so deadlocks are
// usual where rows are read and then written: SELECT ... FOR UPDATE avoids most. Set readTimeout and writeTimeout, because the driver does not
// give up a COMMIT otherwise.
//
// Tested are modernc.org/sqlite, pgx with PostgreSQL, and go-sql-driver/mysql with MariaDB.
package sqltx
