package server

import (
	"bytes"
	"net/http"
	"strings"
	"sync/atomic"
)

// A framing tells whether a request may have two lengths, a Content-Length beside a Transfer-Encoding: that can be an attempt at
// smuggling, so RFC 9112 (6.1) demands that no request is read after it from the same connection. Net/http removes one of the two
// fields and does not say so.
//
// The framing counts how often the names of the two fields come up in what a connection receives, wherever that is, and takes off
// the requests on which net/http has left the field. As long as nothing remains, no field can have been removed. What remains
// may also have come from a body, or be of a request that the client has sent ahead: then a connection is closed that need not be.
type framing struct {
	lengths   atomic.Int64 // of the name Content-Length that no request accounts for
	encodings atomic.Int64 // of the name Transfer-Encoding

	// The rest is the reader's, of which there is one at a time.
	tail  [len(encodingName) - 1]byte // the last bytes that were received
	known int                         // how many of tail there are, at its end
}

const (
	lengthName   = "content-length"
	encodingName = "transfer-encoding"
)

// note looks at the next bytes that are received.
func (f *framing) note(p []byte) {
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

// count counts the names in p whose place counts.
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

// around returns the place of a name in p, and whether the hyphen at p[at] is its own.
func around(p []byte, at int, name string) (begin, end int, ok bool) {
	begin = at - strings.IndexByte(name, '-')
	end = begin + len(name)
	return begin, end, begin >= 0 && end <= len(p) && strings.EqualFold(string(p[begin:end]), name)
}

// twoLengths reports whether r, the next request of the connection, may have two lengths. It is called once for each, and takes
// off what r accounts for. A nil framing has seen nothing, so it knows of none that it has one.
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

// A lastWriter writes the last response of its connection, whatever the handler sets in the field Connection.
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

// Flush is FlushError for callers that can't be told.
func (w lastWriter) Flush() { _ = w.FlushError() }

// Unwrap is for the rest of an [http.ResponseController].
func (w lastWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// breakOff is to be deferred. When a response is cut that only the end of the connection would end, it ends that by an error, so that
// the client does not take the part for the whole. Other responses are broken by their framing.
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
