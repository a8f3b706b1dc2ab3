// Package session keeps values for every browser, from request to request, in the transaction of the request.
//
// A [Manager] is made once, of a database and a [Config]; it finds the session that belongs to a browser id. In a
// handler behind the browserid and tm filters that is one line, the get_session(context, request) of the tutorial:
//
//	id, _ := browserid.FromContext(r.Context())
//	s, err := sessions.Get(r.Context(), string(id))
//
// A [Session] is a dictionary:
//
//	n, _, err := session.Value[int](s, "n")
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
// At log-in, when the browser gets a new id, [Manager.Carry] moves the session to that in the same transaction.
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
// A [Session] is for one transaction and one goroutine. When the request is run again, get it again.
//
// Handlers of events run after the commit and before the response leaves: they should be quick. Each event is sent once,
// by the process that committed; if that is killed between the commit and the call, it is not sent at all.
//
// Two requests that add different keys at the same time may together make a session larger than Config.MaxSize.
//
// Machines that share a database should agree on the time to within a timeout. A clock that is set while the process runs
// loses nothing: when it jumps ahead (or the machine slept), no session ends on account of that for one timeout; when it
// jumps back, sessions only become younger. A jump while no process runs can't be told from a long time without any.
//
// A database file holds no browser ids, only hashes of them. The values are not encrypted.
package session
