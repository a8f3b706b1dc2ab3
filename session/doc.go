// Package session keeps values for each browser between requests, in the transaction of the
// request.
//
// [NewManager] creates a [Manager] once, from a database and a [Config]. A handler gets the session
// of the browser that sent the request by one call:
//
//	s, err := sessions.Get(r.Context())
//
// A [Session] holds values under string keys:
//
//	n, _, err := session.Get[int](s, "n")
//	err = s.Set("n", n+1)
//
// Two filters (middlewares) must wrap the handler: browserid, which identifies the browser by a
// cookie, and tm, which begins and ends the transaction of the request. Outside of requests,
// [WithID] puts the browser id into a context. Get corresponds to get_session(context, request) of
// Python applications that use repoze.session; repoze is the family of Python packages whose
// behaviour this package follows.
//
// Changes are stored when the transaction commits. If it does not commit, nothing is stored: no
// value is changed, the session is not marked as used, and no event is sent. A session to which
// nothing was written is never stored.
//
// # The life of a session
//
// A session begins with the first transaction that writes to it and commits. It ends when it has
// not been used for Config.Timeout, or by [Session.Invalidate]. Getting a session, reading from it
// and testing whether it exists all count as use. A use is recorded once in each time slice of
// Config.Period. A session therefore expires when the slice of its last use began more than Timeout
// before the current slice.
//
// A transaction that only reads sessions writes nothing and does not wait for the disk. When it has
// committed, its use of a session is pending in memory; all managers of one Config.Name in the
// process know it. Within a quarter of Period, before each sweep, and when the database is closed,
// the pending uses are stored in small transactions of their own. A transaction that writes to a
// session stores its use itself, and so does one whose session was last marked as used in the
// database more than half a Timeout ago (or Timeout less two Periods, if that is shorter). So no
// other process ends a session because it does not know of a pending use. If the process is killed,
// only the uses of the last quarter of Period are lost: such a session expires early, but not
// before half a Timeout, give or take one Period, has passed since the lost use. Values are never
// affected. If storing the uses fails, this is logged and tried again, and the pending uses keep
// their sessions alive in this process until then.
//
// A session that has expired can't be read any more, but its records stay until a new session of
// the same browser replaces them or a sweep deletes them: see [Manager.StartSweeper]. Config.OnEnd
// is called at that time.
//
// # Log-in and log-out
//
// At log-in the session gets a new id, by one call in the transaction of the request:
//
//	err := sessions.Renew(r.Context(), session.As(user))
//
// The session goes on under the new id, and the old id ends: an attacker that planted or learned
// the old id can neither read nor write the session with it. In place of an id that has ended the
// database keeps a tombstone for Config.Grace, which distinguishes the id from one that never
// existed. If a request that was in flight with the old id commits before the log-in, its changes
// are part of the renewed session; if it writes after the log-in, it is refused with [ErrRenewed].
// Changes are never acknowledged and then lost. If two log-ins were sent with the same id, the
// second finds the session of the first instead of an empty one: see [Manager.Renew].
//
// The tombstone keeps the data that was stored under the old id before the log-in; only a second
// Renew can reach it. A holder of the old id could read that data before the log-in anyway. The
// tombstone never holds data of the log-in or of later requests, and it does not reveal the new id:
// the new id is derived from the old id, the user's name and a seed, so that only a request that
// names the same user, verified by the app, can derive it again. Data that already belonged to a
// user ([As]) is given to that user only.
//
// [Session.Invalidate] logs out. It leaves no tombstone, as the browser keeps its id: a request
// that was in flight is run again and finds a new session, in which its changes are stored.
//
// # Records that can't be read
//
// A damaged value affects only itself: reading it is an error, and it can be set or deleted. If a
// record that is needed to read the session at all is damaged, or is of a newer release, the
// browser gets a new session. This is logged once. The unreadable records are set aside when the
// new session is stored, and the sweep deletes them at the time at which they would have expired.
//
// # Requests at the same time
//
// Every key is stored in its own record, so requests that change different keys of one session
// don't conflict. If two requests change the same key, or one changes a key that the other has read
// before it writes, the second to commit gets a conflict. The conflict is transient: the retry
// filter, or transaction.Run, runs the request again. Equal values conflict too: neither of two
// increments may be lost. A request that begins or ends a session conflicts with every other
// request that writes to it, so a slow request can't save over a log-out. A request that only reads
// never conflicts, unless its session was last marked as used more than half a Timeout ago: such a
// request marks it, and counts as a writer.
//
// # Caveats
//
// A [Session] belongs to one transaction. When the request is run again, get the session again.
// Goroutines of the request may share it: each call is atomic, and a call during or after the end
// of the transaction is refused with [ErrFinished]. A call of another goroutine may come between
// two calls; use [SetDefault], [Pop] and [Session.Flash] instead of two calls.
//
// Event handlers run after the commit and before the response is sent, so they should be quick.
// Each event is sent once, by the process that committed; if the process is killed between the
// commit and the call, the event is not sent.
//
// Two requests that add different keys at the same time may together make a session larger than
// Config.MaxSize.
//
// Time is the time of the database server, if the database has one (PostgreSQL); the clocks of the
// machines don't matter then. The server is asked once a minute, and before a session expires. With
// an embedded database, time is the machine's. Setting the clock while the process runs loses no
// session, also across reloads: after a jump ahead (or a sleep of the machine) no session expires
// because of the jump for one timeout; after a jump back, sessions only become younger. A jump
// while no process runs can't be distinguished from a long downtime. Therefore a sweep that would
// end all sessions waits for one timeout in which no session is used, and a sweep that finds most
// sessions dated far ahead changes none; both are logged.
//
// A database file holds no browser ids, only hashes of them. The values are not encrypted.
package session
