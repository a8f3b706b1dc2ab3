package server

import (
	"net/http"
	"sync"
	"time"
)

// A streamWriter resets an HTTP/2 stream from which the client reads nothing. The limit of the
// connection (see conn) does not cover that: each stream has a window of its own, which a client
// can leave full while the connection makes progress.
type streamWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	timer   *time.Timer // nil before the first write

	mu       sync.Mutex // guards the rest
	waiting  bool       // a write is under way
	deadline time.Time  // set by the handler; zero means none
}

func newStreamWriter(w http.ResponseWriter, timeout time.Duration) *streamWriter {
	return &streamWriter{
		ResponseWriter: w, control: http.NewResponseController(w),
		timeout: timeout,
	}
}

// Write writes p, piece by piece.
func (s *streamWriter) Write(p []byte) (n int, err error) {
	for {
		s.wait()
		m, err := s.ResponseWriter.Write(p[n:min(len(p), n+pieceSize)])
		s.done()
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// FlushError sends the buffered data.
func (s *streamWriter) FlushError() error {
	s.wait()
	defer s.done()
	return s.control.Flush()
}

// Flush is FlushError without the error.
func (s *streamWriter) Flush() { _ = s.FlushError() }

// SetWriteDeadline sets a deadline for all further data, in addition to the limit for each piece.
func (s *streamWriter) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return s.control.SetWriteDeadline(t)
}

// Unwrap supports [http.ResponseController].
func (s *streamWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// wait starts the time limit for a piece. A deadline of the stream would be simpler, but costs two
// messages to the connection's goroutine for each piece.
func (s *streamWriter) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = true
	if s.timer == nil {
		s.timer = time.AfterFunc(s.timeout, s.giveUp)
	} else {
		s.timer.Reset(s.timeout)
	}
}

// done stops the time limit, and waits for giveUp if it is just running: the stream belongs to
// net/http after the handler has returned.
func (s *streamWriter) done() {
	s.timer.Stop()
	s.mu.Lock()
	s.waiting = false
	s.mu.Unlock()
}

// giveUp ends the stream with a deadline in the past.
func (s *streamWriter) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting {
		// fails harmlessly if the stream has ended
		_ = s.control.SetWriteDeadline(time.Now().Add(-time.Second))
	}
}

// finish limits the time to send the data that the handler left when it returned.
func (s *streamWriter) finish() {
	last := time.Now().Add(s.timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline.IsZero() || last.Before(s.deadline) {
		_ = s.control.SetWriteDeadline(last) // as above
	}
}
