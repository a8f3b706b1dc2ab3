// Package bolt keeps a database in one file, with bbolt. It is durable, embedded, and for one
// process.
//
//	db, err := bolt.Open("/var/lib/site/data.db", nil)
//	bolt.Register(opener)                        // or by URI: bolt:///var/lib/site/data.db
//
// Options in the URI: mmap_size and lock_timeout, see [Options].
//
// No lock is held while a transaction runs; bbolt's one writer is busy only during a commit. A
// commit is validated when it arrives, against all commits before it, and has its place in the
// order from then on. Commits accepted while the disk is busy form a group, which becomes one bbolt
// update, so one fsync serves all of them. The first member of a group leads it, so a single client
// needs no switch between goroutines, and no commit waits for a timer.
//
// The read transaction of a snapshot that has ended is kept for the next snapshot, and closed
// before anything is written. So it always shows the newest state, and no commit waits for it.
//
// An acknowledged commit is on the disk. So is everything that a transaction has read, by the time
// its own commit returns: bbolt shows a new state shortly before it is synced, so a reader that saw
// it waits for the sync.
//
// # Many commits of one key for one fsync
//
// On a contended key each transaction must read its predecessor's write. If it had to wait for the
// fsync of that write, there would be one fsync per commit. So the holder of the key's ticket
// ([storage.ConflictError.Wait]) starts on a speculative snapshot: bbolt's snapshot, with the
// writes of the running group and of the gathering group as two layers on top. It releases the
// ticket as soon as its own commit is accepted, so many increments of one key share an fsync.
//
// Speculation never weakens a guarantee. Four rules ensure that:
//
//   - Only an attempt that runs with the context of a ticket, that is a retry of a transaction that
//     lost, reads speculatively. All others see bbolt's state.
//   - Groups are written in order, and a commit is in the same group as the writes it has read, or
//     in a later one. So if it is on the disk after a crash, the data it had read is too.
//   - If a group or one of its members fails (for example because recovery has aborted it), every
//     transaction that has read its layer is rejected before anything of it is written, and so are,
//     in turn, the readers of its layer. Transactions that have read nothing of it continue. The
//     error is transient, unless the database is unusable.
//   - A transaction that only read, or is aborted, waits for the layers that it has read, because
//     its answer may depend on them. If they were not committed, its commit or abort returns a
//     transient error, and the filters retry and tm run it again.
//
// # A file that is moved or replaced
//
// Before it writes, at most once a second while commits follow one another and always after a
// pause, an engine checks whether its path (as it was written, before links are followed) leads to
// the open file. If not, commits are refused with an error that wraps [storage.ErrMoved], becomes
// status 503, and says how to save the content of the open file; reads continue. When the file is
// back, commits are accepted again. A file that another program has written to, as "cp" does, or
// has truncated, is neither read nor written any more. The commits of the last second may be in the
// old file only. An [storage.Opener] refuses to open such a database again.
//
// # Caveats
//
// The file belongs to one process at a time; another one gets [storage.ErrInUse]. It must be on a
// local file system. It grows and never shrinks, but freed pages are reused once no open snapshot
// shows them.
//
// A file that is being written can't be backed up by copying it. Close the database first, or take
// an atomic snapshot of the file system, which is as good as a power cut.
//
// A transaction that reads from two files that are both about to outgrow their memory maps
// (mmap_size) may deadlock with another one that reads from both and writes to the other file. With
// the default on 64-bit systems, 16 GB, that takes two very large files.
//
// A database can't take part in a two-phase commit that another data manager decides, but it can
// decide one: see [engine.Recorder].
//
// Opening checks the file's whole tree, so the time it takes grows with the data.
//
// A commit that fails because the disk is full affects only itself, and later ones succeed when
// there is room again. The members of its group are then written one by one, so a transaction that
// only deletes succeeds if earlier deletions have left a few free pages. After a failed fsync the
// content of the disk is unknown: such a commit is in doubt ([transaction.ErrInDoubt]), and
// everything later is refused until the database is opened again, from the disk.
package bolt
