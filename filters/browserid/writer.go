package browserid

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A writer adds the cookie when the header is about to be sent: only then is it known whether the
// app has read the id (with the setting lazy), and whether a renewal was committed.
type writer struct {
	http.ResponseWriter
	state *state
}

func (w *writer) decide() {
	if !w.state.decided {
		w.state.decided = true
		w.state.finish(w.Header())
	}
}

// Unwrap implements the interface by which [http.ResponseController] finds deadlines and other
// features.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader passes on informational headers (100 to 199) without adding the cookie; 101 is final.
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

// WriteString implements [io.StringWriter], which avoids a copy.
func (w *writer) WriteString(s string) (int, error) {
	w.decide()
	return io.WriteString(w.ResponseWriter, s)
}

// ReadFrom lets io.Copy use the server's sendfile.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	w.decide()
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	// the struct hides ReadFrom, with which io.Copy would recurse
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
}

// FlushError sends the header, with the cookie, and the buffered body.
func (w *writer) FlushError() error {
	w.decide()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements [http.Flusher] for callers that don't use [http.ResponseController].
func (w *writer) Flush() { _ = w.FlushError() }

// Hijack takes over the connection. The cookie is added to the header map, so that a caller that
// writes its own header can include it. If the connection can't be hijacked, nothing changes.
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
