// Package retry runs a request again if an attempt failed for a transient reason, such as a
// conflict with another transaction.
//
// In Go code it is a middleware around that of package tm, which runs each request in a
// transaction:
//
//	again, err := retry.New(retry.Config{Tries: 5})
//	handler = again(tm.New(tm.Config{})(mux))
//
// In an .ini file it is a filter without required settings ("egg:pasteline#retry" is its name: egg:
// stands before the names that packages give to their filters and apps):
//
//	[pipeline:main]
//	pipeline = egg:pasteline#retry egg:pasteline#tm myapp
//
// The filter buffers the response of each attempt and examines the result: a returned error, or a
// commit that failed. If the error is transient, the filter discards the response and begins again:
// with the original request, its body from the start, and a new transaction. A failed attempt
// leaves no trace: no header or cookie, no context value, no change of the request. The client gets
// one answer; if the last attempt failed too, it is 503 with Retry-After.
//
// The filter corresponds to Python's repoze.retry, whose names and settings it accepts in .ini
// files.
//
// [transaction.AttemptFromContext] returns the number of the current attempt, the maximum, and
// whether it is the last one. Effects outside of the transaction, such as a mail, happen once per
// attempt; an AfterCommit hook of the transaction runs once.
//
// # Which errors lead to another attempt
//
// By default, a request is run again after every error that declares itself transient
// ([transaction.IsTransient]), as conflicts do; the error may be wrapped by others. The setting
// retryable names other predicates instead. The status that a handler gave to the error does not
// matter. A request is also run again if its handler met a conflict but hid it: by a response with
// a status on which tm aborts, by another error, or by aborting the transaction or marking it to be
// aborted ([transaction.Txn.Doom]). The data managers (the storages that take part in the
// transaction) report such a conflict ([transaction.Txn.Conflict]). At the last attempt the
// handler's own answer is sent, and tm logs the conflict.
//
// After a conflict of package storage, the next attempt waits in a queue for the contended data,
// with PostgreSQL also across processes, so that three attempts are enough for any number of
// clients (see Waiter in package transaction/resource). Attempts after other errors are separated
// by Delay. For races in an app's own SQL, a higher number of tries and a Delay of some
// milliseconds with Jitter work better than attempts in quick succession.
//
// # Caveats
//
// A response is buffered in memory, then in a temporary file, until the handler returns. (On Linux
// a file that is served is sent from its place instead, after the commit.) A handler that streams
// must flush. The first flush ends the transaction, and after it the request is not run again: if
// the handler fails later, the response is cut off, see package handler.
//
// Informational responses, such as 103 Early Hints, are dropped while the response is buffered, as
// the attempt could still fail.
//
// Every attempt runs the whole handler and costs as much as the first. Panics are not retried.
//
// The body is received before the first attempt, in memory up to HighWater, then in a temporary
// file: no transaction, and with it no snapshot or database connection, waits for a slow client. A
// handler is therefore called when the upload is complete and its trailers are available. An
// incomplete body is answered with 400, one longer than MaxBody with 413, and one that exceeds the
// server's read timeout with 408; no transaction has begun then. The body of a tunnel (the method
// CONNECT) is not awaited. A handler that answers while it reads, or that refuses uploads before
// receiving them, needs StreamBody: its transaction waits with it, and an error of the body fails
// the attempt that reads it. It is better to mount such a handler outside of the transaction.
//
// The files of a multipart form are removed after each attempt, if the handler parsed the form of
// the request that this filter, or another one of this project, passed to it. The form of a copy of
// that request is unknown to net/http and the filter: behind [http.TimeoutHandler],
// [http.StripPrefix], a chi router, or other middleware that calls WithContext or Clone, the
// handler must remove the files itself, by defer r.MultipartForm.RemoveAll() once
// ParseMultipartForm has succeeded. Otherwise they stay in the temporary folder, once for each
// attempt.
//
// A context value of an outer filter that an attempt changes in place stays changed in the next
// attempt (chi's routing state, behind router.Use, is restored). The same holds for a path value
// that an attempt sets with SetPathValue, if an outer handler has set one by hand; those of an
// outer ServeMux or chi router are restored.
//
// If the client has disconnected, the request is not run again. An answer is sent nonetheless (499,
// if the disconnect made the request fail), because a client that closed only its sending half of
// the connection would take a missing answer for success.
package retry
