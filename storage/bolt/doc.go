// Package bolt keeps a database in one file, with bbolt: durable, embedded, for one process.
//
//	db, err := bolt.Open("/var/lib/site/data.db", nil)
//	bolt.Register(opener)                        // or by URI: bolt:///var/lib/site/data.db
//
// Options in the URI: mmap_size and lock_timeout, see [Options].
//
// No lock is held while a transaction runs; bbolt's one writer is busy only during a commit. A commit is validated when it comes,
// against all that came before, and so has its place in the order at once. What is accepted while the disk is busy forms a group,
// becomes one bbolt update, and one fsync serves all of it. The first of a group leads it, so a single client pays for no hand-over
// between goroutines, and nobody waits for a timer.
//
// The read transaction of a snapshot that nobody needs any more is kept for the next snapshot, and ended before anything is written: so
// it is always of the newest state, and no commit waits for it.
//
// What a commit has acknowledged is on the disk. What a transaction has read is, too, by the time its own commit returns:
// bbolt shows a new state a moment before it is synced, so a reader that saw one waits for it.
//
// # Many commits of one key for one fsync
//
// Of many who want one key, each must have read what the one before wrote; if each had to wait until that is on the disk, there would be
// one commit for an fsync. So who has the turn on a key ([storage.ConflictError.Wait]) begins early: its snapshot is that of bbolt with
// two layers on top, what is being written and what has been accepted for the next group. It passes its turn on as soon as its own commit is
// accepted. 32 clients that increment one key 640 times need 70 to 90 fsyncs.
//
// Nothing is promised early. Four rules see to it:
//
//   - Only what runs with the context of somebody's turn begins early, that is the next attempt of a transaction that lost. All others see
//     what bbolt shows.
//   - Groups are written in order, and a commit is in the group of those it has read from, or in a later one. So whatever the
//     disk has of it after a crash, what it had read is there, too.
//   - If a group fails, or one member of it (recovery had given it up), everyone who has read its layer is refused
//     before anything of his is written, and so on down the line. Who has read nothing of it goes on. The error is transient, unless
//     the database can't go on at all.
//   - A transaction that only read, or is aborted, waits for what it has read of the layers: its answer may tell of it. If
//     that was not kept, the commit, or the abort, returns a transient error, and the filters retry and tm run it again.
//
// # The file is moved or replaced
//
// Before it writes, at most once a second while commits follow one another and always after a pause, an engine looks whether its path (as
// it was written, before links are followed) leads to the open file. If not, commits are refused with an error that wraps
// [storage.ErrMoved], is answered with 503, and says how to save what is in the open file; reads go on. When the file is back, so do
// writes. A file that another program has written to, as "cp" does, or has cut off, is neither read nor written any more.
// The commits of the last second may be in the old file only. An [storage.Opener] refuses to open such a database again.
//
// # Caveats
//
// The file belongs to one process at a time; another one gets [storage.ErrInUse]. It must be on a local file system. It grows
// and never shrinks, but reuses what was freed; pages are not reused while a snapshot that shows them is open.
//
// A file that is being written can't be backed up by copying it. Close the database first, or take an atomic snapshot of the file
// system, which is as good as a power cut.
//
// A transaction that reads from two files that are both about to outgrow their memory maps (mmap_size) may wait for itself, if another one
// that reads from both writes to the other one. With the default on 64-bit systems, 16 GB, that takes two very large files.
//
// A database can't take part in a two-phase commit that another decides, but it can be the one that decides: see [engine.Recorder].
//
// Opening goes through all of the file's tree, to see whether it is sound, so it takes longer the more is stored: some tenths of a second
// for a million keys.
//
// A commit that fails because the disk is full loses nothing but itself, and later ones succeed when there is room again. Those of one
// group are then written one by one, so a transaction that only deletes succeeds if earlier deletions have left a few free pages. After a
// failed fsync nobody can know what is on the disk: such a commit is in doubt ([transaction.ErrInDoubt]), and everything later is
// refused until the database is opened anew, from the disk.
package bolt
