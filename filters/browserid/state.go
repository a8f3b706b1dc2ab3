package browserid

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/internal/visitor"
)

// ErrHeaderSent is returned when a session's id is renewed after the response header was sent, so
// that no cookie with the new id can be sent.
var ErrHeaderSent = errors.New("browserid: the response header has been sent: " +
	"renew the session before the first write or flush")

// A state is the filter's state of one request. It is the context of the handler's request, so that
// FromContext finds it. When the response header is about to be sent, it adds a cookie if one is
// needed.
type state struct {
	visitor.Context // the context of the incoming request, with the state as its visitor
	filter          *filter
	request         *http.Request // the incoming request
	// the values that the id varies on, read before an inner filter changes a header
	values []string
	writer writer

	mu sync.Mutex // guards the following fields: a handler may call from several goroutines
	id ID
	// time of issue of the request's cookie, in milliseconds since 1970; 0 if none or unknown
	issued     int64
	known      bool // the browser has a cookie for id
	stale      bool // a new cookie is needed: none, old secret or other format
	requested  bool // the app has read id
	headerSent bool // the header was sent, or is about to be: no cookie can be added any more

	decided bool // the writer has called finish; used by the writer's goroutine only
}

// String is used by fmt to print the context. It does not reveal the id.
func (s *state) String() string { return "browserid" }

// ID implements [visitor.Visitor]. It records that the app has read the id.
func (s *state) ID() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filter.lazy && !s.known && s.headerSent && !s.requested {
		return "", false
	}
	s.requested = true
	return string(s.id), true
}

// MakeID implements [visitor.Visitor].
func (s *state) MakeID(seed [visitor.SeedSize]byte) string { return string(s.filter.makeID(seed)) }

// CanSetID implements [visitor.Visitor].
func (s *state) CanSetID() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headerSent {
		return ErrHeaderSent
	}
	return nil
}

// SetID implements [visitor.Visitor]: a cookie for id will be added to the response.
func (s *state) SetID(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headerSent {
		return ErrHeaderSent
	}
	s.id, s.known, s.stale, s.requested = ID(id), false, true, true
	return nil
}

// finish must be called when the response header is about to be sent. It adds the cookie if one is
// needed.
func (s *state) finish(h http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headerSent {
		return
	}
	s.headerSent = true
	if !s.stale || s.filter.lazy && !s.requested {
		return
	}
	cookie := s.filter.setCookie(s.request, s.values, s.id, s.issued)
	h["Set-Cookie"] = append(h["Set-Cookie"], cookie)
	if !keptFromSharedCaches(h) {
		h["Cache-Control"] = append(h["Cache-Control"], "private")
	}
}

// keptFromSharedCaches reports whether h already forbids shared caches to store the response: a
// cache could give the Set-Cookie header, and so the same id, to many browsers. If directives
// contradict each other, as in "public, private", the stricter one applies by RFC 9111, so the
// app's own header need not be changed.
func keptFromSharedCaches(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(strings.TrimSpace(directive)) {
			case "private", "no-store":
				return true
			}
		}
	}
	return false
}

var _ visitor.Visitor = (*state)(nil)
