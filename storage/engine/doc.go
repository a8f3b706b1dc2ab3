// Package engine is the contract between package storage and the databases that it works with, as
// database/sql/driver is that of database/sql. Applications do not need it: they use package
// storage.
//
// An [Engine] is one open database. It creates a [View] for each transaction: a snapshot to read
// from, and a Commit that validates the transaction's reads and applies its writes. Package storage
// does everything else: the write buffer, the record of reads, savepoints, iteration, and the queue
// for contended keys. The engines are storage/memory, storage/bolt and storage/postgres.
//
// An engine registers an [OpenFunc] for a URI scheme with [storage.Opener.Register]. It offers more
// features by implementing more of this package's interfaces; [Engine] lists them. Package
// storage/storagetest tests all of the contract.
//
// [storage.Opener.Register]:
// https://pkg.go.dev/github.com/pasteline/pasteline/storage#Opener.Register
package engine
