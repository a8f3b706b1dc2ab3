package sent

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A Writer passes a response on, and records its progress. It buffers nothing. Like most response
// writers, it is not safe for concurrent use.
type Writer struct {
	http.ResponseWriter

	Status   int   // zero until the response has begun; 101 after a hijack without another status
	Bytes    int64 // bytes of the body that the wrapped writer has accepted
	Flushed  bool  // a part of the response has certainly been sent, or the connection was hijacked
	Hijacked bool
}

// Begun reports whether the response has begun: another one can't be sent in its place.
func (w *Writer) Begun() bool { return w.Status != 0 }

// Begun reports whether a response has begun, and whether w or a writer that it wraps knows.
func Begun(w http.ResponseWriter) (begun, known bool) {
	for {
		if noted, ok := w.(interface{ Begun() bool }); ok {
			known = true
			if noted.Begun() {
				return true, true
			}
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false, known
		}
		w = wrapper.Unwrap()
	}
}

// WriteHeader records the status, except for informational ones other than 101.
func (w *Writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.imply(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// imply records the status, if it is the first.
func (w *Writer) imply(status int) {
	if w.Status == 0 {
		w.Status = status
	}
}

// Write writes p and counts its bytes.
func (w *Writer) Write(p []byte) (int, error) {
	w.imply(http.StatusOK)
	n, err := w.ResponseWriter.Write(p)
	w.Bytes += int64(n)
	return n, err
}

// WriteString writes s and counts its bytes.
func (w *Writer) WriteString(s string) (int, error) {
	w.imply(http.StatusOK)
	n, err := io.WriteString(w.ResponseWriter, s)
	w.Bytes += int64(n)
	return n, err
}

// ReadFrom counts the bytes of src, and lets the server send it efficiently.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	w.imply(http.StatusOK)
	n, err := io.Copy(w.ResponseWriter, src)
	w.Bytes += n
	return n, err
}

// Flush is FlushError without the error.
func (w *Writer) Flush() { _ = w.FlushError() }

// FlushError passes the flush on. It sends the header, so it implies a status.
func (w *Writer) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if err == nil {
		w.imply(http.StatusOK)
		w.Flushed = true
	}
	return err
}

// Hijack passes the connection on. Bytes sent through it are not counted.
func (w *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.imply(http.StatusSwitchingProtocols)
		w.Flushed, w.Hijacked = true, true
	}
	return conn, buffered, err
}

// Unwrap lets deadlines be set through an [http.ResponseController].
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
