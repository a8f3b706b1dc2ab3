// Package bolt keeps a database in one file, with bbolt: durable, embedded, for one process.
//
//	db, err := bolt.Open("/var/lib/site/data.db", nil)
//	bolt.Register(opener)                        // or by URI: bolt:///var/lib/site/data.db
//
// Options in the URI: mmap_size and lock_timeout, see [Options].
//
// No lock is held while a transaction runs; bbolt's one writer is busy only during a commit. Commits that are waiting for it
// form a group: each is validated by itself, those that passed become one bbolt update, and one fsync serves all of them. The
// first to come runs the group, so a single client pays for no hand-over between goroutines, and nobody waits for a timer.
//
// What a commit has acknowledged is on the disk. What a transaction has read is, too, by the time its own commit returns:
// bbolt shows a new state a moment before it is synced, so a reader that saw one waits for it.
//
// # Caveats
//
// The file belongs to one process at a time; another one gets [storage.ErrInUse]. It must be on a local file system. It grows
// and never shrinks, but reuses what was freed; pages are not reused while a snapshot that shows them is open.
//
// A file that is being written can't be backed up by copying it. Close the database first, or take an atomic snapshot of the file
// system, which is as good as a power cut.
//
// A database can't take part in a two-phase commit that another decides, but it can be the one that decides: see [storage.Decider].
//
// Opening goes through all of the file's tree, to see whether it is sound, so it takes longer the more is stored: some tenths of a second
// for a million keys.
//
// A commit that fails because the disk is full loses nothing but itself, and later ones succeed when there is room again. After a
// failed fsync nobody can know what is on the disk: such a commit is in doubt ([transaction.ErrInDoubt]), and everything later is
// refused until the database is opened anew, from the disk.
package bolt
