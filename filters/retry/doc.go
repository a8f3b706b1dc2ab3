// Package retry runs a request again when its attempt lost a race.
//
// The filter stands around tm. It keeps each attempt's response back, looks at the attempt's outcome (a returned error, or a commit
// that failed), and if that is transient forgets the response and begins again: with the same request, its
// body from the start, in a new transaction. Of a failed attempt nothing is left, neither header nor cookie, context value or changed
// request. The visitor sees one answer; if the last attempt failed too, that is 503 with Retry-After.
//
// In an .ini file it is a filter without necessary settings:
//
//	[pipeline:main]
//	pipeline = egg:pasteline#retry egg:pasteline#tm myapp
//
// In Go code it is a middleware:
//
//	again, err := retry.New(retry.Config{Tries: 5})
//	handler = again(transact(mux))
//
// A handler learns from [transaction.AttemptFromContext] which attempt it is in, of how many, and whether it is the last
// one. What it did besides its transaction (a mail sent) is done once an attempt; put that into a hook of the
// transaction, such as AfterCommit, to have it done once.
//
// # What is worth another attempt
//
// By default every error that calls itself transient, anywhere in its tree ([transaction.IsTransient]), as conflicts do; or
// what predicates say that the setting retryable names. An error is run again whatever status a handler gave it. So is a request whose
// handler has met a conflict and made something else of it: a response of its own with a status that is vetoed, another error, a
// transaction that is doomed or aborted. The data managers know of the conflict ([transaction.Txn.Conflict]). At the last attempt the handler's
// own answer is sent, and the log of tm says why.
//
// A conflict that is a [transaction.Waiter] lets the next attempt wait for its turn, so three attempts are enough for any
// crowd: the conflicts of package storage are such ones, with PostgreSQL among processes too. Others are spaced by Delay; for races that
// an app's own SQL loses, some more tries and a Delay of some milliseconds with Jitter serve better than attempts in quick succession.
//
// # Caveats
//
// A response is held in memory and then in a temporary file, until the handler returns. A handler that streams flushes: that
// ends its transaction there and then, and after it, nothing is run again: if the handler fails later, the response is cut, see package
// outcome.
//
// Informational responses, such as 103 Early Hints, are dropped as long as the response is held: they could be those of an attempt that fails.
//
// Every attempt runs the whole handler, so what it costs, it costs again. Panics are not retried.
//
// The body is received before the first attempt, in memory up to HighWater, then in a temporary file: no transaction, and with it no snapshot
// and no connection of a database, waits for a slow client. So a handler is called when the upload is complete, and its trailers are there.
// One that the client does not send whole is answered with 400, one longer than MaxBody with 413, one that the server waits for no longer with
// 408; no transaction has begun then. A tunnel (the method CONNECT) is not waited for. A handler that answers while it reads, or refuses
// uploads that it does not want to receive, needs StreamBody: its transaction waits with it, and what fails fails the attempt that
// reads. Better still, it stands where there is no transaction.
//
// The files of a multipart form are removed after each attempt, if the handler has parsed the form of the request that it was given by this
// filter, or by others of this project. Net/http and a filter can't learn of a form that is parsed of a copy: behind [http.TimeoutHandler],
// [http.StripPrefix], a chi router, or another middleware that calls WithContext or Clone, the handler removes them itself, or they stay
// in the temporary folder, once for each attempt: defer r.MultipartForm.RemoveAll(), once ParseMultipartForm has succeeded.
//
// Outer filters may keep what they like in the context, but a value in there that an attempt changes in place is the next
// one's too. (chi's, behind router.Use, is looked after.) So is a path value that an attempt sets with SetPathValue, if an outer
// handler has set one by hand; those of an outer ServeMux or chi router are looked after.
//
// If the client is gone, there is no further attempt. It is answered nonetheless (with 499, if its going is why the request
// failed), because a client that closed only its own half of the connection would else take the server's
// silence for a success.
package retry
