// Package inflight knows which requests run, so that what waits for their end can say which ones those are.
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
// Of a request no more is kept than its method, its path without the query, and whether it asks for another protocol: queries and
// header fields may be secret. A Set is safe for concurrent use; its zero value is empty.
package inflight

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// A Request is one that runs. It is a field of what there is for each request anyway, and must not be copied while it runs.
type Request struct {
	method, path   string
	upgrade        string
	began          time.Time
	before, behind *Request
}

// A Set has the requests that run, the oldest first.
type Set struct {
	mu          sync.Mutex // guards the rest, and what connects requests
	first, last *Request
	count       int
}

// Begin adds a request that is r's, whose method and path may be changed later.
func (s *Set) Begin(request *Request, r *http.Request) {
	request.method, request.path, request.upgrade, request.began = r.Method, r.URL.Path, "", time.Now()
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

// End takes out a request.
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

// Len returns how many requests run.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// most is how many requests are named.
const (
	most    = 5
	longest = 100 // of a path, in bytes
)

// Attrs returns how many requests run, and which are the oldest of them, for a line of a log.
func (s *Set) Attrs() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest []string
	for request := s.first; request != nil && len(oldest) < most; request = request.behind {
		path := request.path
		if len(path) > longest {
			path = path[:longest] + "…"
		}
		text := fmt.Sprintf("%s %q for %s", request.method, path, time.Since(request.began).Round(time.Second))
		if request.upgrade != "" {
			text += fmt.Sprintf(" (asked for %.20q)", request.upgrade)
		}
		oldest = append(oldest, text)
	}
	return []any{slog.Int("requests", s.count), slog.Any("oldest", oldest)}
}
