package browserid

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/internal/visitor"
)

// ErrHeaderSent is returned when a session's id is renewed after the response header has been sent, so that the browser can't be
// told of the new one.
var ErrHeaderSent = errors.New("browserid: the response header has been sent: renew the session before the first write or flush")

// A visit is what the filter knows of one request: it is the context in which it is found, and decides, when the response
// header is about to leave, whether a cookie goes with it.
type visit struct {
	visitor.Context // the request's, as it came in, with the visit as its visitor
	filter          *filter
	request         *http.Request // as it came in
	values          []string      // what the id varies on, before an inner filter changes a header
	writer          writer

	mu     sync.Mutex // guards what follows: a handler may ask from several goroutines
	id     ID
	issued int64 // when the cookie of the request was issued, in milliseconds since 1970; 0 if it has none, or does not say
	known  bool  // the browser has a cookie for id
	stale  bool  // it needs a new one: it has none, or one of an old secret or of the other format
	asked  bool  // the app knows id
	sealed bool  // the header has left: nothing can be told to the browser any more

	decided bool // the writer has called seal; it is for one goroutine, as a response is
}

// String is what fmt prints for a context: not the id.
func (v *visit) String() string { return "browserid" }

// ID implements [visitor.Visitor]; it remembers that the app knows the id.
func (v *visit) ID() (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.filter.lazy && !v.known && v.sealed && !v.asked {
		return "", false
	}
	v.asked = true
	return string(v.id), true
}

// MakeID implements [visitor.Visitor].
func (v *visit) MakeID(seed [visitor.SeedSize]byte) string { return string(v.filter.makeID(seed)) }

// CanTell implements [visitor.Visitor].
func (v *visit) CanTell() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed {
		return ErrHeaderSent
	}
	return nil
}

// Tell implements [visitor.Visitor]: a cookie for id goes with the response.
func (v *visit) Tell(id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed {
		return ErrHeaderSent
	}
	v.id, v.known, v.stale, v.asked = ID(id), false, true, true
	return nil
}

// seal is called when the response header is about to leave, and adds the cookie if one is due.
func (v *visit) seal(h http.Header) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed {
		return
	}
	v.sealed = true
	if !v.stale || v.filter.lazy && !v.asked {
		return
	}
	h["Set-Cookie"] = append(h["Set-Cookie"], v.filter.setCookie(v.request, v.values, v.id, v.issued))
	if !keptFromSharedCaches(h) {
		h["Cache-Control"] = append(h["Cache-Control"], "private")
	}
}

// keptFromSharedCaches reports whether h already forbids what must not happen: that a shared cache keeps a response
// with a Set-Cookie and gives the same browser id to everybody. (Where directives disagree, as in "public, private",
// RFC 9111 lets the stricter one win; so the app's own header is left as it is.)
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

var _ visitor.Visitor = (*visit)(nil)
