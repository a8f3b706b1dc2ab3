package browserid

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/visitor"
)

// An ID identifies one browser. It is an opaque string of printable characters, unique to the
// browser, and the same for as long as the browser keeps its cookie.
//
// An ID is a credential: it gives access to the session of its browser. slog therefore logs only
// its first characters; use [ID.Short] for other output.
type ID string

// Short returns the first characters of the id: enough to distinguish browsers in a log, too few to
// forge a cookie.
func (id ID) Short() string {
	return string(id[:min(8, len(id)/2)]) + "…"
}

// LogValue implements [slog.LogValuer] with Short.
func (id ID) LogValue() slog.Value {
	return slog.StringValue(id.Short())
}

// New returns a filter that gives every request a browser id.
//
// The error is that of [Config.Validate]. The filter is safe for concurrent use and is not affected
// by later changes of c.
func New(c Config) (func(http.Handler) http.Handler, error) {
	f, err := c.filter()
	if err != nil {
		return nil, err
	}
	return f.wrap, nil
}

// FromContext returns the id of the browser that sent the request which ctx belongs to. If the
// transaction of ctx has renewed the session, it returns the new id. With the setting lazy, calling
// FromContext makes the filter send a cookie to a new browser.
//
// It returns false if no browserid filter stands in front of the handler. With the setting lazy, it
// also returns false if the first call for a new browser comes after the response header was sent:
// the cookie can't be sent any more, so data stored under the id would be lost.
//
// FromContext is safe for concurrent use.
func FromContext(ctx context.Context) (ID, bool) {
	id, ok := visitor.ID(ctx)
	return ID(id), ok
}

// A filter is a validated Config, prepared for requests. It is read-only while it serves.
type filter struct {
	name   string
	compat Compat
	lazy   bool
	vary   []variable
	own    *codec
	repoze *repozeCodec
	cookie cookieAttributes

	now    func() time.Time
	newID  func() ID
	makeID func(seed [visitor.SeedSize]byte) ID
}

func (f *filter) wrap(next http.Handler) http.Handler {
	if next, ok := next.(copier); ok {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.serveCopier(w, r, next)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, next) })
}

func (f *filter) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p := new(stateRequest)
	s := &p.state
	f.begin(s, w, r)
	p.request = *r.WithContext(s)
	defer formfiles.HandBack(r, &p.request)
	next.ServeHTTP(&s.writer, &p.request)
	// Not deferred, so that a handler that panics sends no cookie.
	s.writer.decide()
}

// A stateRequest holds the state and the request for the next handler in one struct, which avoids
// an allocation per request.
type stateRequest struct {
	state   state
	request http.Request // has the state as its context
}

func (f *filter) serveCopier(w http.ResponseWriter, r *http.Request, next copier) {
	s := new(state)
	f.begin(s, w, r)
	next.ServeCopy(s, &s.writer, r)
	s.writer.decide()
}

// A copier is a filter that always copies its request, as retry and tm do. It accepts the context
// of the copy as a separate argument, so that browserid need not copy the request, too.
type copier interface {
	// ServeCopy serves a copy of r with ctx, which must be derived from r's context. It does not
	// change r, and removes the temporary files of the copy's form.
	ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request)
}

// begin initializes s for a request.
func (f *filter) begin(s *state, w http.ResponseWriter, r *http.Request) {
	s.Context = visitor.Context{Context: r.Context(), Visitor: s}
	s.filter, s.request, s.values = f, r, varyValues(f.vary, r)
	s.writer = writer{ResponseWriter: w, state: s}
	if p, ok := f.read(r.Header["Cookie"], s.values); ok {
		s.id, s.issued, s.known, s.stale = p.id, p.issued, true, p.former || p.key > 0
	} else {
		s.id, s.stale = f.newID(), true
	}
}

// maxCandidates limits how many cookies are verified for one request, of those that have the
// filter's cookie name and the format of its values. A browser sends two or three if cookies of
// several paths or domains have the name; a header with thousands is an attack.
const maxCandidates = 512

// read returns the contents of the newest valid cookie in the Cookie headers. An older one, of
// another path or domain, may be left from an earlier configuration or planted by a neighbouring
// host. Cookies without a time of issue count as older than those with one; the first of them is
// used.
func (f *filter) read(lines, values []string) (newest proof, ok bool) {
	if f.compat == CompatRepoze {
		return f.readAsOriginal(lines, values)
	}
	candidates := 0
	for _, line := range lines {
		for candidates < maxCandidates {
			value, rest, found := cutCookie(line, f.name)
			if !found {
				break
			}
			line = rest
			var p proof
			var verified bool
			switch {
			case isCandidate(value):
				candidates++
				p, verified = f.own.verify(value, values)
			case f.compat == CompatRead && isRepozeCandidate(value):
				candidates++
				p.id, p.key, verified = f.repoze.verify(value, values)
				p.former = true
				verified = verified && isRepozeID(p.id)
			}
			if verified && (!ok || p.issued > newest.issued) {
				newest, ok = p, true
			}
		}
	}
	return newest, ok
}

// readAsOriginal reads the header as repoze.browserid does, which uses the last cookie with the
// name: the Python and the Go part of a site must agree on the id, and cookies of repoze.browserid
// have no time of issue.
func (f *filter) readAsOriginal(lines, values []string) (p proof, ok bool) {
	value, found := simpleCookie(lines, f.name)
	if !found {
		return p, false
	}
	if p.id, p.key, ok = f.repoze.verify(value, values); ok || !isCandidate(value) {
		return p, ok
	}
	p, ok = f.own.verify(value, values)
	p.former = true
	return p, ok
}

// setCookie returns the Set-Cookie header that gives id to the browser that sent r, bound to
// values. The new cookie is dated after the cookie in r, whose time of issue (before) may be ahead
// of this machine's clock, if another machine issued it.
func (f *filter) setCookie(r *http.Request, values []string, id ID, before int64) string {
	if f.compat == CompatRepoze {
		return f.cookie.repozeText(f.name, f.repoze.sign(id, values), r, f.now())
	}
	// Build the text on the stack, which allocates less than http.Cookie does.
	var memory [256]byte
	b := append(memory[:0], f.name...)
	b = append(b, '=')
	b = f.own.appendSigned(b, id, max(f.now().UnixMilli(), before+1), values)
	return string(f.cookie.appendTo(b, r, f.now()))
}

// randomID returns 192 random bits.
func randomID() ID { return makeID(randomSeed()) }

// randomRepozeID returns 160 random bits in the format of repoze.browserid's ids.
func randomRepozeID() ID { return makeRepozeID(randomSeed()) }

func randomSeed() (seed [visitor.SeedSize]byte) {
	_, _ = rand.Read(seed[:]) // never fails: it ends the program instead
	return seed
}

// makeID returns the first 192 bits of seed in base64url.
func makeID(seed [visitor.SeedSize]byte) ID {
	return ID(base64.RawURLEncoding.EncodeToString(seed[:24]))
}

// makeRepozeID returns the first 160 bits of seed in the format of repoze.browserid's ids, which
// are hashes of the clock, the process id and an eight-digit number.
func makeRepozeID(seed [visitor.SeedSize]byte) ID {
	return ID(hex.EncodeToString(seed[:20]))
}
