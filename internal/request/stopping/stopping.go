// Package stopping tells handlers that stream that their server has begun to shut down, as it waits
// for them.
//
//	var servers stopping.Servers
//	…
//	select {
//	case <-servers.Done(r):
//		return
//	case <-tick.C:
//	}
package stopping

import (
	"net/http"
	"sync"
)

// Servers are the servers whose requests were asked about. The zero Servers has none. It is safe for
// concurrent use by multiple goroutines.
type Servers struct{ done sync.Map } // *http.Server to a func() <-chan struct{}

// Done returns a channel that is closed when the server of r shuts down; nil if the server is not
// net/http's.
func (s *Servers) Done(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	// A server never forgets a registered function, so it gets one, not one per stream.
	once, _ := s.done.LoadOrStore(server, sync.OnceValue(func() <-chan struct{} {
		done := make(chan struct{})
		server.RegisterOnShutdown(func() { close(done) })
		return done
	}))
	return once.(func() <-chan struct{})() //nolint:errcheck // no other type is stored
}
