// Package respbuf buffers a response until it is decided whether its transaction commits.
//
// The outermost of the filters retry and tm makes a [Writer] for each attempt and passes it on in
// place of the server's. If the inner one receives that very Writer, it uses it too and registers
// as its [Committer]. When the handler has returned, the owner either sends the response
// ([Writer.Send]) or discards it ([Writer.Discard]); if a part was sent before the handler failed,
// it cuts the response off ([Writer.Cut]).
//
// A handler that streams can't wait for its own return. When it flushes or hijacks, the Committer
// is called at that moment. If it agrees, the buffer is sent and everything from then on passes
// through; if not, nothing has been sent and nothing will be: FlushError, Hijack and all later
// writes return the error.
//
// # Behaviour in common with net/http
//
// The header is fixed at the first WriteHeader; of later changes only trailers have an effect,
// declared ones or those with [http.TrailerPrefix]. A first Write implies 200. A body is refused
// for 204 and 304, and beyond the Content-Length that the handler has set. Deadlines and full
// duplex go to the server at once. io.Copy to a released Writer reaches the server's ReadFrom.
// Informational responses other than 101 are dropped before the decision.
//
// # Files
//
// io.Copy from a file (as by http.FileServer and http.ServeContent) keeps a reference to the file
// instead of its bytes, on Linux and if the file is open for reading only. It is sent after the
// commit, with sendfile. Options.Max does not apply to it. A file that another program changes
// before then is sent as it is at that time; if it was truncated, the connection is closed.
//
// # Caveats
//
// A Writer has no Unwrap method, since a caller that unwrapped it could send a part of an undecided
// response. A middleware between two filters wraps the Writer, so the inner filter makes another
// one. The middleware, such as a cache or an access log, then never sees output of work that was
// not committed; the price is a second buffer.
//
// A goroutine that uses a Writer after its handler has returned gets [ErrOver]. It can't reach
// another request's response: only the memory of the body is pooled, and the Writer releases it
// under its lock. (An io.Copy to a released Writer that still runs then is in the server, as it
// would be without this package.)
//
// A deadline that a failed attempt has set for the connection still applies in the next one.
package respbuf
