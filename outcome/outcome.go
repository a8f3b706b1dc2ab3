package outcome

import (
	"context"
	"maps"
	"net/http"
	"sync"

	"github.com/pasteline/pasteline/internal/sent"
)

// A HandlerFunc is a handler that says how it ended. A nil error means that it wrote its response as usual.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP calls f and records its error as the outcome of the attempt. If no filter has made a [Slot] for that, it answers
// the error itself with [Respond], with the header as it was before f, and logs it where net/http logs panics, the
// server's ErrorLog, unless the fault is the client's.
func (f HandlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if slot, ok := FromContext(r.Context()); ok {
		slot.Fail(f(w, r))
		return
	}
	noted, ok := w.(*sent.Writer)
	if !ok {
		noted = &sent.Writer{ResponseWriter: w}
	}
	before := w.Header().Clone()
	err := f(noted, r)
	if err == nil {
		return
	}
	logToServer(r, noted, err)
	if noted.Hijacked { // the connection is f's, or that of a goroutine which f has started
		return
	}
	if !noted.Begun() {
		header := w.Header()
		clear(header)
		maps.Copy(header, before)
	}
	Respond(noted, r, err)
}

// A Slot holds the outcome of one attempt at a request. It is safe for concurrent use by multiple goroutines.
type Slot struct {
	outer *Slot // of which this is a part; nil: of none

	mu   sync.Mutex // guards the rest; taken before that of outer
	err  error
	kept bool
	shut bool
}

// A Context is a context that carries a slot of its own. It is a type so that a struct may have it as a field, and cost one
// allocation instead of three; set Context.Context, the parent, before use.
type Context struct {
	context.Context
	Slot Slot
}

type slotKey struct{}

// Value returns the slot, or what the parent has.
func (c *Context) Value(key any) any {
	if key == (slotKey{}) {
		return &c.Slot
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *Context) String() string { return "outcome.Context" }

// NewContext returns a context that carries a new, empty slot, and the slot. The outermost filter that will answer for a
// failed attempt makes one for each attempt.
func NewContext(ctx context.Context) (context.Context, *Slot) {
	c := &Context{Context: ctx}
	return c, &c.Slot
}

// FromContext returns the slot that ctx carries, and whether there is one.
func FromContext(ctx context.Context) (*Slot, bool) {
	slot, ok := ctx.Value(slotKey{}).(*Slot)
	return slot, ok
}

// Fail records err in the slot that ctx carries, as [Slot.Fail] does. It reports whether there is one, that is whether
// somebody will answer for the failure.
func Fail(ctx context.Context, err error) bool {
	slot, ok := FromContext(ctx)
	if ok {
		slot.Fail(err)
	}
	return ok
}

// Part makes s, which is new, the part of outer that a filter gives to the handlers behind it: all goes on to outer, until s is Shut.
func (s *Slot) Part(outer *Slot) { s.outer = outer }

// Shut ends the part of its outer slot that s is: the handlers have returned, and how the attempt ended is not for one of their
// goroutines to say that is left over, as by [http.TimeoutHandler]. What it fails with from then on is not recorded.
func (s *Slot) Shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
}

// Fail records that the attempt failed with err. The first error stays, since the later ones usually follow from it;
// a nil error records nothing.
func (s *Slot) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut:
	case s.outer != nil:
		s.outer.Fail(err)
	case s.err == nil:
		s.err = err
	}
}

// Amend replaces the recorded error by f of it, if there is one. So a filter that knows more about an error than its
// tree says can add that, for instance that it is transient.
func (s *Slot) Amend(f func(error) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.shut:
	case s.outer != nil:
		s.outer.Amend(f)
	case s.err != nil:
		s.err = f(s.err)
	}
}

// Err returns the recorded error, nil if the attempt has not failed (so far).
func (s *Slot) Err() error {
	if s.outer != nil {
		return s.outer.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Keep says that work of the attempt was committed.
func (s *Slot) Keep() {
	if s.outer != nil {
		s.outer.Keep()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = true
}

// Kept reports whether work of the attempt was committed: it must not be done once more, whatever has failed afterwards.
func (s *Slot) Kept() bool {
	if s.outer != nil {
		return s.outer.Kept()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}
