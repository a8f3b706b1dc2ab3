package inspector

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/observe"
)

// A Request is the record of a request. Times are in milliseconds.
type Request struct {
	Number   uint64          `json:"number"` // in the order in which requests began, from 1
	ID       string          `json:"id"`
	Method   string          `json:"method"`
	Path     string          `json:"path"` // without the query
	App      string          `json:"app,omitempty"`
	Route    string          `json:"route,omitempty"`
	Start    time.Time       `json:"start"`
	Running  bool            `json:"running,omitempty"`
	Millis   float64         `json:"ms"`
	Status   int             `json:"status,omitempty"`
	Bytes    int64           `json:"bytes"`
	Panicked bool            `json:"panicked,omitempty"`
	Released bool            `json:"released,omitempty"` // the response left before its handler returned
	Spooled  int             `json:"spooled,omitempty"`  // bodies that went to a temporary file
	Outcome  observe.Outcome `json:"outcome,omitempty"`
	Err      string          `json:"error,omitempty"`
	Attempts []Attempt       `json:"attempts,omitempty"`
	More     int             `json:"more_attempts,omitempty"` // that are not recorded
}

// An Attempt is a part of a [Request]. At and CommitAt are counted from the begin of the request.
type Attempt struct {
	Number       int             `json:"number"`
	Tries        int             `json:"tries"`
	At           float64         `json:"at"`
	Running      bool            `json:"running,omitempty"`
	Millis       float64         `json:"ms"`
	CommitAt     float64         `json:"commit_at,omitempty"`
	CommitMillis float64         `json:"commit_ms,omitempty"`
	Commits      int             `json:"commits,omitempty"` // more than one in a stream
	Outcome      observe.Outcome `json:"outcome,omitempty"`
	Status       int             `json:"status,omitempty"`
	Err          string          `json:"error,omitempty"`
	Again        bool            `json:"again,omitempty"` // another attempt followed
	Conflict     *Conflict       `json:"conflict,omitempty"`
	Queue        *Queue          `json:"queue,omitempty"` // the wait before the attempt
	Managers     []string        `json:"managers,omitempty"`
	Keys         []Key           `json:"keys,omitempty"`
	MoreKeys     int             `json:"more_keys,omitempty"` // uses of keys that are not recorded
	Statements   []Statement     `json:"statements,omitempty"`
	MoreSQL      int             `json:"more_statements,omitempty"`
	Group        int             `json:"group,omitempty"` // commits that shared the write to the disk
	WriteMillis  float64         `json:"write_ms,omitempty"`
	Sessions     []string        `json:"sessions,omitempty"`
}

// A Conflict is the reason why an attempt was lost.
type Conflict struct {
	DB     string `json:"db"`
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key,omitempty"`
	With   string `json:"with,omitempty"` // the id of the request that won, or the name of a job
}

// A Queue is a wait for a contended key.
type Queue struct {
	Bucket  string  `json:"bucket,omitempty"`
	Key     string  `json:"key,omitempty"`
	Ahead   int     `json:"ahead"`
	Granted bool    `json:"granted"`
	Millis  float64 `json:"ms"`
}

// A Key is a key, or range of keys, that an attempt has used.
type Key struct {
	DB     string            `json:"db"`
	Bucket string            `json:"bucket"`
	Key    string            `json:"key"`
	Op     observe.Operation `json:"op"`
	Count  int               `json:"count"`
	Bytes  int               `json:"bytes"` // of the last value
}

// A Statement is an SQL statement without its arguments.
type Statement struct {
	DB     string  `json:"db"`
	SQL    string  `json:"sql"`
	Millis float64 `json:"ms"`
	Err    string  `json:"error,omitempty"`
}

// Limits of one record, so that no request can fill the memory.
const (
	maxAttempts   = 16
	maxKeys       = 24 // of one attempt
	maxStatements = 24
	maxManagers   = 8
	maxText       = 300 // bytes of a path, an error or a statement
)

// A record is the record of a request that may be running.
type record struct {
	seen  *observe.Request
	hide  func(string) string
	texts *texts

	mu    sync.Mutex // guards the rest
	own   bool       // a request for the inspector
	data  Request
	queue *Queue // of the next attempt
	ended uint64 // in the order in which requests ended; 0: running
	size  int    // of data, about
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// since returns the time from the begin of the request until t.
func (r *record) since(t time.Time) float64 { return millis(t.Sub(r.data.Start)) }

// text returns a text of the record: short, and without secrets.
func (r *record) text(s string) string {
	s = r.hide(redact.Text(s))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// common is text for one that many requests have, such as a statement or the name of a manager.
func (r *record) common(s string) string { return r.texts.get(s, r.text) }

// mostTexts is how many texts are remembered, and longestText how long each may be, in bytes.
const (
	mostTexts   = 1000
	longestText = 4 << 10
)

// texts remembers common texts as they are shown, since the search for secrets in them takes long.
// The zero texts is empty.
type texts struct {
	mu    sync.Mutex // guards shown
	shown map[string]string
}

// get returns s as show returns it.
func (t *texts) get(s string, show func(string) string) string {
	t.mu.Lock()
	shown, ok := t.shown[s]
	t.mu.Unlock()
	if ok {
		return shown
	}
	shown = show(s)
	if len(s) <= longestText {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.shown == nil || len(t.shown) >= mostTexts {
			t.shown = map[string]string{}
		}
		t.shown[s] = shown
	}
	return shown
}

func (r *record) errorText(err error) string {
	if err == nil {
		return ""
	}
	return r.text(err.Error())
}

// attempt returns the attempt that runs, or ran last, or nil.
func (r *record) attempt() *Attempt {
	if len(r.data.Attempts) == 0 {
		return nil
	}
	return &r.data.Attempts[len(r.data.Attempts)-1]
}

// change calls f with the attempt that runs, if there is one.
func (r *record) change(f func(a *Attempt)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempt(); a != nil && r.data.More == 0 {
		f(a)
	}
}

// copy returns the record as it is now. The result is the caller's.
func (r *record) copy(now time.Time) Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.data
	c.Attempts = slices.Clone(c.Attempts)
	for i := range c.Attempts {
		a := &c.Attempts[i]
		a.Keys, a.Statements = slices.Clone(a.Keys), slices.Clone(a.Statements)
		a.Managers, a.Sessions = slices.Clone(a.Managers), slices.Clone(a.Sessions)
		if a.Running {
			a.Millis = r.since(now) - a.At
		}
	}
	if c.Running {
		s := r.seen.Summary()
		c.App, c.Route, c.Millis = s.App, s.Route, r.since(now)
	}
	return c
}

// A listener records the requests of one pipeline.
type listener struct {
	state *state
	hide  func(string) string // removes the secrets of the files from a text
	texts texts               // as hide leaves them
}

var (
	_ observe.AttemptListener     = (*listener)(nil)
	_ observe.TransactionListener = (*listener)(nil)
	_ observe.AccessListener      = (*listener)(nil)
	_ observe.StorageListener     = (*listener)(nil)
	_ observe.StatementListener   = (*listener)(nil)
	_ observe.ResponseListener    = (*listener)(nil)
	_ observe.SessionListener     = (*listener)(nil)
)

// find returns the record of the request of ctx, or nil: for jobs there is none.
func (l *listener) find(ctx context.Context) *record {
	r, _ := ctx.Value(l).(*record)
	return r
}

// RequestStart implements [observe.RequestListener].
func (l *listener) RequestStart(ctx context.Context, f observe.RequestStart) context.Context {
	r := &record{seen: observe.FromContext(ctx), hide: l.hide, texts: &l.texts}
	r.data = Request{ID: f.ID, Method: f.Method, Start: f.Time, Running: true}
	r.data.Path = r.text(f.Path)
	l.state.begin(r)
	return context.WithValue(ctx, l, r)
}

// RequestEnd implements [observe.RequestListener].
func (l *listener) RequestEnd(ctx context.Context, f observe.RequestEnd) {
	r := l.find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	d := &r.data
	d.Running, d.Millis = false, millis(f.Duration)
	d.Status, d.Bytes, d.Panicked = f.Status, f.Bytes, f.Panicked
	d.App, d.Route, d.Outcome, d.Err = f.App, r.common(f.Route), f.Outcome, r.errorText(f.Err)
	r.size = d.size()
	r.mu.Unlock()
	l.state.end(r)
}

// AttemptStart implements [observe.AttemptListener].
func (l *listener) AttemptStart(ctx context.Context, f observe.AttemptStart) context.Context {
	if r := l.find(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.data.Attempts) == maxAttempts {
			r.data.More++
			return ctx
		}
		r.data.Attempts = append(r.data.Attempts, Attempt{
			Number: f.Number, Tries: f.Tries, At: r.since(f.Time), Running: true, Queue: r.queue,
		})
		r.queue = nil
	}
	return ctx
}

// AttemptEnd implements [observe.AttemptListener].
func (l *listener) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	r := l.find(ctx)
	if r == nil {
		return
	}
	var used []Key
	var conflict *Conflict
	r.mu.Lock()
	own := r.own
	if a := r.attempt(); a != nil && a.Running && a.Number == f.Number {
		a.Running, a.Millis = false, millis(f.Duration)
		a.Outcome, a.Status, a.Again, a.Err = f.Outcome, f.Status, f.Again, r.errorText(f.Err)
		if f.Outcome != observe.Conflicted { // a conflict that a savepoint or a job of it met
			a.Conflict = nil
		}
		used, conflict = slices.Clone(a.Keys), a.Conflict
	}
	r.mu.Unlock()
	if !own {
		l.state.attempted(f.Outcome, used, conflict)
	}
}

// Joined implements [observe.TransactionListener].
func (l *listener) Joined(ctx context.Context, f observe.Join) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if len(a.Managers) < maxManagers {
				a.Managers = append(a.Managers, r.common(f.Manager))
			}
		})
	}
}

// CommitStart implements [observe.TransactionListener].
func (l *listener) CommitStart(ctx context.Context, f observe.CommitStart) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if a.Commits++; a.Commits == 1 {
				a.CommitAt = r.since(f.Time)
			}
		})
	}
}

// CommitEnd implements [observe.TransactionListener].
func (l *listener) CommitEnd(ctx context.Context, f observe.CommitEnd) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if a.Commits == 1 {
				a.CommitMillis = millis(f.Duration)
			}
		})
	}
}

// Decided implements [observe.TransactionListener].
func (l *listener) Decided(context.Context, observe.Decision) {}

// Accessed implements [observe.StorageListener].
func (l *listener) Accessed(ctx context.Context, f observe.Access) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) { a.used(f) })
	}
}

// used records the use of a key.
func (a *Attempt) used(f observe.Access) {
	for i := range a.Keys {
		k := &a.Keys[i]
		if k.Key == f.Key && k.Op == f.Operation && k.Bucket == f.Bucket && k.DB == f.DB {
			k.Count++
			k.Bytes = f.Bytes
			return
		}
	}
	if len(a.Keys) == maxKeys {
		a.MoreKeys++
		return
	}
	a.Keys = append(a.Keys, Key{
		DB: f.DB, Bucket: f.Bucket, Key: f.Key, Op: f.Operation, Count: 1, Bytes: f.Bytes,
	})
}

// Conflicted implements [observe.StorageListener].
func (l *listener) Conflicted(ctx context.Context, f observe.Conflict) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			a.Conflict = &Conflict{DB: f.DB, Bucket: f.Bucket, Key: f.Key, With: f.With}
		})
	}
}

// Queued implements [observe.StorageListener].
func (l *listener) Queued(ctx context.Context, f observe.Queue) {
	r := l.find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	r.queue = &Queue{
		Bucket: f.Bucket, Key: f.Key, Ahead: f.Ahead, Granted: f.Granted, Millis: millis(f.Duration),
	}
	own := r.own
	r.mu.Unlock()
	if !own {
		l.state.queued(f)
	}
}

// Grouped implements [observe.StorageListener].
func (l *listener) Grouped(ctx context.Context, f observe.Group) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) { a.Group, a.WriteMillis = f.Size, millis(f.Write) })
	}
}

// StatementEnd implements [observe.StatementListener].
func (l *listener) StatementEnd(ctx context.Context, f observe.Statement) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if len(a.Statements) == maxStatements {
				a.MoreSQL++
				return
			}
			a.Statements = append(a.Statements, Statement{
				DB: r.common(f.DB), SQL: r.common(f.SQL), Millis: millis(f.Duration), Err: r.errorText(f.Err),
			})
		})
	}
}

// Released implements [observe.ResponseListener].
func (l *listener) Released(ctx context.Context, _ observe.Release) {
	if r := l.find(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.data.Released = true
	}
}

// Spooled implements [observe.ResponseListener].
func (l *listener) Spooled(ctx context.Context, _ observe.Spool) {
	if r := l.find(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.data.Spooled++
	}
}

// SessionChanged implements [observe.SessionListener].
func (l *listener) SessionChanged(ctx context.Context, f observe.SessionChange) {
	if r := l.find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if len(a.Sessions) < maxManagers {
				a.Sessions = append(a.Sessions, string(f.Change)+" "+shortRef(f.Ref))
			}
		})
	}
	l.state.sessionChanged(f.Change)
}

// Swept implements [observe.SessionListener].
func (l *listener) Swept(context.Context, observe.Sweep) {}

// shortRef returns the first letters of a session's ref, which are enough to tell sessions apart.
func shortRef(ref string) string { return ref[:min(len(ref), 8)] }

// Sizes in bytes that the records are counted with, which include the headers of strings.
const (
	requestSize = 500
	attemptSize = 400
	keySize     = 150
)

// size returns the memory that d takes, about.
func (d *Request) size() int {
	n := requestSize + len(d.Path) + len(d.Route) + len(d.Err)
	for i := range d.Attempts {
		a := &d.Attempts[i]
		n += attemptSize + len(a.Err) + keySize*(len(a.Keys)+len(a.Managers)+len(a.Sessions))
		for _, s := range a.Statements {
			n += keySize + len(s.SQL) + len(s.Err)
		}
	}
	return n
}
