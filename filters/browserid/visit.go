package browserid

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/transaction"
)

// A visit is what the filter knows of one request: it is the context in which it is found, and decides, when the response
// header is about to leave, whether a cookie goes with it.
type visit struct {
	context.Context // the request's, as it came in
	filter          *filter
	request         *http.Request // as it came in
	values          []string      // what the id varies on, before an inner filter changes a header
	writer          writer

	mu      sync.Mutex // guards what follows: a handler may ask from several goroutines
	id      ID
	known   bool // the browser has a cookie for id
	stale   bool // it needs a new one: it has none, or one of an old secret or of the other format
	asked   bool // the app knows id
	sealed  bool // the header has left: nothing can be told to the browser any more
	pending bool // a transaction has, or had, a renewal that waits for its commit

	decided bool // the writer has called seal; it is for one goroutine, as a response is
}

type visitKey struct{}

// Value returns the visit, or what the request's context has.
func (v *visit) Value(key any) any {
	if key == (visitKey{}) {
		return v
	}
	return v.Context.Value(key)
}

// String is what fmt prints for a context: not the id.
func (v *visit) String() string { return "browserid" }

// ask returns the id as seen from ctx and remembers that the app knows it.
func (v *visit) ask(ctx context.Context) (ID, bool) {
	v.mu.Lock()
	id, pending := v.id, v.pending
	lost := v.filter.lazy && !v.known && v.sealed && !v.asked
	v.asked = v.asked || !lost
	v.mu.Unlock()
	if lost {
		return "", false
	}
	if pending {
		if renewed, ok := v.renewedIn(ctx); ok {
			return renewed, true
		}
	}
	return id, true
}

// adopt makes id the browser's id from now on.
func (v *visit) adopt(id ID) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sealed {
		return ErrHeaderSent
	}
	v.id, v.known, v.stale, v.asked = id, false, true, true
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
	h["Set-Cookie"] = append(h["Set-Cookie"], v.filter.setCookie(v.request, v.values, v.id))
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

type renewalKey struct{ *visit }

// renewedIn returns the id that the transaction of ctx gave the browser, unless that came to nothing.
func (v *visit) renewedIn(ctx context.Context) (ID, bool) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return "", false
	}
	switch t.Status() {
	case transaction.Aborted, transaction.CommitFailed:
		return "", false
	}
	id, ok := t.Data(renewalKey{v}).(ID)
	return id, ok
}
