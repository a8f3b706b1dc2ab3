// Package bolt is the embedded engine of package storage: a transactional key-value database in one
// file, written with bbolt, for one process. No server is needed, and a commit is on the disk when
// it returns.
//
//	db, err := bolt.Open("/var/lib/site/data.db", nil)
//	bolt.Register(opener)                        // or by URI: bolt:///var/lib/site/data.db
//
// Options in the URI: mmap_size and lock_timeout, see [Options].
//
// No lock is held while a transaction runs; bbolt's one writer is busy only during a commit. A
// single client needs no switch between goroutines, and no commit waits for a timer.
//
// An acknowledged commit is on the disk. So is everything that a transaction has read, by the time
// its own commit returns: bbolt shows a new state shortly before it is synced, so a reader that saw
// it waits for the sync.
//
// # How a commit runs
//
// A transaction reads from a view: a read transaction of bbolt. Its Commit closes that first,
// because bbolt can't enlarge its memory map while a reader is open. The rest is in commit.go, in
// this order:
//
//  1. accept validates the transaction against all commits accepted before, written or not. A
//     conflict ends it here. Otherwise it gets the next number, and with it its place in the order
//     of all commits, and joins the gathering group. From now on speculative views show its writes.
//  2. The first member of a group leads it; the others wait for its end. lead waits until the group
//     before has ended. Meanwhile more members join.
//  3. write puts the writes of all members into one bbolt transaction, so one fsync serves all of
//     them. In the same bbolt transaction it records the two-phase commits that members decide. If
//     the disk has no room for all, the members are written one by one.
//  4. end rejects members of the next group that have read a write that failed, and wakes the
//     members, the next leader and waiting readers.
//
// A transaction without writes does none of that: awaitReads only waits until everything that it
// has read is on the disk.
//
// An idle reader goes to a pool for the next view. The pool is emptied before anything is written,
// so the readers in it always show the newest state, and no commit waits for them.
//
// # Many commits of one key for one fsync
//
// On a contended key each transaction must read its predecessor's write. If it had to wait for the
// fsync of that write, there would be one fsync per commit. So the holder of the key's ticket
// ([storage.ConflictError.Wait]) starts on a speculative view: bbolt's snapshot, with the writes of
// the running group and of the gathering group as two overlays on top. It releases the ticket as
// soon as its own commit is accepted, so many increments of one key share an fsync.
//
// A transaction that has read from the overlay of a group depends on that group's commit. Four
// rules ensure that this never weakens a guarantee:
//
//   - Only an attempt that runs with the context of a ticket, that is a retry of a transaction that
//     lost, reads speculatively. All others see bbolt's state.
//   - Groups are written in order, and a commit is in the same group as the writes it has read, or
//     in a later one. So if it is on the disk after a crash, the data it had read is too.
//   - If a group or one of its members fails (for example because recovery has aborted it), every
//     dependent transaction is rejected before anything of it is written, and so are, in turn, its
//     own dependents. Other transactions continue. The error is transient, unless the database is
//     unusable.
//   - A transaction that only read, or is aborted, waits for the groups that it depends on, because
//     its answer may be based on their writes. If they were not committed, its commit or abort
//     returns a transient error, and the filters retry and tm run it again.
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
// shows them. While no server runs, serve compact rewrites it without them.
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
// Opening checks all pages of the file, so the time it takes grows with the data. A file of at least
// 8 MiB that was closed is open at once: Close has saved the list of free pages, and the pages are
// checked while the data is read already. The first commit waits for the end of the check, so that
// a damaged file is not changed. After a kill the pages are checked before.
//
// A commit that fails because the disk is full affects only itself, and later ones succeed when
// there is room again. The members of its group are then written one by one, so a transaction that
// only deletes succeeds if earlier deletions have left a few free pages. After a failed fsync the
// content of the disk is unknown: such a commit is in doubt ([transaction.ErrInDoubt]), and
// everything later is refused until the database is opened again, from the disk.
package bolt
