package cascade

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
)

// state is the state of an answer.
type state uint8

const (
	undecided state = iota // the app has set no status yet
	passing                // the answer is sent
	caught                 // the answer is dropped
)

// A gate is the response writer of an app that is not the last one. It waits for the status, and
// then passes on the whole answer or drops it, so it needs no buffer. The app uses the outer header
// map itself, so that trailers work; the map's earlier contents are restored when the answer is
// dropped.
type gate struct {
	http.ResponseWriter
	catch       []int        // the statuses of answers that are dropped
	before      http.Header  // a copy of the header as it was before the app was called
	beforeFlush func() error // if not nil, called before the outer writer is flushed

	state state
}

// decide decides by the status whether the answer is sent or dropped.
func (g *gate) decide(status int) {
	if g.state != undecided {
		return
	}
	g.state = passing
	if slices.Contains(g.catch, status) {
		g.state = caught
		header := g.ResponseWriter.Header()
		clear(header)
		maps.Copy(header, g.before)
	}
}

// pass decides about the answer, with the status 200 unless the app has set one, and reports
// whether it is sent.
func (g *gate) pass() bool {
	g.decide(http.StatusOK)
	return g.state == passing
}

// Header returns the outer header, or an unused one if the answer is dropped.
func (g *gate) Header() http.Header {
	if g.state == caught {
		return http.Header{}
	}
	return g.ResponseWriter.Header()
}

// WriteHeader decides about the answer. An informational response (100 to 199) before the decision
// is dropped, since the answer may be dropped, too.
func (g *gate) WriteHeader(status int) {
	if g.state == undecided && status >= 100 && status < 200 &&
		status != http.StatusSwitchingProtocols {
		return
	}
	g.decide(status)
	if g.state == passing {
		g.ResponseWriter.WriteHeader(status)
	}
}

// Write sends p or drops it.
func (g *gate) Write(p []byte) (int, error) {
	if !g.pass() {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// WriteString sends s or drops it.
func (g *gate) WriteString(s string) (int, error) {
	if !g.pass() {
		return len(s), nil
	}
	return io.WriteString(g.ResponseWriter, s)
}

// ReadFrom lets the server use sendfile, or reads src to its end if the answer is dropped.
func (g *gate) ReadFrom(src io.Reader) (int64, error) {
	if !g.pass() {
		return io.Copy(io.Discard, src)
	}
	return io.Copy(g.ResponseWriter, src)
}

// Flush is FlushError without the error.
func (g *gate) Flush() { _ = g.FlushError() }

// FlushError flushes the outer writer, unless the answer is dropped.
func (g *gate) FlushError() error {
	if !g.pass() {
		return nil
	}
	if g.beforeFlush != nil {
		if err := g.beforeFlush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// Hijack takes over the connection, unless the answer is dropped.
func (g *gate) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !g.pass() {
		return nil, nil, fmt.Errorf("hijack: the answer is dropped, and the next app is called: %w",
			http.ErrNotSupported)
	}
	if g.beforeFlush != nil {
		if err := g.beforeFlush(); err != nil {
			return nil, nil, err
		}
	}
	return http.NewResponseController(g.ResponseWriter).Hijack()
}

// Unwrap implements the interface by which [http.ResponseController] sets deadlines.
func (g *gate) Unwrap() http.ResponseWriter { return g.ResponseWriter }
