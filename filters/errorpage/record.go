package errorpage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
)

// The limits of a record: the page of a request that does much more remains readable.
const (
	mostAttempts   = 20
	mostKeys       = 100
	mostConflicts  = 20
	mostQueues     = 20
	mostStatements = 100
	mostManagers   = 20
	mostSessions   = 5
	mostBody       = 16 << 10 // bytes of the request's body
)

// A record has the facts of one request. It is safe for concurrent use by multiple goroutines.
type record struct {
	start  time.Time
	method string
	header http.Header
	body   *bodyRecord // nil: no body

	mu       sync.Mutex // guards the rest
	attempts []*attemptRecord
	left     int // attempts that were dropped
	returned []returned
}

// returned is an error that a handler has returned.
type returned struct {
	handler any // a function
	err     error
}

// An attemptRecord has the facts of one attempt, or of the time outside of attempts.
type attemptRecord struct {
	start      observe.AttemptStart
	end        observe.AttemptEnd // Number 0: it has not ended
	decision   observe.Decision
	managers   list[string]
	commits    list[observe.CommitEnd]
	keys       list[keyUse]
	conflicts  list[observe.Conflict]
	queues     list[observe.Queue]
	groups     list[observe.Group]
	statements list[observe.Statement]
	sessions   list[observe.SessionContent]
}

// A keyUse is the use of a key, perhaps several times.
type keyUse struct {
	observe.Access
	times int
}

// A list keeps the first facts, and counts those that it leaves out.
type list[T any] struct {
	all  []T
	left int
}

func (l *list[T]) add(most int, f T) {
	if len(l.all) >= most {
		l.left++
		return
	}
	l.all = append(l.all, f)
}

type recordKey struct{}

// recordOf returns the record of the request of ctx, or nil.
func recordOf(ctx context.Context) *record {
	r, _ := ctx.Value(recordKey{}).(*record)
	return r
}

// newRecord begins the record of a request, and returns the request with it.
func newRecord(r *http.Request) (*record, *http.Request) {
	rec := &record{start: time.Now(), method: r.Method, header: r.Header.Clone()}
	own := r.WithContext(context.WithValue(r.Context(), recordKey{}, rec))
	if r.Body != nil && r.Body != http.NoBody {
		rec.body = &bodyRecord{ReadCloser: r.Body}
		own.Body = rec.body
	}
	return rec, own
}

// A bodyRecord keeps the begin of a request's body while it is read.
type bodyRecord struct {
	io.ReadCloser

	mu   sync.Mutex // guards the rest
	text []byte
	read int64
	end  bool
}

// Read reads the body, and keeps its begin.
func (b *bodyRecord) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(n, mostBody-len(b.text))]...)
	b.read += int64(n)
	b.end = b.end || errors.Is(err, io.EOF)
	return n, err
}

// kept returns the begin of the body, the number of bytes that were read, and whether the body has
// been read to its end.
func (b *bodyRecord) kept() (text []byte, read int64, end bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clip(b.text), b.read, b.end
}

// Returned records that handler has returned err.
func (rec *record) Returned(handler any, err error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.returned) >= mostAttempts {
		rec.returned = slices.Delete(rec.returned, 0, 1)
	}
	rec.returned = append(rec.returned, returned{handler, err})
}

// handlerOf returns the function that has returned err, or nil.
func (rec *record) handlerOf(err error) any {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, last := range slices.Backward(rec.returned) {
		if errors.Is(err, last.err) {
			return last.handler
		}
	}
	return nil
}

// edit calls f with the current attempt of the request of ctx, if it has a record.
func edit(ctx context.Context, f func(*attemptRecord)) {
	rec := recordOf(ctx)
	if rec == nil {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.attempts) == 0 { // a request that no filter runs in attempts
		rec.attempts = []*attemptRecord{{}}
	}
	f(rec.attempts[len(rec.attempts)-1])
}

// A collector is the listener that fills the records. It has no state of its own.
type collector struct{}

// RequestStart does nothing: the record has begun before.
func (collector) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}

// RequestEnd does nothing: the answer has been made.
func (collector) RequestEnd(context.Context, observe.RequestEnd) {}

// AttemptStart begins the record of an attempt.
func (collector) AttemptStart(ctx context.Context, f observe.AttemptStart) context.Context {
	if rec := recordOf(ctx); rec != nil {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if len(rec.attempts) >= mostAttempts { // the first ones and the last ones stay
			rec.attempts = slices.Delete(rec.attempts, mostAttempts/2, mostAttempts/2+1)
			rec.left++
		}
		rec.attempts = append(rec.attempts, &attemptRecord{start: f})
	}
	return ctx
}

// AttemptEnd records how an attempt has ended.
func (collector) AttemptEnd(ctx context.Context, f observe.AttemptEnd) {
	edit(ctx, func(a *attemptRecord) { a.end = f })
}

// Joined records a data manager.
func (collector) Joined(ctx context.Context, f observe.Join) {
	edit(ctx, func(a *attemptRecord) { a.managers.add(mostManagers, f.Manager) })
}

// CommitStart does nothing: the end has the same facts.
func (collector) CommitStart(context.Context, observe.CommitStart) {}

// CommitEnd records a commit.
func (collector) CommitEnd(ctx context.Context, f observe.CommitEnd) {
	edit(ctx, func(a *attemptRecord) { a.commits.add(mostManagers, f) })
}

// Decided records how a transaction has ended.
func (collector) Decided(ctx context.Context, f observe.Decision) {
	edit(ctx, func(a *attemptRecord) { a.decision = f })
}

// Accessed records the use of a key.
func (collector) Accessed(ctx context.Context, f observe.Access) {
	edit(ctx, func(a *attemptRecord) {
		for i := range a.keys.all {
			k := &a.keys.all[i]
			if k.Operation == f.Operation && k.Key == f.Key && k.Bucket == f.Bucket && k.DB == f.DB {
				k.times++
				k.Bytes = f.Bytes
				return
			}
		}
		a.keys.add(mostKeys, keyUse{f, 1})
	})
}

// Conflicted records a conflict.
func (collector) Conflicted(ctx context.Context, f observe.Conflict) {
	edit(ctx, func(a *attemptRecord) { a.conflicts.add(mostConflicts, f) })
}

// Queued records a wait for a key.
func (collector) Queued(ctx context.Context, f observe.Queue) {
	edit(ctx, func(a *attemptRecord) { a.queues.add(mostQueues, f) })
}

// Grouped records the group of a commit.
func (collector) Grouped(ctx context.Context, f observe.Group) {
	edit(ctx, func(a *attemptRecord) { a.groups.add(mostManagers, f) })
}

// StatementEnd records an SQL statement.
func (collector) StatementEnd(ctx context.Context, f observe.Statement) {
	edit(ctx, func(a *attemptRecord) { a.statements.add(mostStatements, f) })
}

// SessionContent records a session. Of several facts about the same one the last counts.
func (collector) SessionContent(ctx context.Context, f observe.SessionContent) {
	edit(ctx, func(a *attemptRecord) {
		for i, s := range a.sessions.all {
			if s.Manager == f.Manager && s.Ref == f.Ref {
				a.sessions.all[i] = f
				return
			}
		}
		a.sessions.add(mostSessions, f)
	})
}

var (
	_ observe.Listener               = collector{}
	_ observe.AttemptListener        = collector{}
	_ observe.TransactionListener    = collector{}
	_ observe.AccessListener         = collector{}
	_ observe.StorageListener        = collector{}
	_ observe.StatementListener      = collector{}
	_ observe.SessionContentListener = collector{}
)
