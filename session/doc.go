// Package session keeps values for every browser, from request to request, in the transaction of the request.
//
// A [Manager] is made once, of a database and a [Config]; it finds the session of the browser that sent a request. In a
// handler behind the browserid and tm filters that is one line, the get_session(context, request) of the tutorial:
//
//	s, err := sessions.Get(r.Context())
//
// Outside of requests, [WithID] says whose session is meant.
//
// A [Session] is a dictionary:
//
//	n, _, err := session.Get[int](s, "n")
//	err = s.Set("n", n+1)
//
// What was set is stored when the transaction commits, and nothing is if it doesn't: not a value, not that the session
// was used, and no event is sent. A session to which nothing was written is never stored.
//
// # The life of a session
//
// It begins with the first transaction that writes something to it and commits. It ends when it has not been used for
// Config.Timeout, or by [Session.Invalidate]. To get it, to query it and to ask whether there is one all count as
// using it. That is written down once in every time slice of Config.Period, so that reading costs no write; and so a
// session ends when the slice of its last use began more than Timeout before the present slice did.
//
// From then on it is gone for everybody, but its records stay until a new session for the same browser takes their
// place, or a sweep finds them: see [Manager.StartSweeper]. Then OnEnd is called.
//
// # Log-in and log-out
//
// A visitor that logs in gets a new id, by one call in the transaction of the request:
//
//	err := sessions.Renew(r.Context(), session.As(user))
//
// The session goes on under the new id, and the old one has ended: whoever planted or learned it reads and writes nothing with it.
// An id that has ended leaves a mark, for Config.Grace, so that it is told apart from one that never was. A request that was
// under way with it is either in what was renewed, or refused with [ErrRenewed] if it writes; it is not
// acknowledged and lost. Of two log-ins that were sent with one id, the one that comes second does not find an empty session:
// see [Manager.Renew].
//
// The mark holds what the database had under the old id before the log-in, out of reach of all but a second Renew. A holder of the old
// id could read that before in any case. It never holds what the log-in added or what came later, and it does not lead to the new
// id: that is made of the old id, the user's name and a seed, so that only a request that names the same user, which the app
// has verified, finds it again. What was somebody's already ([As]) is given to that user alone.
//
// Log-out is [Session.Invalidate]. It leaves no mark, as the browser keeps its id: a request that was under way runs again, finds a
// new session, and what it writes to that is where the browser finds it.
//
// # Records that can't be read
//
// A value that is damaged spoils itself alone: to read it is an error, and it can be set or deleted. If a record is damaged without
// which the session can't be read, or is of a newer release, the browser has a new session. The log tells that once; what
// can't be read is set aside when the new session is stored, and deleted by the sweep at the time at which it would have expired.
//
// # Requests at the same time
//
// Every key is stored by itself. Requests that change different keys of one session don't disturb each other; if two
// change the same key, or one changes what the other has read before it writes anything, the second to commit
// gets a conflict, which is transient: the retry filter, or transaction.Run, runs it again. It makes no difference
// whether both wrote the same value: of two increments none may be lost. A request that begins or ends a session conflicts
// with every other that writes, so no slow request saves over a log-out. A request that only reads never
// conflicts, except that the one in each period that marks the session as used counts as a writer.
//
// # Caveats
//
// A [Session] is for one transaction. When the request is run again, get it again. Goroutines of the request may share it: each call
// counts whole, and one that comes when another goroutine ends the transaction, or after that, is refused with [ErrFinished]. Between two
// calls another goroutine's may come; use [SetDefault], [Pop] and [Session.Flash] rather than two calls.
//
// Handlers of events run after the commit and before the response leaves: they should be quick. Each event is sent once,
// by the process that committed; if that is killed between the commit and the call, it is not sent at all.
//
// Two requests that add different keys at the same time may together make a session larger than Config.MaxSize.
//
// Time is that of the database's server, if it has one (PostgreSQL): what the clocks of the machines say does not matter then. The
// server is asked once a minute, and before a session ends. With an embedded database it is that of the machine. A clock that is
// set while the process runs loses nothing, across reloads too: when it jumps ahead (or the machine slept), no session ends on
// account of that for one timeout; when it jumps back, sessions only become younger. A jump while no process runs can't be told
// from a long time without any. But a sweep that would end all sessions waits for one timeout in which none is used, and one
// that finds most of them dated far ahead changes none; the log tells of both.
//
// A database file holds no browser ids, only hashes of them. The values are not encrypted.
package session
