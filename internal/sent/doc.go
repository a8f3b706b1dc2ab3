// Package sent notes how much of a response has been sent: whether an error can still be answered, and what an access log
// says.
//
//	noted := &sent.Writer{ResponseWriter: w}
//	next.ServeHTTP(noted, r)
//	if failed && noted.Begun() {
//		panic(http.ErrAbortHandler) // the framing is broken, so that the client notices
//	}
//
// # Caveats
//
// A response that has begun need not have left: net/http keeps the first few kilobytes until there are more, or a flush.
// But it can't be taken back.
package sent
