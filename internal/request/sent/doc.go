// Package sent records how much of a response has been sent, to decide whether an error can still
// be answered, and for access logs.
//
//	noted := &sent.Writer{ResponseWriter: w}
//	next.ServeHTTP(noted, r)
//	if failed && noted.Begun() {
//		panic(http.ErrAbortHandler) // the framing is broken, so that the client notices
//	}
//
// # Caveats
//
// A response that has begun may still be in a buffer: net/http buffers the first few kilobytes
// until there are more, or a flush. But it can't be replaced any more.
package sent
