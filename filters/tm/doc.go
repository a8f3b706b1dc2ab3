// Package tm runs each request in a transaction, which commits before the first byte of the
// response is sent.
//
// In Go code it is a middleware, usually inside of that of package retry:
//
//	transact := tm.New(tm.Config{})
//	handler = again(transact(mux))
//
// In an .ini file ("egg:pasteline#tm" is its name: egg: stands before the names that packages give
// to their filters and apps):
//
//	[pipeline:main]
//	pipeline = egg:pasteline#retry egg:pasteline#tm myapp
//
// The transaction is in the context of the handler's request ([transaction.FromContext]); storage
// and sessions join it on first use. When the handler has returned, the filter commits or aborts
// the transaction. It aborts it if
//
//   - the handler returned an error (see package handler) or panicked, or its request body could
//     not be read,
//   - the handler doomed the transaction, that is, marked it to be aborted at its end,
//   - the veto objects to the response; by default it objects to every status from 500 on,
//   - the client has disconnected, or the request's context has ended for another reason.
//
// Otherwise it commits. The response is buffered until then. It is sent after a commit, and after
// an abort that the handler requested by its status or by dooming the transaction. One exception:
// if a data manager (a storage that takes part in the transaction) reports a conflict, the handler
// may have requested the abort because of it. As long as retry has an attempt left, the request
// then fails with that conflict. After a failure the response is dropped, and the answer depends on
// the error: 503 for a conflict, 500 for most others. A filter retry around this one examines the
// failure first, and may run the request again.
//
// A handler that flushes or hijacks makes the filter decide at that moment. If the transaction
// commits, the output is sent directly from then on, and a later use of the transaction is an
// error. If it does not commit, the flush returns the error and nothing was sent. Server-sent
// events and WebSockets work in this way, and no transaction lasts as long as a stream.
//
// # Differences from repoze.tm
//
// The filter corresponds to Python's repoze.tm and repoze.tm2, whose names and settings it accepts
// in .ini files. There no response aborts the transaction by default, because a Python app reports
// failure by an exception. A Go handler reports failure by a status, so here 5xx aborts by default;
// commit_veto = none restores the behaviour of repoze.tm. The commit comes before the response, as
// in repoze.tm 1 and unlike repoze.tm2. The request's body is received before the transaction
// begins, as by repoze.retry. AfterCommit and OnAbort of package transaction replace after_end.
//
// # Caveats
//
// A panic aborts the transaction and is not recovered; this project's servers answer it with 500.
// An error after a flush can't be answered any more: the response is cut off, see package handler.
// A commit that has begun is completed even if the client disconnects. net/http notices a
// disconnect over HTTP/1 only when the request's body has been read: the transaction of a handler
// that does not read the body is committed nonetheless.
//
// A returned error always aborts, whatever its status. If the work of a request is to be committed
// and the answer is a redirect or a "not found" page, the handler must write that answer, not
// return it as an error.
//
// A filter between retry and tm that wraps the response writer sees only the final response, at the
// cost of a second buffer.
//
// A goroutine that goes on after its handler has returned can't use the transaction any more: each
// of its calls is either complete or refused (see package transaction). Behind
// [http.TimeoutHandler] this happens to every slow handler: put it around the filter, not inside.
// If such a goroutine commits or aborts at the moment of the filter's decision, the filter waits
// for the result and follows it.
//
// If there is no retry around it, the filter receives the request's body before the transaction
// begins: in memory up to HighWater, then in a temporary file, unless StreamBody is set. The
// caveats of package retry about bodies apply here, too.
//
// A second tm, or one inside of transaction.Run, only passes requests on: the code that began the
// transaction ends it.
package tm
