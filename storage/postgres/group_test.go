package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// A rowGate keeps the commits of one row waiting, on the server.
type rowGate struct {
	tb   testing.TB
	conn *pgx.Conn
}

// closeGate locks the row of a key in bucket b.
func closeGate(tb testing.TB, uri, key string) rowGate {
	tb.Helper()
	conn := connect(tb, uri)
	exec(tb, conn, "BEGIN",
		"SELECT FROM pasteline_data WHERE bucket = 'b' AND key = '"+key+"' FOR UPDATE")
	return rowGate{tb, conn}
}

// atTheGate asks whether a commit waits.
const atTheGate = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' ` +
	`AND datname = current_database())`

func (g rowGate) open() { g.tb.Helper(); exec(g.tb, g.conn, "COMMIT") }

// openChanged changes the row first, as another program would.
func (g rowGate) openChanged(key string) {
	g.tb.Helper()
	exec(g.tb, g.conn, "UPDATE pasteline_data SET version = version + 1, value = 'other'"+
		" WHERE bucket = 'b' AND key = '"+key+"'", "COMMIT")
}

// openGrouped opens a database that is closed after the views that second begins.
func openGrouped(tb testing.TB, uri string) *storage.DB {
	tb.Helper()
	db := openDB(tb, uri)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// second begins the view of a second attempt.
func second(tb testing.TB, db *storage.DB) engine.View {
	tb.Helper()
	used := engine.ReadRange{Bucket: "b", From: "k", To: "k\x00"}
	v, err := postgres.BeginSecond(tb.Context(), db, used)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	return v
}

// wantValue reads a key of bucket b.
func wantValue(tb testing.TB, v engine.View, key, want string) {
	tb.Helper()
	got, err := v.Get("b", []byte(key))
	if err != nil || string(got) != want {
		tb.Errorf("%s: got %q, %v, want %q", key, got, err, want)
	}
}

// wantStored reads a key of bucket b in a transaction of its own.
func wantStored(tb testing.TB, db *storage.DB, key, want string) {
	tb.Helper()
	v, err := db.Engine().Begin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer v.Close()
	wantValue(tb, v, key, want)
}

// wantAll reads all keys of bucket b, which are one page.
func wantAll(tb testing.TB, v engine.View, want ...string) {
	tb.Helper()
	var got []string
	for item, err := range v.Range("b", storage.Range{}) {
		if err != nil {
			tb.Fatal(err)
		}
		got = append(got, string(item.Key)+"="+string(item.Value))
	}
	if !slices.Equal(got, want) {
		tb.Errorf("got %q, want %q", got, want)
	}
}

// accept commits writes, after reads of keys, and returns when the commit is accepted.
func accept(v engine.View, reads []string, writes ...engine.Write) (decided <-chan error) {
	accepted, result := make(chan struct{}), make(chan error, 1)
	c := &engine.Changes{Writes: writes, Accepted: func() { close(accepted) }}
	for _, key := range reads {
		c.Reads = append(c.Reads, engine.ReadKey{Bucket: "b", Key: key})
	}
	go func() {
		err := v.Commit(context.Background(), c)
		v.Close()
		result <- err
	}()
	select {
	case <-accepted:
	case err := <-result: // it was refused at once
		result <- err
	}
	return result
}

func write(key, value string) engine.Write {
	return engine.Write{Bucket: "b", Key: key, Value: []byte(value)}
}

func wantConflict(tb testing.TB, err error, key string) {
	tb.Helper()
	conflict, _ := errors.AsType[*storage.ConflictError](err)
	if conflict == nil || string(conflict.Key) != key {
		tb.Errorf("got %v, want a conflict over %s", err, key)
	}
}

func wantTransient(tb testing.TB, err error) {
	tb.Helper()
	if !transaction.IsTransient(err) {
		tb.Errorf("got %v, want a transient error", err)
	}
}

// fill puts keys into bucket b, each with the value 0.
func fill(tb testing.TB, db *storage.DB, keys ...string) {
	tb.Helper()
	run(tb, func(ctx context.Context) error {
		for _, key := range keys {
			b, err := db.Bucket(ctx, "b")
			if err != nil {
				return err
			}
			if err := b.Put([]byte(key), []byte("0")); err != nil {
				return err
			}
		}
		return nil
	})
}

// The next holder of a ticket reads what the one before has committed, and its commit is accepted,
// before the server has the first commit. All are committed then.
func TestAcceptedCommitsAreRead(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "k", "other")
	gate := closeGate(t, uri, "k")
	v := second(t, db)
	wantAll(t, v, "k=0", "other=0")
	decided := []<-chan error{accept(v, []string{"k"}, write("k", "1"))}
	for i := 1; i < 5; i++ {
		n := strconv.Itoa(i)
		v := second(t, db)
		wantValue(t, v, "k", n)
		wantAll(t, v, "k="+n, "other=0")
		decided = append(decided, accept(v, []string{"k"}, write("k", strconv.Itoa(i+1))))
	}
	v = second(t, db) // deletes, and the next one creates
	decided = append(decided, accept(seeing(t, v, "k", "5"), []string{"k"}, engine.Write{Bucket: "b", Key: "k"}))
	v = second(t, db)
	wantAll(t, v, "other=0")
	decided = append(decided, accept(v, []string{"k"}, write("k", "again"), write("new", "1")))
	gate.open()
	for i, d := range decided {
		if err := <-d; err != nil {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	wantStored(t, db, "k", "again")
	wantStored(t, db, "new", "1")
}

// seeing returns v after it has read a key.
func seeing(tb testing.TB, v engine.View, key, want string) engine.View {
	tb.Helper()
	wantValue(tb, v, key, want)
	return v
}

// If an accepted commit fails, so do all that have read its writes, and only those.
func TestDependentsFail(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "k", "other")
	gate := closeGate(t, uri, "k")
	first := accept(seeing(t, second(t, db), "k", "0"), []string{"k"}, write("k", "1"))
	next := accept(seeing(t, second(t, db), "k", "1"), []string{"k"}, write("k", "2"))
	last := accept(seeing(t, second(t, db), "k", "2"), []string{"k"}, write("k", "3"))
	v, err := db.Engine().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantValue(t, v, "other", "0")
	if err := <-accept(v, []string{"other"}, write("other", "1")); err != nil {
		t.Errorf("another key: %v", err)
	}
	late := seeing(t, second(t, db), "k", "3")
	gate.openChanged("k")
	wantConflict(t, <-first, "k")
	wantTransient(t, <-next)
	wantTransient(t, <-last)
	wantTransient(t, <-accept(late, []string{"k"}, write("k", "4")))
	wantStored(t, db, "k", "other")
	wantStored(t, db, "other", "1")
}

// A member of a group that the server refuses fails without those before it.
func TestRefusedMember(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "j", "k")
	gate := closeGate(t, uri, "k")
	v := second(t, db)
	wantAll(t, v, "j=0", "k=0")
	first := accept(v, []string{"k"}, write("k", "1"))
	until(t, connect(t, uri), atTheGate) // so that the next ones are sent after the update of j
	good := accept(seeing(t, second(t, db), "k", "1"), []string{"k"}, write("k", "2"))
	bad := accept(seeing(t, second(t, db), "k", "2"), []string{"j", "k"}, write("k", "3"))
	last := accept(seeing(t, second(t, db), "k", "3"), []string{"k"}, write("k", "4"))
	exec(t, connect(t, uri),
		"UPDATE pasteline_data SET version = version + 1 WHERE bucket = 'b' AND key = 'j'")
	gate.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := <-good; err != nil {
		t.Error(err)
	}
	wantConflict(t, <-bad, "j")
	wantTransient(t, <-last)
	wantStored(t, db, "k", "2")
}

// Two views that have read the same commit can't both replace its write.
func TestReadersOfOneCommit(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "k")
	gate := closeGate(t, uri, "k")
	first := accept(seeing(t, second(t, db), "k", "0"), []string{"k"}, write("k", "1"))
	a, b := seeing(t, second(t, db), "k", "1"), seeing(t, second(t, db), "k", "1")
	won := accept(a, []string{"k"}, write("k", "a"))
	lost := accept(b, []string{"k"}, write("k", "b"))
	wantConflict(t, <-lost, "k")
	gate.open()
	if err := errors.Join(<-first, <-won); err != nil {
		t.Error(err)
	}
	wantStored(t, db, "k", "a")
}

// An answer that is based on a commit which was not on the server yet is not sent unless a commit
// verifies it: not that of a transaction that only read, nor that of an aborted one.
func TestEarlyReadIsNoAnswer(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "k", "other")
	gate := closeGate(t, uri, "k")
	first := accept(seeing(t, second(t, db), "k", "0"), []string{"k"}, write("k", "1"))
	reader := seeing(t, second(t, db), "k", "1")
	aborted := seeing(t, second(t, db), "k", "1")
	wantTransient(t, reader.Commit(t.Context(), &engine.Changes{}))
	awaiter, ok := aborted.(engine.Awaiter)
	if !ok {
		t.Fatal("no Awaiter")
	}
	wantTransient(t, awaiter.Await(t.Context()))
	// a further read waits for the commit, and verifies the earlier one
	further := seeing(t, second(t, db), "k", "1")
	gate.open()
	wantValue(t, further, "other", "0")
	if err := errors.Join(<-first, further.Commit(t.Context(), &engine.Changes{})); err != nil {
		t.Error(err)
	}
}

// A commit without a ticket waits for an accepted one that writes the same key, and loses to it.
func TestAcceptedComesFirst(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openGrouped(t, uri)
	fill(t, db, "k")
	plain, err := db.Engine().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	wantValue(t, plain, "k", "0")
	gate := closeGate(t, uri, "k")
	first := accept(seeing(t, second(t, db), "k", "0"), []string{"k"}, write("k", "1"))
	result := make(chan error, 1)
	go func() {
		result <- plain.Commit(context.Background(), &engine.Changes{
			Reads:  []engine.ReadKey{{Bucket: "b", Key: "k"}},
			Writes: []engine.Write{write("k", "plain")},
		})
	}()
	gate.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	wantConflict(t, <-result, "k")
	wantStored(t, db, "k", "1")
}

// Another process gets the lock of a key when the accepted commits of this one are committed.
func TestAcceptedKeepsLocks(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db, other := openGrouped(t, uri), openGrouped(t, with(uri, "application_name=other"))
	fill(t, db, "k")
	keys := []engine.ReadKey{{Bucket: "b", Key: "k"}}
	lock := func(ctx context.Context, db *storage.DB) (func(), error) {
		e, ok := db.Engine().(engine.KeyLocker)
		if !ok {
			t.Fatal("no KeyLocker")
		}
		return e.LockKeys(ctx, keys)
	}
	release, err := lock(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	gate := closeGate(t, uri, "k")
	accepted, result := make(chan struct{}), make(chan error, 1)
	v := seeing(t, second(t, db), "k", "0")
	go func() {
		result <- v.Commit(context.Background(), &engine.Changes{
			Reads: keys, Locked: keys, Writes: []engine.Write{write("k", "1")},
			Accepted: func() { release(); close(accepted) },
		})
	}()
	<-accepted
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if release, err := lock(short, other); err == nil {
		release()
		t.Error("the other process got the lock before the commit had ended")
	}
	gate.open()
	if err := <-result; err != nil {
		t.Error(err)
	}
	release, err = lock(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// groups is a listener that counts the commits of groups.
type groups struct {
	listener
	mu      sync.Mutex
	commits int
	shared  int // of groups of more than one
}

func (*groups) Conflicted(context.Context, observe.Conflict) {}
func (*groups) Queued(context.Context, observe.Queue)        {}

func (g *groups) Grouped(_ context.Context, f observe.Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.commits++
	if f.Size > 1 {
		g.shared++
	}
}

// Transactions that queue for one key share statements. None is lost, and none is made twice, if the
// connection is lost: the group finds out its outcome.
func TestHeldKeyIsShared(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{none, before, middle, after, answer, late} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			uri := pgtest.Database(t)
			exec(t, connect(t, uri), countersTable)
			p, through := newProxy(t, uri)
			db := openDB(t, with(through, "pool_max_conns=4"))
			told := &groups{}
			const clients, each = 16, 12
			var crowd sync.WaitGroup
			for client := range clients {
				crowd.Go(func() {
					ctx := observe.NewContext(t.Context(),
						observe.NewJob("test", observe.NewListeners(told)))
					for n := range each {
						if client == 0 && n%3 == 1 {
							p.arm(f, marked)
						}
						err := transaction.Run(ctx, func(ctx context.Context) error {
							return increment(ctx, db, "n")
						}, transaction.Policy{Tries: 30})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			crowd.Wait()
			p.free()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			p.cut()
			if inBucket, _ := counters(t, uri); inBucket["n"] != clients*each {
				t.Errorf("got %d, want %d", inBucket["n"], clients*each)
			}
			if told.shared == 0 {
				t.Errorf("none of %d commits has shared a statement", told.commits)
			}
		})
	}
}
