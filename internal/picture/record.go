package picture

import (
	"context"
	"slices"
	"strconv"
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
	Job      string          `json:"job,omitempty"` // the name of the job, if it is no request
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

// A Record is the growing record of a request that may be running. It is safe for concurrent use.
type Record struct {
	seen     *observe.Request
	listener *Listener

	mu        sync.Mutex // guards the rest
	discarded bool
	data      Request
	queue     *Queue // of the next attempt
}

// ID returns the id of the request, or the name of the job.
func (r *Record) ID() string { return r.data.ID } // never changes

// Job returns the name of the job, or "" for a request.
func (r *Record) Job() string { return r.data.Job } // never changes

// Number returns the number that SetNumber has set.
func (r *Record) Number() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data.Number
}

// SetNumber sets the number of the request.
func (r *Record) SetNumber(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.Number = n
}

// Discard marks the record as one that its owner does not keep.
func (r *Record) Discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.discarded = true
}

// Discarded reports whether Discard was called.
func (r *Record) Discarded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.discarded
}

// Used returns the keys that an attempt has used, and the conflict that it was lost to or nil. Of
// attempts that are not recorded it returns nothing.
func (r *Record) Used(attempt int) ([]Key, *Conflict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.attempt()
	if a == nil || a.Number != attempt {
		return nil, nil
	}
	return slices.Clone(a.Keys), a.Conflict
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// since returns the time from the begin of the request until t.
func (r *Record) since(t time.Time) float64 { return millis(t.Sub(r.data.Start)) }

// text returns a text of the record: short, and without secrets.
func (r *Record) text(s string) string {
	s = r.listener.hide(redact.Text(s))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// common is text for one that many requests have, such as a statement or the name of a manager.
func (r *Record) common(s string) string { return r.listener.texts.get(s, r.text) }

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

func (r *Record) errorText(err error) string {
	if err == nil {
		return ""
	}
	return r.text(err.Error())
}

// attempt returns the attempt that runs, or ran last, or nil.
func (r *Record) attempt() *Attempt {
	if len(r.data.Attempts) == 0 {
		return nil
	}
	return &r.data.Attempts[len(r.data.Attempts)-1]
}

// change calls f with the attempt that runs, if there is one.
func (r *Record) change(f func(a *Attempt)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempt(); a != nil && r.data.More == 0 {
		f(a)
	}
}

// View calls f with the record. f must not change or keep it.
func (r *Record) View(f func(*Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.data)
}

// Copy returns the record as it is now. The result is the caller's. An attempt may have begun since
// the caller took the time.
func (r *Record) Copy(now time.Time) Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.data
	c.Attempts = slices.Clone(c.Attempts)
	for i := range c.Attempts {
		a := &c.Attempts[i]
		a.Keys, a.Statements = slices.Clone(a.Keys), slices.Clone(a.Statements)
		a.Managers, a.Sessions = slices.Clone(a.Managers), slices.Clone(a.Sessions)
		if a.Running {
			a.Millis = max(0, r.since(now)-a.At)
		}
	}
	if c.Running {
		c.Millis = max(0, r.since(now))
	}
	if c.Running && c.Job == "" {
		s := r.seen.Summary()
		c.App, c.Route = s.App, s.Route
	}
	return c
}

// A Listener records the requests of one pipeline. Its records reach a caller through Find only, so
// one that keeps them embeds it in a listener of its own.
type Listener struct {
	// Hide removes the secrets of the files from a text; nil leaves texts as they are. It is set
	// before the first request.
	Hide  func(string) string
	texts texts // as Hide leaves them
}

func (l *Listener) hide(text string) string {
	if l.Hide == nil {
		return text
	}
	return l.Hide(text)
}

var (
	_ observe.AttemptListener     = (*Listener)(nil)
	_ observe.JobListener         = (*Listener)(nil)
	_ observe.TransactionListener = (*Listener)(nil)
	_ observe.AccessListener      = (*Listener)(nil)
	_ observe.StorageListener     = (*Listener)(nil)
	_ observe.StatementListener   = (*Listener)(nil)
	_ observe.ResponseListener    = (*Listener)(nil)
	_ observe.SessionListener     = (*Listener)(nil)
)

// Find returns the record of the request or job that ctx belongs to, or nil.
func (l *Listener) Find(ctx context.Context) *Record {
	r, _ := ctx.Value(l).(*Record)
	return r
}

// RequestStart implements [observe.RequestListener].
func (l *Listener) RequestStart(ctx context.Context, f observe.RequestStart) context.Context {
	r := &Record{seen: observe.FromContext(ctx), listener: l}
	r.data = Request{ID: f.ID, Method: f.Method, Start: f.Time, Running: true}
	r.data.Path = r.text(f.Path)
	return context.WithValue(ctx, l, r)
}

// RequestEnd implements [observe.RequestListener].
func (l *Listener) RequestEnd(ctx context.Context, f observe.RequestEnd) {
	r := l.Find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	d := &r.data
	d.Running, d.Millis = false, millis(f.Duration)
	d.Status, d.Bytes, d.Panicked = f.Status, f.Bytes, f.Panicked
	d.App, d.Route, d.Outcome, d.Err = f.App, r.common(f.Route), f.Outcome, r.errorText(f.Err)
	r.mu.Unlock()
}

// JobStart implements [observe.JobListener].
func (l *Listener) JobStart(ctx context.Context, f observe.JobStart) context.Context {
	r := &Record{seen: observe.FromContext(ctx), listener: l}
	r.data = Request{ID: f.Name, Job: f.Name, Start: f.Time, Running: true}
	return context.WithValue(ctx, l, r)
}

// JobEnd implements [observe.JobListener].
func (l *Listener) JobEnd(ctx context.Context, f observe.JobEnd) {
	r := l.Find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := &r.data
	d.Running, d.Millis, d.Err = false, millis(f.Duration), r.errorText(f.Err)
	if n := len(d.Attempts); n > 0 {
		d.Outcome = d.Attempts[n-1].Outcome
	}
}

// AttemptStart implements [observe.AttemptListener].
func (l *Listener) AttemptStart(ctx context.Context, f observe.AttemptStart) context.Context {
	if r := l.Find(ctx); r != nil {
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
func (l *Listener) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	r := l.Find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attempt(); a != nil && a.Running && a.Number == f.Number {
		a.Running, a.Millis = false, millis(f.Duration)
		a.Outcome, a.Status, a.Again, a.Err = f.Outcome, f.Status, f.Again, r.errorText(f.Err)
		if f.Outcome != observe.Conflicted { // a conflict that a savepoint or a job of it met
			a.Conflict = nil
		}
	}
}

// Joined implements [observe.TransactionListener].
func (l *Listener) Joined(ctx context.Context, f observe.Join) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if len(a.Managers) < maxManagers {
				a.Managers = append(a.Managers, r.common(f.Manager))
			}
		})
	}
}

// CommitStart implements [observe.TransactionListener].
func (l *Listener) CommitStart(ctx context.Context, f observe.CommitStart) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if a.Commits++; a.Commits == 1 {
				a.CommitAt = r.since(f.Time)
			}
		})
	}
}

// CommitEnd implements [observe.TransactionListener].
func (l *Listener) CommitEnd(ctx context.Context, f observe.CommitEnd) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if a.Commits == 1 {
				a.CommitMillis = millis(f.Duration)
			}
		})
	}
}

// Decided implements [observe.TransactionListener].
func (l *Listener) Decided(context.Context, observe.Decision) {}

// Accessed implements [observe.StorageListener].
func (l *Listener) Accessed(ctx context.Context, f observe.Access) {
	if r := l.Find(ctx); r != nil {
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
func (l *Listener) Conflicted(ctx context.Context, f observe.Conflict) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) {
			a.Conflict = &Conflict{DB: f.DB, Bucket: f.Bucket, Key: f.Key, With: f.With}
		})
	}
}

// Queued implements [observe.StorageListener].
func (l *Listener) Queued(ctx context.Context, f observe.Queue) {
	r := l.Find(ctx)
	if r == nil {
		return
	}
	r.mu.Lock()
	r.queue = &Queue{
		Bucket: f.Bucket, Key: f.Key, Ahead: f.Ahead, Granted: f.Granted, Millis: millis(f.Duration),
	}
	r.mu.Unlock()
}

// Grouped implements [observe.StorageListener].
func (l *Listener) Grouped(ctx context.Context, f observe.Group) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) { a.Group, a.WriteMillis = f.Size, millis(f.Write) })
	}
}

// StatementEnd implements [observe.StatementListener].
func (l *Listener) StatementEnd(ctx context.Context, f observe.Statement) {
	if r := l.Find(ctx); r != nil {
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
func (l *Listener) Released(ctx context.Context, _ observe.Release) {
	if r := l.Find(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.data.Released = true
	}
}

// Spooled implements [observe.ResponseListener].
func (l *Listener) Spooled(ctx context.Context, _ observe.Spool) {
	if r := l.Find(ctx); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.data.Spooled++
	}
}

// SessionChanged implements [observe.SessionListener].
func (l *Listener) SessionChanged(ctx context.Context, f observe.SessionChange) {
	if r := l.Find(ctx); r != nil {
		r.change(func(a *Attempt) {
			if len(a.Sessions) < maxManagers {
				a.Sessions = append(a.Sessions, string(f.Change)+" "+ShortRef(f.Ref))
			}
		})
	}
}

// Swept implements [observe.SessionListener].
func (l *Listener) Swept(context.Context, observe.Sweep) {}

// ShortRef returns the first letters of a session's ref, which are enough to tell sessions apart.
func ShortRef(ref string) string { return ref[:min(len(ref), 8)] }

// Sizes in bytes that the records are counted with, which include the headers of strings.
const (
	requestSize = 500
	attemptSize = 400
	keySize     = 150
)

// Failed reports whether a request ended with a status of 500 or more or a panic, or a job with an
// error.
func (d *Request) Failed() bool {
	return d.Panicked || d.Status >= 500 || d.Job != "" && d.Err != ""
}

// slow is the duration in milliseconds from which the commit of an attempt gets a remark.
const slow = 1000

// Remarks returns a sentence for each slow commit of a request.
func (d *Request) Remarks() []string {
	var all []string
	for i := range d.Attempts {
		if a := &d.Attempts[i]; a.CommitMillis >= slow {
			text := "The commit of attempt " + strconv.Itoa(a.Number) + " took " + Millis(a.CommitMillis)
			if len(a.Managers) > 0 {
				text += " in " + strings.Join(a.Managers, ", ")
			}
			all = append(all, text)
		}
	}
	return all
}

// Size returns the memory that d takes in bytes, about.
func (d *Request) Size() int {
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
