package browserid

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A writer lets the visit add its cookie at the last moment, when the header is about to leave: only then is it known
// whether a lazy filter's app asked for the id, and whether a renewal was committed.
type writer struct {
	http.ResponseWriter
	visit *visit
}

func (w *writer) decide() {
	if !w.visit.decided {
		w.visit.decided = true
		w.visit.seal(w.Header())
	}
}

// Unwrap is how [http.ResponseController] finds deadlines and the like.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader lets informational headers (100 to 199) pass; 101 is final.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.decide()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.decide()
	return w.ResponseWriter.Write(p)
}

// WriteString spares io.WriteString a copy.
func (w *writer) WriteString(s string) (int, error) {
	w.decide()
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets io.Copy use the server's way of sending a file.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	w.decide()
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src) // the struct hides our own ReadFrom
}

// FlushError sends the header, with the cookie, and what has been written.
func (w *writer) FlushError() error {
	w.decide()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements [http.Flusher] for code that does not know [http.ResponseController].
func (w *writer) Flush() { _ = w.FlushError() }

// Hijack hands over the connection. The cookie is in the header map then: whoever takes the connection over, and writes a
// header of his own, can send what is in it. A connection that can't be had changes nothing.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.decide()
	}
	return conn, buffered, err
}

var (
	_ http.Flusher    = (*writer)(nil)
	_ http.Hijacker   = (*writer)(nil)
	_ io.ReaderFrom   = (*writer)(nil)
	_ io.StringWriter = (*writer)(nil)
)
