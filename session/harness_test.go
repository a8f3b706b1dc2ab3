package session_test

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// start is the time at which tests begin, in seconds since 1970: the start of a time slice, in a
// year in which meta records have the short form.
const start = 1_800_000_000

// longUnused is a time after which a use is stored by its transaction, with the default timeout.
const longUnused = 15 * time.Minute

// A fakeClock is a wall clock and a monotonic clock that tests move by hand.
type fakeClock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func newFakeClock() *fakeClock { return &fakeClock{wall: time.Unix(start, 0)} }

func (c *fakeClock) read() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall, c.mono
}

// pass moves both clocks forward.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
	c.mono += d
}

// jump sets the wall clock forward or back.
func (c *fakeClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

// An events collects the events that handlers receive.
type events struct {
	mu   sync.Mutex
	list []session.Info
}

func (e *events) add(_ context.Context, info session.Info) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, info)
}

// take returns the events since the last call, as "begun REF" and so on, sorted.
func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var told []string
	for _, info := range e.list {
		told = append(told, info.Reason.String()+" "+info.Ref)
	}
	e.list = nil
	slices.Sort(told)
	return told
}

// told returns the result of take for these events.
func told(pairs ...string) []string {
	var want []string
	for i := 0; i < len(pairs); i += 2 {
		want = append(want, pairs[i]+" "+session.RefOf(pairs[i+1]))
	}
	slices.Sort(want)
	return want
}

// A fixture is a manager on a database in memory, with its clock and events.
type fixture struct {
	*session.Manager
	db     *storage.DB
	clock  *fakeClock
	events *events
}

func newFixture(tb testing.TB, config session.Config) *fixture {
	tb.Helper()
	db := memory.New("test")
	tb.Cleanup(func() { must(tb, db.Close()) })
	f := &fixture{db: db, clock: newFakeClock(), events: new(events)}
	config.OnBegin, config.OnEnd = f.events.add, f.events.add
	f.Manager = f.another(tb, config)
	return f
}

// another returns another manager of the same database, like that of another process.
func (f *fixture) another(tb testing.TB, config session.Config) *session.Manager {
	tb.Helper()
	m, err := session.NewManager(f.db, config)
	if err != nil {
		tb.Fatal(err)
	}
	m.SetClock(f.clock.read)
	return m
}

// do runs work in a separate transaction, which must succeed at the first attempt.
func do(tb testing.TB, work func(ctx context.Context)) {
	tb.Helper()
	if err := try(tb, work); err != nil {
		tb.Fatal(err)
	}
}

// try runs work in a separate transaction, and returns the result of the commit.
func try(tb testing.TB, work func(ctx context.Context)) error {
	tb.Helper()
	ctx, t := transaction.Begin(tb.Context())
	defer t.Abort(ctx)
	work(ctx)
	return t.Commit(ctx)
}

// begin starts a transaction that the test ends by commit.
func begin(tb testing.TB) (ctx context.Context, commit func() error) {
	tb.Helper()
	ctx, t := transaction.Begin(tb.Context())
	tb.Cleanup(func() { t.Abort(ctx) })
	return ctx, func() error { return t.Commit(ctx) }
}

func (f *fixture) get(ctx context.Context, tb testing.TB, id string) *session.Session {
	tb.Helper()
	s, err := f.Get(session.WithID(ctx, id))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// renew renews the session of the browser with the id from; the new id is to.
func (f *fixture) renew(ctx context.Context, from, to string,
	options ...session.RenewOption,
) error {
	return f.Renew(behind(ctx, &browser{id: from, next: to}), options...)
}

// behind returns ctx as it is behind a filter that stands in front of the transaction and knows b.
func behind(ctx context.Context, b *browser) context.Context {
	return filtered{ctx, &visitor.Context{Context: context.Background(), Visitor: b}}
}

type filtered struct {
	context.Context
	filter *visitor.Context
}

func (f filtered) Value(key any) any {
	if v := f.Context.Value(key); v != nil {
		return v
	}
	return f.filter.Value(key)
}

// A browser is a Visitor whose next id the test chooses; if it is empty, the id is made from the
// seed.
type browser struct {
	mu   sync.Mutex // guards the rest
	id   string
	next string
	deaf error // the error of CanSetID
}

func (b *browser) ID() (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id, b.id != ""
}

func (b *browser) MakeID(seed [visitor.SeedSize]byte) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return cmp.Or(b.next, hex.EncodeToString(seed[:]))
}

func (b *browser) CanSetID() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deaf
}

func (b *browser) SetID(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id = id
	return nil
}

// set stores values in the session with this id, in a separate transaction.
func (f *fixture) set(tb testing.TB, id string, values map[string]any) {
	tb.Helper()
	do(tb, func(ctx context.Context) { must(tb, f.get(ctx, tb, id).Update(values)) })
}

// stored returns the values of the session with this id, or nil if it does not exist. The call
// counts as use.
func (f *fixture) stored(tb testing.TB, id string) (values map[string]any) {
	tb.Helper()
	do(tb, func(ctx context.Context) {
		s, err := f.Lookup(session.WithID(ctx, id))
		must(tb, err)
		if s != nil {
			values, err = s.All()
			must(tb, err)
		}
	})
	return values
}

// records returns the keys of all records.
func (f *fixture) records(tb testing.TB) (keys []string) {
	tb.Helper()
	do(tb, func(ctx context.Context) {
		var err error
		keys, err = f.Records(ctx)
		must(tb, err)
	})
	return keys
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func isConflict(err error) bool {
	_, ok := errors.AsType[*storage.ConflictError](err)
	return ok
}

func wantConflict(tb testing.TB, err error) {
	tb.Helper()
	if !isConflict(err) {
		tb.Errorf("commit: got %v, want a conflict", err)
	}
	if !transaction.IsTransient(err) {
		tb.Errorf("commit: %v is not transient", err)
	}
}
