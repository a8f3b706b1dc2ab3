// Package storage gives an application transactional, ordered key-value data. Its reads and writes
// belong to the transaction of the context.
//
// A database is opened once, by URI, with an [Opener] on which some engines are registered:
//
//	opener := storage.NewOpener()
//	bolt.Register(opener)
//	db, err := opener.Open(ctx, "bolt:///var/lib/site/data.db")
//
// In a request (or in transaction.Run) [DB.Bucket] returns a bucket in the transaction of the
// context, and joins the database to it on first use. A [Bucket] is a named set of ordered keys; it
// exists once something is written to it. [DB.Tx] returns the transaction's view for several buckets:
//
//	book, err := db.Bucket(ctx, "guestbook")
//	value, err := book.Get(key)          // nil: no such key
//	err = book.Put(key, value)           // kept back until the transaction commits
//	for item, err := range book.Range(storage.Prefix(day)) { … }
//
// Reads come from one snapshot, in which the transaction's own writes are visible. The commit
// validates the reads: if another transaction has changed any of them since the snapshot, it fails
// with a [ConflictError], which is transient, so filter retry or transaction.Run runs the work
// again. Transactions are therefore serializable, ranges included, and no transaction waits for a
// lock while the application computes.
//
// This package does everything that is the same for all databases: the write buffer, the record of
// reads, savepoints, iteration, and the queue for contended keys. The rest is the work of an
// engine: storage/memory, storage/bolt or storage/postgres. Package storage/engine is the contract
// between the two, for those that write an engine of their own, and storage/storagetest tests it.
//
// # What counts as read
//
// A key that was looked up counts, whether or not it existed; so does the part of a range that an
// iteration went through, up to the last key that it was given. A key that the transaction itself
// had written before does not count when Get returns it. Two transactions that write the same key
// without reading it do not conflict: the later one wins. Reads of [Bucket.Snapshot] count only if
// [Bucket.AddReadConflict] says so (both are FoundationDB's terms). Versions are compared, not
// values: a key that was rewritten with an equal value has changed.
//
// A transaction that wrote nothing is not validated and causes no write: all its reads came from
// one state of the database. Its commit may still fail, with a transient error, if the engine can
// no longer guarantee that state.
//
// # Caveats
//
// A [Tx] ends with its transaction. A call that a goroutine makes while another one ends the
// transaction takes effect as a whole or returns transaction.ErrEnded. With the app's own SQL of
// storage/postgres, only one statement runs at a time, because there is one connection. Work in a
// transaction may run more than once: effects outside of data managers belong in an AfterCommit
// hook.
//
// A transaction is validated in each database separately. If it reads database B, writes nothing
// there, and writes to database A depending on that, a change of B is not detected; AddReadConflict
// does not alter that.
//
// The snapshot stays open until the transaction ends. Long transactions are correct, but they lose
// against short ones, and engines keep old versions of the data for them. With storage/postgres the
// snapshot begins with the second read, so that a transaction which reads once holds no resources;
// if the result of the first read has changed by then, the second read returns a [ConflictError]:
// return it. Of several databases in one transaction all but one must be able to prepare (see
// package transaction); bolt can't, PostgreSQL can.
package storage
