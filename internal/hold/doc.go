// Package hold keeps a response back until it is decided whether its work is kept.
//
// The outermost of the filters retry and tm makes a [Writer] for each attempt and passes it on in place of the server's; the
// inner one, which is handed that very Writer, uses it too and registers itself as its [Decider]. When the handler has returned, the
// owner either sends the response ([Writer.Release]) or forgets it ([Writer.Drop]); or, if a part has left before the handler failed, cuts it
// ([Writer.Cut]).
//
// A handler that streams can't wait for its own return. When it flushes or hijacks, the Decider is asked at that moment. If
// it agrees, what was held is sent and everything from then on passes through; if not, nothing has left, and nothing will:
// FlushError, Hijack and all later writes return the error.
//
// # What a Writer keeps as net/http has it
//
// The header counts as it was at the first WriteHeader; later changes are only seen if they are trailers, declared ones
// or those with [http.TrailerPrefix]. A first Write implies 200. A body is refused for 204 and 304, and beyond the Content-Length
// that the handler has set. Deadlines and full duplex go to the server at once. io.Copy to a released Writer reaches the
// server's ReadFrom. Another informational response than 101 is dropped while nothing may leave.
//
// # Caveats
//
// A Writer has no Unwrap method: whoever walked past it would send what is to be held. A middleware between two filters wraps the
// Writer, so the inner filter does not meet it, and makes another: then the middleware in between never sees a byte of work
// that is not kept, which a cache, or an access log, must not; the price is a second copy.
//
// A goroutine which goes on using a Writer after its handler has returned gets [ErrOver]. It can't reach another request's
// response: only the memory for the body is pooled, and the Writer lets go of it under its lock. (An io.Copy to a released Writer
// that still runs then is at the server, as it would be without this package.)
//
// A deadline that a failed attempt has set for the connection is still set in the next one.
package hold
