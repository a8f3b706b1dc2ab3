// Package storage gives an application transactional, ordered key-value data that lives in the transaction of its context.
//
// A database is opened once, by URI, with an [Opener] that knows some engines:
//
//	opener := storage.NewOpener()
//	bolt.Register(opener)
//	db, err := opener.Open(ctx, "bolt:///var/lib/site/data.db")
//
// In a request (or in transaction.Run) [DB.Tx] returns the view that the context's transaction has of the database, and
// joins the two on first use. A [Bucket] is a named set of ordered keys; it is there as soon as something is written to it:
//
//	tx, err := db.Tx(ctx)
//	book := tx.Bucket("guestbook")
//	value, err := book.Get(key)          // nil: no such key
//	err = book.Put(key, value)           // kept back until the transaction commits
//	for item, err := range book.Range(storage.Prefix(day)) { … }
//
// Reads come from one snapshot, in which the transaction's own writes are visible. At commit what was read is validated: if
// another transaction has changed any of it since the snapshot, the commit fails with a [ConflictError], which is transient,
// so that filter retry or transaction.Run runs the work again. So transactions are serializable, ranges included, and none
// waits for a lock while an application thinks.
//
// This package does everything that is the same for all databases: the write buffer, the record of
// reads, savepoints, iteration, and the queue for contended keys. The rest is the work of an engine:
// storage/memory, storage/bolt or storage/postgres. Package storage/engine is the contract between
// the two, for those that write an engine of their own, and storage/storagetest tests it.
//
// # What counts as read
//
// A key that was looked for counts, whether or not it was there; so does the part of a range that an iteration went through,
// up to the last key that it gave and no further. What the transaction itself had written before does not count when it is
// looked up by Get. Two writers of the same key who did not read it do not conflict: the later one wins. Reads of
// [Bucket.Snapshot] count only where [Bucket.AddReadConflict] says so (both are FoundationDB's terms). Versions are compared,
// not values: a key that was rewritten with an equal value has changed.
//
// A transaction that wrote nothing is not validated and costs no write: all it saw was one state of the database. Its commit may fail
// nonetheless, with a transient error, if the engine can't vouch for that state any more.
//
// # Caveats
//
// A [Tx] ends with its transaction. What a goroutine does in one that another goroutine is ending counts whole, or gets
// transaction.ErrEnded. With the app's own SQL of storage/postgres, mind that one connection does one thing at a time.
// Work in a transaction may run more than once: effects outside of data managers belong in an AfterCommit hook.
//
// A transaction is validated in each database for itself. One that writes in database A what it decided by reading in
// database B, in which it writes nothing, is not told when B changes; AddReadConflict does not alter that.
//
// The snapshot stays open until the transaction ends. Long transactions are correct, but they lose against short ones, and
// engines keep old versions of the data for them. With storage/postgres it begins with the second read, so that a transaction which reads
// once holds nothing; if what the first had shown has changed by then, that read is a [ConflictError]: return it. Of several databases in one
// transaction all but one must be able to prepare (see package transaction); bolt can't, PostgreSQL can.
package storage
