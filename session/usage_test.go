package session_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// lastUsed returns the LastUsed of the session with this id, in seconds since start. The call counts
// as use, so it should be the last one in its slice.
func lastUsed(tb testing.TB, m *session.Manager, id string) (seconds int64) {
	tb.Helper()
	do(tb, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, id))
		must(tb, err)
		seconds = s.LastUsed().Unix() - start
	})
	return seconds
}

// marked returns the slices of the index entries of the session, in seconds since start.
func marked(tb testing.TB, m *session.Manager, id string) (seconds []int64) {
	tb.Helper()
	do(tb, func(ctx context.Context) {
		used, err := m.Used(ctx, id)
		must(tb, err)
		for _, at := range used {
			seconds = append(seconds, at.Unix()-start)
		}
	})
	return seconds
}

func wantMarked(tb testing.TB, m *session.Manager, id string, want ...int64) {
	tb.Helper()
	if got := marked(tb, m, id); !cmp.Equal(got, want) {
		tb.Errorf("%s is marked as used at %v, want %v", id, got, want)
	}
}

// wantWhole checks that every session in the database has a meta record, one used record at most,
// and one index entry.
func wantWhole(tb testing.TB, db *storage.DB) {
	tb.Helper()
	metas, uses, entries := marks(tb, db)
	for ref, n := range uses {
		if n > 1 || metas[ref] == 0 {
			tb.Errorf("%s has %d used records and %d meta records", ref, n, metas[ref])
		}
	}
	if diff := cmp.Diff(metas, entries); diff != "" {
		tb.Errorf("index entries (-meta records +entries): %s", diff)
	}
}

// wantNoOrphans checks that no used record and no index entry is without a session.
func wantNoOrphans(tb testing.TB, db *storage.DB) {
	tb.Helper()
	metas, uses, entries := marks(tb, db)
	for ref := range uses {
		if metas[ref] == 0 {
			tb.Errorf("%s has a used record, and is no session", ref)
		}
	}
	for ref := range entries {
		if metas[ref] == 0 {
			tb.Errorf("%s has an index entry, and is no session", ref)
		}
	}
}

// marks counts the meta records, used records and index entries of every ref. A tombstone with a
// used record is an error.
func marks(tb testing.TB, db *storage.DB) (metas, uses, entries map[string]int) {
	tb.Helper()
	metas, uses, entries = map[string]int{}, map[string]int{}, map[string]int{}
	tombstones := map[string]bool{}
	do(tb, func(ctx context.Context) {
		tx, err := db.Tx(ctx)
		must(tb, err)
		for it, err := range tx.Bucket("session").Range(storage.Range{}) {
			must(tb, err)
			switch ref := hex.EncodeToString(it.Key[:16]); it.Key[16] {
			case 'm':
				metas[ref]++
				tombstones[ref] = it.Value[0] == 2
			case 'u':
				uses[ref]++
			}
		}
		for it, err := range tx.Bucket("session.used").Range(storage.Range{}) {
			must(tb, err)
			entries[hex.EncodeToString(it.Key[8:])]++
		}
	})
	for ref := range uses {
		if tombstones[ref] {
			tb.Errorf("the tombstone %s has a used record", ref)
		}
	}
	return metas, uses, entries
}

// A request that only reads writes nothing, also if it is the first in its time slice. The use is
// stored by the next flush, once for all requests of the slice.
func TestReadsWriteNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"n": 1})
	before := f.records(t)
	for _, at := range []int64{20, 20, 40} {
		f.clock.pass(time.Duration(start+at)*time.Second - time.Duration(f.clock.wall.UnixNano()))
		f.wantStored(t, "u", map[string]any{"n": int64(1)})
		if got := lastUsed(t, f.Manager, "u"); got != at || f.Pending() != 1 {
			t.Errorf("at %d: used at %d, %d pending", at, got, f.Pending())
		}
	}
	if diff := cmp.Diff(before, f.records(t)); diff != "" {
		t.Errorf("records before a flush (-before +after): %s", diff)
	}
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 40)
	wantWhole(t, f.db)
	after := f.records(t)
	f.stored(t, "u") // in a slice that is stored
	must(t, f.Flush(t.Context()))
	if diff := cmp.Diff(after, f.records(t)); diff != "" || f.Pending() != 0 {
		t.Errorf("%d pending, records (-before +after): %s", f.Pending(), diff)
	}
}

// A transaction that writes to the session stores the use itself.
func TestWritesStoreTheUse(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(ctx context.Context, f *fixture) error{
		"set":    func(ctx context.Context, f *fixture) error { return f.get(ctx, t, "u").Set("n", 2) },
		"delete": func(ctx context.Context, f *fixture) error { return f.get(ctx, t, "u").Delete("n") },
		"renew":  func(ctx context.Context, f *fixture) error { return f.renew(ctx, "u", "v") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "u", map[string]any{"n": 1, "m": 1})
			f.clock.pass(time.Minute)
			f.stored(t, "u") // a pending use of the same slice changes nothing
			do(t, func(ctx context.Context) { must(t, write(ctx, f)) })
			id := "u"
			if name == "renew" {
				id = "v"
			}
			wantMarked(t, f.Manager, id, 60)
			if got := f.Pending(); got != 1 {
				t.Errorf("%d pending, want the use before the write", got)
			}
			must(t, f.Flush(t.Context()))
			wantMarked(t, f.Manager, id, 60)
			wantWhole(t, f.db)
		})
	}
}

// A use counts only if its transaction commits. A rollback to a savepoint undoes changes, but not
// the use by a request that goes on.
func TestUncommittedUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(time.Minute)
	ctx, txn := transaction.Begin(t.Context())
	f.get(ctx, t, "u")
	must(t, txn.Abort(ctx))
	errVeto := errors.New("veto")
	if err := try(t, func(ctx context.Context) {
		f.get(ctx, t, "u")
		txn, _ := transaction.FromContext(ctx)
		txn.BeforeCommit(func(context.Context) error { return errVeto })
	}); !errors.Is(err, errVeto) {
		t.Errorf("commit: got %v", err)
	}
	if f.Pending() != 0 {
		t.Error("the use of a transaction that was not committed is pending")
	}
	f.set(t, "ended", map[string]any{"n": 1})
	f.clock.pass(20 * time.Second)
	do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "ended").Invalidate()) })
	f.clock.pass(-20 * time.Second)
	if f.Pending() != 0 {
		t.Error("the use of a session that the same transaction has ended is pending")
	}
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "u")
		txn, _ := transaction.FromContext(ctx)
		p, err := txn.Savepoint()
		must(t, err)
		must(t, s.Set("n", 2))
		must(t, p.Rollback())
		if got := s.LastUsed().Unix() - start; got != 60 {
			t.Errorf("after the rollback: used at %d", got)
		}
	})
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 60)
	if got := f.stored(t, "u"); !cmp.Equal(got, map[string]any{"n": int64(1)}) {
		t.Errorf("got %v", got)
	}
}

// However the use falls into the slices, a use that is left to a flush leaves the flush at least
// three quarters of a period before any process can find the session expired, and the session lives
// for half the timeout, less one period, if the use is lost.
func TestDeferredUseIsSafe(t *testing.T) {
	t.Parallel()
	const timeout = 240
	for period := int64(4); period <= timeout; period += 4 {
		f := newFixture(t, session.Config{
			Timeout: timeout * time.Millisecond, Period: time.Duration(period) * time.Millisecond,
		})
		deferred := 0
		for slice := period; slice <= timeout+period; slice += period {
			if !f.Defers(0, slice) {
				continue
			}
			deferred++
			use := slice + period // at the latest
			expires := int64(timeout)
			for expires%period != 0 || expires <= timeout { // in the first slice after the timeout
				expires++
			}
			if spare := expires - use - period/4; spare < period*3/4 {
				t.Errorf("period %d, slice %d: the flush has %d ms", period, slice, spare)
			}
			if lives := expires - slice; lives < timeout/2-period {
				t.Errorf("period %d, slice %d: lives for %d ms if it is lost", period, slice, lives)
			}
		}
		if want := period*3 <= timeout; (deferred > 0) != want {
			t.Errorf("period %d: %d slices are deferred, want some: %t", period, deferred, want)
		}
	}
}

// A session that was marked long ago is marked by the transaction that uses it.
func TestUseLongAfterTheMark(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(10 * time.Minute)
	f.stored(t, "u")
	wantMarked(t, f.Manager, "u", 0)
	f.clock.pass(20 * time.Second)
	f.stored(t, "u")
	wantMarked(t, f.Manager, "u", 620)
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 620)
	wantWhole(t, f.db)
}

// A faulty is an engine whose commits fail, or call a function first.
type faulty struct {
	engine.Engine

	mu     sync.Mutex
	fail   int    // the number of commits that fail from now on
	before func() // called once, before the next commit
}

var errFull = errors.New("the disk is full")

func (e *faulty) Begin(ctx context.Context) (engine.View, error) {
	v, err := e.Engine.Begin(ctx)
	return faultyView{v, e}, err
}

func (e *faulty) set(fail int, before func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail, e.before = fail, before
}

type faultyView struct {
	engine.View
	e *faulty
}

func (v faultyView) Commit(ctx context.Context, c *engine.Changes) error {
	if len(c.Writes) == 0 {
		return v.View.Commit(ctx, c)
	}
	v.e.mu.Lock()
	before, fail := v.e.before, v.e.fail > 0
	v.e.before = nil
	v.e.fail -= 1
	v.e.mu.Unlock()
	if before != nil {
		before()
	}
	if fail {
		return errFull
	}
	return v.View.Commit(ctx, c)
}

// newFaulty returns a fixture on an engine with faults, and its log.
func newFaulty(t *testing.T) (*fixture, *faulty, *bytes.Buffer) {
	t.Helper()
	e := &faulty{Engine: memory.New("faulty").Engine()}
	f := &fixture{db: storage.New("faulty", e), clock: newFakeClock(), events: new(events)}
	t.Cleanup(func() { must(t, f.db.Close()) })
	log := new(bytes.Buffer)
	f.Manager = f.another(t, session.Config{
		OnBegin: f.events.add, OnEnd: f.events.add,
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return f, e, log
}

// While flushes fail, the pending uses keep their sessions alive in this process.
func TestFailingFlush(t *testing.T) {
	t.Parallel()
	f, e, log := newFaulty(t)
	f.set(t, "u", map[string]any{"n": 1})
	f.set(t, "unused", map[string]any{"n": 1})
	f.clock.pass(9 * time.Minute)
	f.stored(t, "u")
	f.events.take()
	e.set(1, nil)
	if err := f.Flush(t.Context()); !errors.Is(err, errFull) || f.Pending() != 1 {
		t.Errorf("flush: got %v, %d pending, want the use kept", err, f.Pending())
	}
	f.clock.pass(12 * time.Minute)
	e.set(1, nil) // of the flush of the sweep only
	if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("sweep: got %d, %v, want the unused one", n, err)
	}
	if got := f.events.take(); !cmp.Equal(got, told("expired", "unused")) {
		t.Errorf("events: got %v", got)
	}
	wantMarked(t, f.Manager, "u", 540) // stored by the sweep itself
	if got := strings.Count(log.String(), "storing when sessions were last used failed"); got != 1 {
		t.Errorf("logged %d times:\n%s", got, log)
	}
	f.wantStored(t, "u", map[string]any{"n": int64(1)})
	must(t, f.Flush(t.Context()))
	wantWhole(t, f.db)
}

// In its own process, a session with a pending use is read, surveyed and kept as one that was used.
func TestPendingUseCounts(t *testing.T) {
	t.Parallel()
	f, e, _ := newFaulty(t)
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(9 * time.Minute)
	f.stored(t, "u")
	e.set(1, nil)
	if err := f.Flush(t.Context()); err == nil {
		t.Fatal("the flush did not fail")
	}
	survey, err := f.Survey(t.Context(), 10, 10)
	must(t, err)
	if got := survey.Sample[0].LastUsed.Unix() - start; got != 540 {
		t.Errorf("survey: last used at %d", got)
	}
	f.clock.pass(20 * time.Minute) // the mark has expired, and the use has not
	f.wantStored(t, "u", map[string]any{"n": int64(1)})
	wantMarked(t, f.Manager, "u", 1740)
	f.clock.pass(20*time.Minute + 20*time.Second)
	if got := f.stored(t, "u"); got != nil {
		t.Errorf("after the timeout: got %v", got)
	}
}

// A flush does not bring back a session that ends before it or while it runs, and leaves no record
// of it, whatever else happens to the session.
func TestFlushAgainstOthers(t *testing.T) {
	t.Parallel()
	type other struct {
		name  string
		work  func(t *testing.T, f *fixture)
		id    string // afterwards; "": none
		marks []int64
	}
	for _, tt := range []other{
		{name: "invalidation", work: func(t *testing.T, f *fixture) {
			t.Helper()
			do(t, func(ctx context.Context) { must(t, f.get(ctx, t, "u").Invalidate()) })
		}},
		{name: "invalidation and a new session", work: func(t *testing.T, f *fixture) {
			t.Helper()
			do(t, func(ctx context.Context) {
				must(t, f.get(ctx, t, "u").Invalidate())
				must(t, f.get(ctx, t, "u").Set("n", 2))
			})
		}, id: "u", marks: []int64{60}},
		{name: "renewal", work: func(t *testing.T, f *fixture) {
			t.Helper()
			do(t, func(ctx context.Context) { must(t, f.renew(ctx, "u", "v")) })
		}, id: "v", marks: []int64{60}},
		{name: "expiry", work: func(t *testing.T, f *fixture) {
			t.Helper()
			f.clock.pass(time.Hour)
			_, err := f.Sweep(t.Context())
			must(t, err)
		}},
		{name: "a write", work: func(t *testing.T, f *fixture) {
			t.Helper()
			f.set(t, "u", map[string]any{"n": 2})
		}, id: "u", marks: []int64{60}},
		{name: "a later use", work: func(t *testing.T, f *fixture) {
			t.Helper()
			f.clock.pass(time.Minute)
			f.stored(t, "u")
			must(t, f.Flush(t.Context()))
		}, id: "u", marks: []int64{120}},
	} {
		for _, while := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, while it runs: %t", tt.name, while), func(t *testing.T) {
				t.Parallel()
				f, e, _ := newFaulty(t)
				// Another process, with a database that knows nothing of this one's uses.
				elsewhere := &fixture{
					db: storage.New("faulty", e.Engine), clock: f.clock, events: f.events,
				}
				elsewhere.Manager = elsewhere.another(t, session.Config{})
				elsewhere.SetCommonClock(f.clock.read)
				f.set(t, "u", map[string]any{"n": 1})
				f.clock.pass(time.Minute)
				f.stored(t, "u")
				if while {
					e.set(0, func() { tt.work(t, elsewhere) })
				} else {
					tt.work(t, elsewhere)
				}
				must(t, f.Flush(t.Context()))
				if f.Pending() != 0 {
					t.Errorf("%d pending", f.Pending())
				}
				wantNoOrphans(t, f.db)
				// The marks of two processes are both kept until the next mark or sweep.
				if got := marked(t, f.Manager, tt.id); tt.id != "" &&
					(len(got) == 0 || got[len(got)-1] != tt.marks[0]) || tt.id == "" && got != nil {
					t.Errorf("%s is marked at %v, want %v", tt.id, got, tt.marks)
				}
				if tt.id != "" {
					f.set(t, tt.id, map[string]any{"done": true})
				} else if got := f.stored(t, "u"); got != nil {
					t.Errorf("got %v, want nothing", got)
				}
				f.clock.pass(longUnused)
				if tt.id != "" {
					f.stored(t, tt.id)
				}
				f.clock.pass(longUnused)
				if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
					t.Errorf("sweep: got %d, %v", n, err)
				}
				wantWhole(t, f.db)
				f.clock.pass(time.Hour)
				_, err := f.Sweep(t.Context())
				must(t, err)
				if got := f.records(t); len(got) != 0 {
					t.Errorf("left over: %v", got)
				}
			})
		}
	}
}

// A use that becomes pending while a flush stores an earlier one of the same session is kept for the
// next flush.
func TestUseDuringFlush(t *testing.T) {
	t.Parallel()
	f, e, _ := newFaulty(t)
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(time.Minute)
	f.stored(t, "u")
	e.set(0, func() {
		f.clock.pass(time.Minute)
		f.stored(t, "u")
	})
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 60)
	if got := f.Pending(); got != 1 {
		t.Errorf("%d pending, want the later use", got)
	}
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 120)
}

// A pending use that a wrong clock has dated too far ahead does not count, and the mark does.
func TestPendingUseFarAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	f.clock.pass(1220 * time.Second)
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(580 * time.Second)
	f.stored(t, "u")
	if f.Pending() != 1 {
		t.Fatal("the use is not pending")
	}
	f.clock.jump(-1240 * time.Second)
	if got := lastUsed(t, f.Manager, "u"); got != 1220 {
		t.Errorf("used at %d, want the mark", got)
	}
	must(t, f.Flush(t.Context()))
	wantMarked(t, f.Manager, "u", 1220)
	if f.Pending() != 0 {
		t.Error("the use is still pending")
	}
}

// Uses that a wrong clock has dated are dropped, or replaced by the next one.
func TestPendingUseAndTheClock(t *testing.T) {
	t.Parallel()
	for _, flush := range []bool{false, true} {
		t.Run(fmt.Sprintf("flush=%t", flush), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			f.set(t, "u", map[string]any{"n": 1})
			// The wrong clock has gone on for hours, in steps in which the session stayed in use.
			for range 30 {
				f.clock.pass(10 * time.Minute)
				f.stored(t, "u")
			}
			if flush {
				must(t, f.Flush(t.Context()))
			}
			f.clock.jump(-5 * time.Hour)
			f.wantStored(t, "u", map[string]any{"n": int64(1)})
			if got := lastUsed(t, f.Manager, "u"); got != 0 {
				t.Errorf("used at %d", got)
			}
			f.clock.pass(20 * time.Second)
			f.stored(t, "u")
			must(t, f.Flush(t.Context()))
			wantMarked(t, f.Manager, "u", 20)
			f.clock.pass(20*time.Minute + 20*time.Second)
			if n, err := f.Sweep(t.Context()); n != 1 || err != nil {
				t.Errorf("sweep: got %d, %v", n, err)
			}
			if got := f.records(t); len(got) != 0 {
				t.Errorf("left over: %v", got)
			}
		})
	}
}

// The timer flushes a quarter of a period after the first use, and no timer runs while nothing is
// pending. A flush that fails is repeated, and the failure is logged once.
func TestFlushOnTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &faulty{Engine: memory.New("faulty").Engine()}
		db := storage.New("faulty", e)
		var log bytes.Buffer
		m, err := session.NewManager(db, session.Config{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		must(t, err)
		time.Sleep(time.Until(time.Now().Truncate(20 * time.Second).Add(20 * time.Second)))
		begin := time.Now()
		do(t, func(ctx context.Context) {
			s, err := m.Get(session.WithID(ctx, "u"))
			must(t, err)
			must(t, s.Set("n", 1))
		})
		read := func() {
			t.Helper()
			do(t, func(ctx context.Context) {
				_, err := m.Get(session.WithID(ctx, "u"))
				must(t, err)
			})
		}
		want := func(after time.Duration, pending int, slice time.Duration) {
			t.Helper()
			time.Sleep(time.Until(begin.Add(after)))
			synctest.Wait()
			do(t, func(ctx context.Context) {
				used, err := m.Used(ctx, "u")
				must(t, err)
				if m.Pending() != pending || len(used) != 1 || !used[0].Equal(begin.Add(slice)) {
					t.Errorf("after %v: %d pending, marked at %v", after, m.Pending(), used)
				}
			})
		}
		want(21*time.Second, 0, 0)
		read()
		want(26*time.Second-1, 1, 0)
		want(26*time.Second, 0, 20*time.Second)
		e.set(3, nil)
		want(41*time.Second, 0, 20*time.Second)
		read()
		want(56*time.Second, 1, 20*time.Second)
		want(61*time.Second-1, 1, 20*time.Second)
		want(61*time.Second, 0, 40*time.Second)
		if strings.Count(log.String(), "used failed") != 1 ||
			strings.Count(log.String(), "succeeds again") != 1 {
			t.Errorf("log:\n%s", &log)
		}
		// A new slice, a use, and the end of the database before the timer.
		want(81*time.Second, 0, 40*time.Second)
		read()
		must(t, db.Close())
		if m.Pending() != 0 {
			t.Error("closing the database left a use pending")
		}
	})
}

// A closed database has the uses that were pending, also if the manager that took them belongs to a
// pipeline that a reload has replaced.
func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	for _, reload := range []bool{false, true} {
		t.Run(fmt.Sprintf("reload=%t", reload), func(t *testing.T) {
			t.Parallel()
			uri := "bolt://" + filepath.ToSlash(filepath.Join(t.TempDir(), "data.db"))
			clock := newFakeClock()
			open := func(o *storage.Opener) (*storage.DB, *session.Manager) {
				bolt.Register(o)
				db, err := o.Open(t.Context(), uri)
				must(t, err)
				t.Cleanup(func() { _ = db.Close() })
				m, err := session.NewManager(db, session.Config{})
				must(t, err)
				m.SetClock(clock.read)
				return db, m
			}
			opener := storage.NewOpener()
			db, m := open(opener)
			for _, id := range []string{"u", "v"} {
				do(t, func(ctx context.Context) {
					s, err := m.Get(session.WithID(ctx, id))
					must(t, err)
					must(t, s.Set("n", 1))
				})
			}
			clock.pass(time.Minute)
			lastUsed(t, m, "u")
			if reload {
				next, after := open(opener.Renew())
				must(t, db.Close())
				if got := after.Pending(); got != 1 {
					t.Errorf("after the reload: %d pending", got)
				}
				clock.pass(time.Minute)
				if got := marked(t, after, "u"); !cmp.Equal(got, []int64{0}) {
					t.Errorf("marked at %v", got)
				}
				lastUsed(t, after, "v")
				must(t, m.Flush(t.Context())) // by the manager of the closed DB
				lastUsed(t, after, "u")
				db = next
			}
			must(t, db.Close())
			_, m = open(storage.NewOpener())
			if reload {
				wantMarked(t, m, "u", 120)
				wantMarked(t, m, "v", 120)
			} else {
				wantMarked(t, m, "u", 60)
				wantMarked(t, m, "v", 0)
			}
		})
	}
}

// A failure of the last flush is logged; it does not keep the database from being closed.
func TestCloseWithFailingFlush(t *testing.T) {
	t.Parallel()
	f, e, log := newFaulty(t)
	f.set(t, "u", map[string]any{"n": 1})
	f.clock.pass(time.Minute)
	f.stored(t, "u")
	e.set(1000, nil)
	if err := f.db.Close(); err != nil {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(log.String(), "sessions may expire up to half a timeout early") {
		t.Errorf("log: %q", log)
	}
}

// childVar is the variable that makes the test binary the child of [TestKill].
const childVar = "SESSION_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		if err := child(path); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child uses three sessions, of which it flushes the first use only, and waits to be killed.
func child(path string) error {
	db, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	m, err := session.NewManager(db, session.Config{})
	if err != nil {
		return err
	}
	clock := newFakeClock()
	m.SetClock(clock.read)
	work := func(id string, f func(s *session.Session) error) {
		err = errors.Join(err, transaction.Run(context.Background(), func(ctx context.Context) error {
			s, err := m.Get(session.WithID(ctx, id))
			if err != nil {
				return err
			}
			return f(s)
		}))
	}
	read := func(s *session.Session) error { return nil }
	write := func(s *session.Session) error { return s.Set("n", s.LastUsed().Unix()) }
	for _, id := range []string{"flushed", "pending", "written"} {
		work(id, write)
	}
	clock.pass(5 * time.Minute)
	work("flushed", read)
	err = errors.Join(err, m.Flush(context.Background()))
	clock.pass(time.Minute)
	work("written", write)
	clock.pass(4 * time.Minute)
	work("pending", read)
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return err
}

// A process that is killed loses the uses that are pending, and nothing else. The session lives for
// half the timeout after a lost use.
func TestKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if line != "ready\n" {
		t.Fatalf("child: %q, %v", line, err)
	}

	db, err := bolt.Open(path, nil)
	must(t, err)
	defer db.Close()
	f := &fixture{db: db, clock: newFakeClock(), events: new(events)}
	f.Manager = f.another(t, session.Config{})
	wantMarked(t, f.Manager, "flushed", 300)
	wantMarked(t, f.Manager, "written", 360)
	wantMarked(t, f.Manager, "pending", 0)
	wantWhole(t, db)
	f.clock.pass(20 * time.Minute) // half a timeout after the last use of each
	if n, err := f.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("sweep: got %d, %v", n, err)
	}
	for id, n := range map[string]int64{
		"flushed": start, "pending": start, "written": start + 360,
	} {
		f.wantStored(t, id, map[string]any{"n": n})
	}
}

// processes opens one PostgreSQL database in several programs that share a clock.
func processes(t *testing.T, n int) (*fakeClock, []*session.Manager) {
	t.Helper()
	uri, clock := pgtest.Database(t), newFakeClock()
	managers := make([]*session.Manager, n)
	for i := range managers {
		opener := storage.NewOpener()
		postgres.Register(opener)
		db, err := opener.Open(t.Context(), uri)
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		managers[i], err = session.NewManager(db, session.Config{})
		must(t, err)
		managers[i].SetCommonClock(clock.read)
	}
	return clock, managers
}

// A session that only one process uses is not ended by the sweeps of another, which does not see
// the pending uses.
func TestPendingUseInAnotherProcess(t *testing.T) {
	t.Parallel()
	clock, managers := processes(t, 2)
	a, b := managers[0], managers[1]
	do(t, func(ctx context.Context) {
		s, err := a.Get(session.WithID(ctx, "u"))
		must(t, err)
		must(t, s.Set("n", 1))
	})
	for _, idle := range []time.Duration{ // between uses, each less than the timeout
		time.Minute, 9 * time.Minute, 19 * time.Minute, 10 * time.Minute, 11 * time.Minute,
		20 * time.Minute, 10*time.Minute + 19*time.Second, 20 * time.Second,
	} {
		clock.pass(idle)
		lastUsed(t, a, "u")
		clock.pass(9*time.Minute + 40*time.Second) // the flush of A is late
		if n, err := b.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("idle for %v: the sweep got %d, %v", idle, n, err)
		}
		must(t, a.Flush(t.Context()))
		clock.pass(-(9*time.Minute + 40*time.Second))
	}
	clock.pass(20*time.Minute + 40*time.Second)
	if n, err := b.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("sweep: got %d, %v", n, err)
	}
}

// Processes whose flushes store uses of one session at the same time leave one mark, the latest.
func TestFlushesOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	clock, managers := processes(t, 3)
	do(t, func(ctx context.Context) {
		s, err := managers[0].Get(session.WithID(ctx, "u"))
		must(t, err)
		must(t, s.Set("n", 1))
	})
	for range 5 {
		for _, m := range managers {
			clock.pass(20 * time.Second)
			lastUsed(t, m, "u")
		}
		var all sync.WaitGroup
		for _, m := range managers {
			all.Go(func() {
				if err := m.Flush(t.Context()); err != nil || m.Pending() != 0 {
					t.Errorf("got %v, %d pending", err, m.Pending())
				}
			})
		}
		all.Wait()
		got := marked(t, managers[0], "u")
		now, _ := clock.read()
		if len(got) == 0 || got[len(got)-1] != now.Unix()-start {
			t.Errorf("marked at %v, want %d as the last", got, now.Unix()-start)
		}
	}
	clock.pass(time.Hour)
	if n, err := managers[1].Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("sweep: got %d, %v", n, err)
	}
	do(t, func(ctx context.Context) {
		if got, err := managers[2].Records(ctx); len(got) != 0 || err != nil {
			t.Errorf("left over: %v, %v", got, err)
		}
	})
}

// A statements is a listener that counts the SQL statements of a job.
type statements struct{ n int }

func (*statements) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	return ctx
}
func (*statements) RequestEnd(context.Context, observe.RequestEnd)    {}
func (s *statements) StatementEnd(context.Context, observe.Statement) { s.n++ }

// On PostgreSQL the first read of a session in its time slice takes one statement, as the others do.
func TestFirstReadIsOneStatement(t *testing.T) {
	t.Parallel()
	clock, managers := processes(t, 1)
	m := managers[0]
	do(t, func(ctx context.Context) {
		s, err := m.Get(session.WithID(ctx, "u"))
		must(t, err)
		must(t, s.Set("n", 1))
	})
	for _, pass := range []time.Duration{0, 20 * time.Second, 0} {
		clock.pass(pass)
		var count statements
		ctx := observe.NewContext(t.Context(), observe.NewJob("read", observe.NewListeners(&count)))
		must(t, transaction.Run(ctx, func(ctx context.Context) error {
			s, err := m.Get(session.WithID(ctx, "u"))
			if err != nil {
				return err
			}
			_, _, err = session.Get[int](s, "n")
			return err
		}))
		if count.n != 1 {
			t.Errorf("after %v: %d statements, want 1", pass, count.n)
		}
	}
}
