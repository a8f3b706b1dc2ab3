package server

import (
	"net"
	"net/http"
	"time"
)

// CheckCertificateEvery sets how often the files of the certificate are looked at. Call it before
// Serve.
func (s *Server) CheckCertificateEvery(d time.Duration) { s.files.every = d }

// NewGrace sets how long connections on which nothing has come are kept by Shutdown. Call it
// before that.
func (s *Server) NewGrace(d time.Duration) { s.newGrace = d }

// Patience sets how long Shutdown waits without a word. Call it before that.
func (s *Server) Patience(d time.Duration) { s.patience = d }

// ParseAddress reports what listen makes of a word: the kind of address, host, port and path.
func ParseAddress(word string) (kind int, host, port, path string, err error) {
	a, err := parseAddress(word)
	return int(a.kind), a.host, a.port, a.path, err
}

// Translated is h behind what makes of requests what visitors have sent.
func (s *Server) Translated(h http.Handler) http.Handler { return s.translated(h) }

// Translate makes of a request what the visitor has sent.
func (s *Server) Translate(r *http.Request) (*http.Request, error) { return s.visitor.translate(r) }

// NewConn returns c as the connections of a server are, whose every piece written has to be taken
// within writeTimeout.
func NewConn(c net.Conn, writeTimeout time.Duration) net.Conn {
	return wrapConn(c, writeTimeout, func() {})
}

// ServeListener serves h at a listener that Listen has not opened, until that is closed.
func (s *Server) ServeListener(l net.Listener, h http.Handler) error {
	s.http.Handler = s.watch(s.translated(h))
	return s.http.Serve(newListener(l, s.config.WriteTimeout, nil))
}
