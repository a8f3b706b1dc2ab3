// Package tm runs each request in a transaction, which commits before the first byte of the response leaves.
//
// The transaction is in the context of the handler's request ([transaction.FromContext]); storage and sessions join it
// on first use. When the handler has returned, the filter decides. It aborts if
//
//   - the handler returned an error (see package handler) or panicked, or its request body could not be read,
//   - the handler doomed the transaction,
//   - the veto objects to the response; by default to every status from 500 on,
//   - the client has gone, or the request's context has ended otherwise.
//
// Else it commits. The response is held back meanwhile. After a commit it is sent; after an abort that the handler asked for, by
// its status or by dooming, too, unless a data manager knows of a conflict, which may be the reason: then that is the failure, as long as
// there is a further attempt. After a failure it is dropped, and the answer is the error's: 503 for a conflict,
// 500 for most others. A filter retry around this one looks at the failure first, and may run the request again.
//
// In an .ini file:
//
//	[pipeline:main]
//	pipeline = egg:pasteline#retry egg:pasteline#tm myapp
//
// In Go code:
//
//	transact, err := tm.New(tm.Config{})
//	handler = again(transact(mux))
//
// A handler that flushes or hijacks asks for the decision at that moment. If the transaction commits, its bytes go out directly
// from then on, and a later use of the transaction is an error; if not, the flush returns the error and nothing
// was sent. So server-sent events and WebSockets work, and no transaction lasts as long as a stream.
//
// # Differences from repoze.tm
//
// There, nothing is vetoed unless configured, because failure is an exception. A Go handler says failure with a status, so
// here 5xx aborts by default; the setting commit_veto = none restores the original's way. The commit comes before the response, as in its
// version 1 and unlike 2. The request's body is received before the transaction begins, as the original's retry did. After_end callbacks are called after a failed commit as well.
//
// # Caveats
//
// A panic aborts and goes on up; this project's servers answer it with 500. An error that comes after a flush can't be answered any
// more: the response is cut, see package handler. A commit that has begun runs to its end although the client leaves. That a client has left is
// noticed by net/http, with HTTP/1 only when the request's body has been read: a handler that leaves it unread is kept.
//
// A returned error always aborts, whatever its status. A redirect or a "not found" page that goes with kept work is written, not returned.
//
// A filter between retry and tm that wraps the response writer sees only what is kept; but it costs a second
// held response.
//
// A handler that goes on in a goroutine of its own can't use the transaction any more: what it does counts whole or is refused (see
// package transaction). Behind [http.TimeoutHandler] every slow one does: put that around the filter, not inside. If such a goroutine commits
// or aborts at the moment of the filter's own decision, the filter waits for that, and goes by it.
//
// If there is no retry around that does so, the filter receives the request's body before the transaction begins: in memory up to HighWater,
// then in a temporary file, unless StreamBody is set. What is said of that in package retry holds here, too.
//
// A second tm, or one inside of transaction.Run, passes through: whoever began the transaction ends it.
package tm
