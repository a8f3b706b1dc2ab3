// Package inflight keeps a list of the requests that are running, so that a shutdown or reload that
// waits for them can log which ones.
//
//	var running inflight.Set
//	…
//	var request inflight.Request
//	running.Begin(&request, r)
//	defer running.End(&request)
//	…
//	logger.Warn("waiting for requests", running.Attrs()...)
//
// # Caveats
//
// Queries and header fields may be secret, so only the method, the path and a requested protocol
// upgrade are kept of a request. A Set is safe for concurrent use; its zero value is empty.
package inflight

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// A Request is an element of a Set. It must not be copied while it is in one.
type Request struct {
	method, path   string
	upgrade        string
	began          time.Time
	before, behind *Request
}

// A Set is a list of running requests, the oldest first.
type Set struct {
	mu          sync.Mutex // guards the rest, and the links of the requests
	first, last *Request
	count       int
}

// Begin adds a request with the method and path that r has now.
func (s *Set) Begin(request *Request, r *http.Request) {
	request.method, request.path, request.upgrade = r.Method, r.URL.Path, ""
	request.began = time.Now()
	if r.Method == http.MethodConnect {
		request.upgrade = http.MethodConnect
	} else if lines := r.Header["Upgrade"]; len(lines) > 0 {
		request.upgrade = lines[0]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count++; s.last == nil {
		s.first = request
	} else {
		s.last.behind, request.before = request, s.last
	}
	s.last = request
}

// End removes a request.
func (s *Set) End(request *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count--
	if request.before == nil {
		s.first = request.behind
	} else {
		request.before.behind = request.behind
	}
	if request.behind == nil {
		s.last = request.before
	} else {
		request.behind.before = request.before
	}
	request.before, request.behind = nil, nil
}

// Len returns the number of running requests.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// The limits of Attrs: the number of named requests, and the length of a path in bytes.
const (
	most    = 5
	longest = 100
)

// Attrs returns the number of running requests and a description of the oldest ones, as attributes
// of a log record.
func (s *Set) Attrs() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest []string
	for request := s.first; request != nil && len(oldest) < most; request = request.behind {
		path := request.path
		if len(path) > longest {
			path = path[:longest] + "…"
		}
		text := fmt.Sprintf("%s %q for %s", request.method, path,
			time.Since(request.began).Round(time.Second))
		if request.upgrade != "" {
			text += fmt.Sprintf(" (asked for %.20q)", request.upgrade)
		}
		oldest = append(oldest, text)
	}
	return []any{slog.Int("requests", s.count), slog.Any("oldest", oldest)}
}
