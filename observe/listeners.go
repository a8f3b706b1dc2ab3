package observe

import (
	"cmp"
	"context"
	"slices"
)

// A Listener is told of requests. If it implements other interfaces of this package, it is told of
// more. See the package's rules for listeners.
type Listener interface{ RequestListener }

// A RequestListener is told when a request begins and ends. The context that RequestStart returns
// is that of the request from then on; it must be ctx or derived from it.
type RequestListener interface {
	RequestStart(ctx context.Context, f RequestStart) context.Context
	RequestEnd(ctx context.Context, f RequestEnd)
}

// An AttemptListener is told when an attempt at a request begins and ends. The context that
// AttemptStart returns is that of the attempt; it must be ctx or derived from it.
type AttemptListener interface {
	AttemptStart(ctx context.Context, f AttemptStart) context.Context
	AttemptEnd(ctx context.Context, f AttemptEnd)
}

// A JobListener is told when a job begins and ends a transaction with transaction.Run. If it is an
// [AttemptListener] too, it is told of the attempts in between; other AttemptListeners are not. The
// context that JobStart returns is that of the transaction; it must be ctx or derived from it.
type JobListener interface {
	JobStart(ctx context.Context, f JobStart) context.Context
	JobEnd(ctx context.Context, f JobEnd)
}

// A TransactionListener is told what happens to transactions, those of jobs included.
type TransactionListener interface {
	Joined(ctx context.Context, f Join)
	CommitStart(ctx context.Context, f CommitStart)
	CommitEnd(ctx context.Context, f CommitEnd)
	Decided(ctx context.Context, f Decision)
}

// An AccessListener is told of each key that a transaction reads or writes.
type AccessListener interface {
	Accessed(ctx context.Context, f Access)
}

// A StorageListener is told how transactions meet others at the keys of databases.
type StorageListener interface {
	Conflicted(ctx context.Context, f Conflict)
	Queued(ctx context.Context, f Queue)
	Grouped(ctx context.Context, f Group)
}

// A StatementListener is told of SQL statements: those of the app and those of the storage engine.
type StatementListener interface {
	StatementEnd(ctx context.Context, f Statement)
}

// A ResponseListener is told how a response leaves.
type ResponseListener interface {
	Released(ctx context.Context, f Release)
	Spooled(ctx context.Context, f Spool)
}

// A SessionListener is told of sessions.
type SessionListener interface {
	SessionChanged(ctx context.Context, f SessionChange)
	Swept(ctx context.Context, f Sweep)
}

// A SessionContentListener is told what sessions hold when a transaction that has used them ends. It
// costs a copy of each session, and its facts are not free of secrets: it is for development.
type SessionContentListener interface {
	SessionContent(ctx context.Context, f SessionContent)
}

// Listeners are the listeners of a pipeline, by interface. They are safe for concurrent use by
// multiple goroutines. A nil *Listeners has none.
type Listeners struct {
	all          []Listener
	attempts     []AttemptListener
	jobs         []JobListener
	jobAttempts  []AttemptListener // those of jobs
	transactions []TransactionListener
	accesses     []AccessListener
	storage      []StorageListener
	statements   []StatementListener
	responses    []ResponseListener
	sessions     []SessionListener
	contents     []SessionContentListener
}

// NewListeners returns the listeners that a request tells its facts, in the given order; nil if
// there are none.
func NewListeners(all ...Listener) *Listeners {
	if len(all) == 0 {
		return nil
	}
	jobs := only[JobListener](all)
	return &Listeners{
		all:          all,
		jobs:         jobs,
		jobAttempts:  only[AttemptListener](jobs),
		attempts:     only[AttemptListener](all),
		transactions: only[TransactionListener](all),
		accesses:     only[AccessListener](all),
		storage:      only[StorageListener](all),
		statements:   only[StatementListener](all),
		responses:    only[ResponseListener](all),
		sessions:     only[SessionListener](all),
		contents:     only[SessionContentListener](all),
	}
}

func only[T, L any](all []L) (some []T) {
	for _, l := range all {
		if t, ok := any(l).(T); ok {
			some = append(some, t)
		}
	}
	return some
}

// and returns the listeners of l and other, of which only those of other are told of the begin and
// the end of requests. Both may be nil.
func (l *Listeners) and(other *Listeners) *Listeners {
	if l == nil || other == nil {
		return cmp.Or(l, other)
	}
	return &Listeners{
		all:          other.all,
		attempts:     slices.Concat(l.attempts, other.attempts),
		jobs:         slices.Concat(l.jobs, other.jobs),
		jobAttempts:  slices.Concat(l.jobAttempts, other.jobAttempts),
		transactions: slices.Concat(l.transactions, other.transactions),
		accesses:     slices.Concat(l.accesses, other.accesses),
		storage:      slices.Concat(l.storage, other.storage),
		statements:   slices.Concat(l.statements, other.statements),
		responses:    slices.Concat(l.responses, other.responses),
		sessions:     slices.Concat(l.sessions, other.sessions),
		contents:     slices.Concat(l.contents, other.contents),
	}
}

// RequestStart tells f, and returns the context for the rest of the request.
func (r *Request) RequestStart(ctx context.Context, f RequestStart) context.Context {
	if !r.Listening() {
		return ctx
	}
	for _, l := range r.listeners.Load().all {
		ctx = l.RequestStart(ctx, f) //nolint:fatcontext // each listener may add to it
	}
	return ctx
}

// RequestEnd tells f, with the [Summary] of r.
func (r *Request) RequestEnd(ctx context.Context, f RequestEnd) {
	if !r.Listening() {
		return
	}
	f.Summary = r.Summary()
	for _, l := range r.listeners.Load().all {
		l.RequestEnd(ctx, f)
	}
}

// JobListening reports whether r is a job with a listener that is told of its transactions.
func (r *Request) JobListening() bool {
	return r.Job() != "" && r.Listening() && len(r.listeners.Load().jobs) > 0
}

// JobStart tells f, and returns the context for the transaction.
func (r *Request) JobStart(ctx context.Context, f JobStart) context.Context {
	if r.Listening() {
		for _, l := range r.listeners.Load().jobs {
			ctx = l.JobStart(ctx, f) //nolint:fatcontext // each listener may add to it
		}
	}
	return ctx
}

// JobEnd tells f.
func (r *Request) JobEnd(ctx context.Context, f JobEnd) {
	if r.Listening() {
		for _, l := range r.listeners.Load().jobs {
			l.JobEnd(ctx, f)
		}
	}
}

// JobAttemptStart tells f, and returns the context for the attempt.
func (r *Request) JobAttemptStart(ctx context.Context, f AttemptStart) context.Context {
	if r.Listening() {
		for _, l := range r.listeners.Load().jobAttempts {
			ctx = l.AttemptStart(ctx, f) //nolint:fatcontext // each listener may add to it
		}
	}
	return ctx
}

// JobAttemptEnd tells f.
func (r *Request) JobAttemptEnd(ctx context.Context, f AttemptEnd) {
	if r.Listening() {
		for _, l := range r.listeners.Load().jobAttempts {
			l.AttemptEnd(ctx, f)
		}
	}
}

// AttemptStart tells f, and returns the context for the attempt.
func (r *Request) AttemptStart(ctx context.Context, f AttemptStart) context.Context {
	if !r.Listening() {
		return ctx
	}
	r.known.mu.Lock()
	r.known.summary.Attempts++
	r.known.summary.Outcome, r.known.summary.Err = "", nil
	r.known.mu.Unlock()
	for _, l := range r.listeners.Load().attempts {
		ctx = l.AttemptStart(ctx, f) //nolint:fatcontext // each listener may add to it
	}
	return ctx
}

// AttemptEnd tells f, with the Outcome of the attempt's transaction.
func (r *Request) AttemptEnd(ctx context.Context, f AttemptEnd) {
	if !r.Listening() {
		return
	}
	r.known.mu.Lock()
	r.known.summary.Err = f.Err
	f.Outcome = r.known.summary.Outcome
	if f.Outcome == Conflicted {
		r.known.summary.Conflicts++
	}
	r.known.mu.Unlock()
	for _, l := range r.listeners.Load().attempts {
		l.AttemptEnd(ctx, f)
	}
}

// Joined tells f.
func (r *Request) Joined(ctx context.Context, f Join) {
	if r.Listening() {
		for _, l := range r.listeners.Load().transactions {
			l.Joined(ctx, f)
		}
	}
}

// CommitStart tells f.
func (r *Request) CommitStart(ctx context.Context, f CommitStart) {
	if r.Listening() {
		for _, l := range r.listeners.Load().transactions {
			l.CommitStart(ctx, f)
		}
	}
}

// CommitEnd tells f.
func (r *Request) CommitEnd(ctx context.Context, f CommitEnd) {
	if r.Listening() {
		for _, l := range r.listeners.Load().transactions {
			l.CommitEnd(ctx, f)
		}
	}
}

// Decided tells f, and records its Outcome in the Summary.
func (r *Request) Decided(ctx context.Context, f Decision) {
	if !r.Listening() {
		return
	}
	r.known.mu.Lock()
	r.known.summary.Outcome = f.Outcome
	r.known.mu.Unlock()
	for _, l := range r.listeners.Load().transactions {
		l.Decided(ctx, f)
	}
}

// AccessListening reports whether a listener is told of keys that are read or written, which are
// many: without one, no [Access] need be made.
func (r *Request) AccessListening() bool {
	return r.Listening() && len(r.listeners.Load().accesses) > 0
}

// Accessed tells f.
func (r *Request) Accessed(ctx context.Context, f Access) {
	if r.Listening() {
		for _, l := range r.listeners.Load().accesses {
			l.Accessed(ctx, f)
		}
	}
}

// Conflicted tells f.
func (r *Request) Conflicted(ctx context.Context, f Conflict) {
	if r.Listening() {
		for _, l := range r.listeners.Load().storage {
			l.Conflicted(ctx, f)
		}
	}
}

// Queued tells f.
func (r *Request) Queued(ctx context.Context, f Queue) {
	if r.Listening() {
		for _, l := range r.listeners.Load().storage {
			l.Queued(ctx, f)
		}
	}
}

// Grouped tells f.
func (r *Request) Grouped(ctx context.Context, f Group) {
	if r.Listening() {
		for _, l := range r.listeners.Load().storage {
			l.Grouped(ctx, f)
		}
	}
}

// StatementEnd tells f.
func (r *Request) StatementEnd(ctx context.Context, f Statement) {
	if r.Listening() {
		for _, l := range r.listeners.Load().statements {
			l.StatementEnd(ctx, f)
		}
	}
}

// Released tells f.
func (r *Request) Released(ctx context.Context, f Release) {
	if r.Listening() {
		for _, l := range r.listeners.Load().responses {
			l.Released(ctx, f)
		}
	}
}

// Spooled tells f.
func (r *Request) Spooled(ctx context.Context, f Spool) {
	if r.Listening() {
		for _, l := range r.listeners.Load().responses {
			l.Spooled(ctx, f)
		}
	}
}

// SessionChanged tells f.
func (r *Request) SessionChanged(ctx context.Context, f SessionChange) {
	if r.Listening() {
		for _, l := range r.listeners.Load().sessions {
			l.SessionChanged(ctx, f)
		}
	}
}

// Swept tells f.
func (r *Request) Swept(ctx context.Context, f Sweep) {
	if r.Listening() {
		for _, l := range r.listeners.Load().sessions {
			l.Swept(ctx, f)
		}
	}
}

// OnSpooled returns a function that tells that a body of r is spooled; nil without listeners.
func (r *Request) OnSpooled(ctx context.Context, response bool) func(bytes int64) {
	if !r.Listening() {
		return nil
	}
	return func(n int64) { r.Spooled(ctx, Spool{Response: response, Bytes: n}) }
}

// OnReleased returns a function that tells that the response of r is released; nil without
// listeners.
func (r *Request) OnReleased(ctx context.Context) func(hijacked bool) {
	if !r.Listening() {
		return nil
	}
	return func(hijacked bool) { r.Released(ctx, Release{Hijacked: hijacked}) }
}

// WantsSessions reports whether a listener is told of the contents of sessions. If not, copying them
// would be in vain.
func (r *Request) WantsSessions() bool {
	return r.Listening() && len(r.listeners.Load().contents) > 0
}

// SessionContent tells f.
func (r *Request) SessionContent(ctx context.Context, f SessionContent) {
	if r.Listening() {
		for _, l := range r.listeners.Load().contents {
			l.SessionContent(ctx, f)
		}
	}
}
