package browserid

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/internal/form"
	"github.com/pasteline/pasteline/internal/visitor"
)

// An ID names one browser. It is an opaque string of printable characters, different for every browser that was given
// one, and the same for as long as the browser keeps its cookie.
//
// An ID is a credential of sorts: it says whose session is meant. So slog writes only its beginning; use [ID.Short]
// wherever a person shall see it.
type ID string

// Short returns the first characters of the id: enough to tell browsers apart in a log, too few to be of other use.
func (id ID) Short() string {
	return string(id[:min(8, len(id)/2)]) + "…"
}

// LogValue implements [slog.LogValuer] with Short.
func (id ID) LogValue() slog.Value {
	return slog.StringValue(id.Short())
}

// New returns a filter that gives every request a browser id.
//
// It fails with all that is wrong with c, joined; see [Config.Validate]. The filter is safe for concurrent use, and is
// not changed by later changes of c.
func New(c Config) (func(http.Handler) http.Handler, error) {
	f, err := c.filter()
	if err != nil {
		return nil, err
	}
	return f.wrap, nil
}

// FromContext returns the id of the browser that sent the request which ctx belongs to. If the transaction of ctx has
// renewed the session, that is the new id.
// With the setting lazy, asking is what makes the filter send a cookie to a new browser.
//
// It reports false when there is no browserid filter around the handler, and when a new browser's id is asked for the
// first time after the response header has been sent: a lazy filter has not told the browser its id then and no longer
// can, so that whatever is kept under the id would be lost.
//
// FromContext is safe for concurrent use.
func FromContext(ctx context.Context) (ID, bool) {
	id, ok := visitor.ID(ctx)
	return ID(id), ok
}

// A filter is a checked Config, made ready for requests. It is read-only while it serves.
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

//nolint:contextcheck // a visit is the request's context, in an envelope
func (f *filter) wrap(next http.Handler) http.Handler {
	if next, ok := next.(copier); ok {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serveCopier(w, r, next) })
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, next) })
}

func (f *filter) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p := new(passed)
	v := &p.visit
	f.begin(v, w, r)
	p.request = *r.WithContext(v)
	defer form.HandBack(r, &p.request)
	next.ServeHTTP(&v.writer, &p.request)
	// Not deferred: a handler that panics sends no header of its own, so it sends no cookie either.
	v.writer.decide()
}

// passed is a visit with what is passed on: one struct, so that a request costs one allocation here.
type passed struct {
	visit   visit
	request http.Request // with the visit as its context
}

func (f *filter) serveCopier(w http.ResponseWriter, r *http.Request, next copier) {
	v := new(visit)
	f.begin(v, w, r)
	next.ServeCopy(v, &v.writer, r)
	v.writer.decide()
}

// A copier is a filter that passes on a copy of its request in any case, as retry and tm do, and so can be given the context of that
// copy apart from a request that it only reads: it spares a request the 304 bytes of our copy.
type copier interface {
	// ServeCopy serves a copy of r with ctx, which is made from r's context. It leaves r as it is, and removes the files of
	// the copy's form.
	ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request)
}

// begin begins a visit, which is new.
func (f *filter) begin(v *visit, w http.ResponseWriter, r *http.Request) {
	v.Context = visitor.Context{Context: r.Context(), Visitor: v}
	v.filter, v.request, v.values = f, r, varyValues(f.vary, r)
	v.writer = writer{ResponseWriter: w, visit: v}
	if p, ok := f.read(r.Header["Cookie"], v.values); ok {
		v.id, v.issued, v.known, v.stale = p.id, p.issued, true, p.former || p.key > 0
	} else {
		v.id, v.stale = f.newID(), true
	}
}

// maxCandidates bounds how many cookies are verified for one request: only those count that have our name and the form of a
// cookie of ours. A browser sends two or three when cookies of several paths or domains have the name, and no browser keeps as
// many of one site; a header with thousands is meant to keep us busy.
const maxCandidates = 512

// read returns what the Cookie headers prove. Of several cookies that verify the newest counts: an older one, of another path or
// domain, may be left from a former setting, or planted by a neighbouring host. Cookies that do not say when they were issued
// are older than those that do; of these the first counts.
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

// readAsOriginal reads the header as the original does, where the last cookie counts: as both halves of a site must see the
// same, and its cookies do not say when they were issued.
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

// setCookie returns the Set-Cookie header that gives id to the browser that sent r, with the values that it varies on. It is newer
// than the cookie that r came with, which was issued at a time of another machine's clock, perhaps.
func (f *filter) setCookie(r *http.Request, values []string, id ID, before int64) string {
	if f.compat == CompatRepoze {
		return f.cookie.repozeText(f.name, f.repoze.sign(id, values), r, f.now())
	}
	// In one piece on the stack: a new visitor costs a third less than with the strings of net/http's Cookie.
	var memory [256]byte
	b := append(memory[:0], f.name...)
	b = append(b, '=')
	b = f.own.appendSigned(b, id, max(f.now().UnixMilli(), before+1), values)
	return string(f.cookie.appendTo(b, r, f.now()))
}

// randomID returns 192 random bits.
func randomID() ID { return makeID(randomSeed()) }

// randomRepozeID returns 160 random bits in the form of the original's ids.
func randomRepozeID() ID { return makeRepozeID(randomSeed()) }

func randomSeed() (seed [visitor.SeedSize]byte) {
	_, _ = rand.Read(seed[:]) // never fails: it ends the program instead
	return seed
}

// makeID returns the first 192 bits of seed in our own form of ids.
func makeID(seed [visitor.SeedSize]byte) ID {
	return ID(base64.RawURLEncoding.EncodeToString(seed[:24]))
}

// makeRepozeID returns the first 160 bits of seed in the form of the original's ids. The original hashed the clock, the
// process id and a number of eight digits; only the form is kept.
func makeRepozeID(seed [visitor.SeedSize]byte) ID {
	return ID(hex.EncodeToString(seed[:20]))
}
