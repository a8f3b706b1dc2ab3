package server

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
)

// A framing detects requests that may have two lengths, Content-Length and Transfer-Encoding. That
// can be an attempt at request smuggling, so RFC 9112 (6.1) demands that the connection is closed
// after it. Net/http removes one of the two fields silently.
//
// The framing counts how often the names of the two fields occur in the received bytes of a
// connection, anywhere, and subtracts the requests in which net/http has kept the field. While the
// difference is zero, no field can have been removed. A remainder may also come from a body, or
// from a pipelined request: then a connection is closed unnecessarily.
type framing struct {
	lengths   atomic.Int64 // occurrences of Content-Length not matched by a request
	encodings atomic.Int64 // occurrences of Transfer-Encoding not matched by a request

	// The reading goroutine owns the rest; there is one at a time.
	tail  [len(encodingName) - 1]byte // the last received bytes
	known int                         // number of valid bytes at the end of tail
}

const (
	lengthName   = "content-length"
	encodingName = "transfer-encoding"
)

// scan scans the next received bytes.
func (f *framing) scan(p []byte) {
	if len(p) == 0 {
		return
	}
	// A name may begin in the tail and end in p.
	var border [2 * len(f.tail)]byte
	n := copy(border[:], f.tail[len(f.tail)-f.known:])
	n += copy(border[n:], p)
	f.count(border[:n], func(begin, end int) bool { return begin < f.known && end > f.known })
	f.count(p, func(int, int) bool { return true })

	if len(p) >= len(f.tail) {
		f.known = copy(f.tail[:], p[len(p)-len(f.tail):])
		return
	}
	copy(f.tail[:], f.tail[len(p):])
	copy(f.tail[len(f.tail)-len(p):], p)
	f.known = min(len(f.tail), f.known+len(p))
}

// count counts the names in p whose position counts accepts.
func (f *framing) count(p []byte, counts func(begin, end int) bool) {
	for at := 0; ; at++ {
		next := bytes.IndexByte(p[at:], '-')
		if next < 0 {
			return
		}
		at += next
		if begin, end, ok := around(p, at, lengthName); ok && counts(begin, end) {
			f.lengths.Add(1)
		} else if begin, end, ok := around(p, at, encodingName); ok && counts(begin, end) {
			f.encodings.Add(1)
		}
	}
}

// around returns the position of a name in p, and whether the hyphen at p[at] is part of it.
func around(p []byte, at int, name string) (begin, end int, ok bool) {
	begin = at - strings.IndexByte(name, '-')
	end = begin + len(name)
	return begin, end, begin >= 0 && end <= len(p) && strings.EqualFold(string(p[begin:end]), name)
}

// twoLengths reports whether r, the next request of the connection, may have two lengths. It is
// called once for each request, and subtracts the fields of r. Without a framing (nil) the bytes
// were not inspected, so any request with Transfer-Encoding may have two.
//
// Net/http prefers Transfer-Encoding, but ignores it with HTTP/1.0, where it is forbidden.
func (f *framing) twoLengths(r *http.Request) bool {
	chunked, old := len(r.TransferEncoding) > 0, !r.ProtoAtLeast(1, 1)
	switch {
	case f == nil:
		return chunked || old
	case chunked:
		f.encodings.Add(-1)
		return f.lengths.Load() > 0
	case len(r.Header["Content-Length"]) > 0:
		f.lengths.Add(-1)
	}
	return old && f.encodings.Load() > 0
}

// A lastWriter makes its response the last one of the connection, whatever the handler sets in the
// Connection field.
type lastWriter struct{ http.ResponseWriter }

func (w lastWriter) last() { w.Header().Set("Connection", "close") }

// WriteHeader passes the status on.
func (w lastWriter) WriteHeader(status int) {
	w.last()
	w.ResponseWriter.WriteHeader(status)
}

// Write passes p on.
func (w lastWriter) Write(p []byte) (int, error) {
	w.last()
	return w.ResponseWriter.Write(p)
}

// FlushError passes the flush on.
func (w lastWriter) FlushError() error {
	w.last()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError without the error.
func (w lastWriter) Flush() { _ = w.FlushError() }

// Unwrap supports [http.ResponseController].
func (w lastWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// breakOff must be deferred. It resets the connection of a cut response that has no other end than
// that of the connection, so that the client does not take the part for the whole. Other responses
// are visibly incomplete by their framing.
func breakOff(c *conn, w *response, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	framed := r.ProtoAtLeast(1, 1) && w.Header().Get("Transfer-Encoding") != "identity"
	if c != nil && !framed && !w.Hijacked {
		c.abort()
	}
	panic(p)
}
