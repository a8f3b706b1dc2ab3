package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A gate stops each commit of a database before it is written, and decides its outcome.
type gate struct {
	arrived chan struct{}
	outcome chan error // nil: it is committed
}

func newGate(db *storage.DB) *gate {
	g := &gate{make(chan struct{}), make(chan error)}
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		g.arrived <- struct{}{}
		if err := <-g.outcome; err != nil {
			return err
		}
		return tx.Commit()
	})
	return g
}

// speculativeView begins a speculative view, as the holder of a ticket does.
func speculativeView(tb testing.TB, db *storage.DB) engine.View {
	tb.Helper()
	e, ok := db.Engine().(engine.Speculative)
	if !ok {
		tb.Fatal("not a Speculative engine")
	}
	v, err := e.BeginSpeculative(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// startCommit commits writes after reads of keys, on a goroutine of its own.
func startCommit(v engine.View, accepted func(), reads []string, writes ...engine.Write) (decided <-chan error) {
	c := &engine.Changes{Writes: writes, Accepted: accepted}
	for _, key := range reads {
		c.Reads = append(c.Reads, engine.ReadKey{Bucket: "b", Key: key})
	}
	result := make(chan error, 1)
	go func() {
		defer v.Close()
		result <- v.Commit(context.Background(), c)
	}()
	return result
}

// acceptCommit is startCommit, except that it returns when the commit is accepted.
func acceptCommit(v engine.View, reads []string, writes ...engine.Write) (decided <-chan error) {
	accepted := make(chan struct{})
	decided = startCommit(v, func() { close(accepted) }, reads, writes...)
	<-accepted
	return decided
}

func write(key, value string) engine.Write {
	return engine.Write{Bucket: "b", Key: key, Value: []byte(value)}
}

func viewGet(tb testing.TB, v engine.View, key, want string) {
	tb.Helper()
	got, err := v.Get("b", []byte(key))
	if err != nil || string(got) != want {
		tb.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// Transactions that queue for one key share fsyncs, and each reads its predecessor's write.
func TestTicketsShareASync(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	const clients, each = 32, 20
	syncs := 0
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		syncs++
		return tx.Commit()
	})
	var group sync.WaitGroup
	numbers := make(chan int, clients*each)
	for range clients {
		group.Go(func() {
			for range each {
				var n int
				err := transaction.Run(t.Context(), func(ctx context.Context) (err error) {
					n, err = increment(ctx, db)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				numbers <- n
			}
		})
	}
	group.Wait()
	close(numbers)
	var all []int
	for n := range numbers {
		all = append(all, n)
	}
	slices.Sort(all)
	for i, n := range all {
		if n != i+1 {
			t.Fatalf("got %d as number %d: an increment was lost", n, i+1)
		}
	}
	if syncs >= clients*each {
		t.Errorf("%d increments took %d commits", clients*each, syncs)
	}
	t.Logf("%d increments of one key in %d commits", clients*each, syncs)
}

func increment(ctx context.Context, db *storage.DB) (int, error) {
	tx, err := db.Tx(ctx)
	if err != nil {
		return 0, err
	}
	b := tx.Bucket("b")
	value, err := b.Get([]byte("n"))
	if err != nil {
		return 0, err
	}
	n := 0
	if value != nil {
		if n, err = strconv.Atoi(string(value)); err != nil {
			return 0, err
		}
	}
	return n + 1, b.Put([]byte("n"), []byte(strconv.Itoa(n+1)))
}

// An accepted commit is visible to speculative views only, and a transaction that has read it is
// decided with it or later.
func TestSpeculativeViewShowsAcceptedCommits(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "k", "0")
	gate := newGate(db)
	first := acceptCommit(speculativeView(t, db), nil, write("k", "1"))
	<-gate.arrived

	v := speculativeView(t, db)
	viewGet(t, v, "k", "1")
	second := acceptCommit(v, []string{"k"}, write("k", "2"))
	reader := speculativeView(t, db)
	viewGet(t, reader, "k", "2")
	stale := speculativeView(t, db)
	viewGet(t, stale, "k", "2")
	third := acceptCommit(speculativeView(t, db), nil, engine.Write{Bucket: "b", Key: "k"}) // deletes
	gone := speculativeView(t, db)
	viewGet(t, gone, "k", "")
	viewGet(t, reader, "k", "2")
	if got := get(t, db, "k"); string(got) != "0" {
		t.Errorf("got %q before it is durable, want 0", got)
	}
	lost := startCommit(stale, nil, []string{"k"}, write("k", "x"))
	read := startCommit(reader, nil, nil)
	for _, decided := range []<-chan error{first, second, third, lost} {
		select {
		case err := <-decided:
			t.Errorf("got %v before anything is on the disk", err)
		default:
		}
	}
	gate.outcome <- nil
	if err := <-first; err != nil {
		t.Error(err)
	}
	<-gate.arrived
	select {
	case err := <-read:
		t.Errorf("the reader got %v before what it had read is on the disk", err)
	default:
	}
	gate.outcome <- nil
	if err := errors.Join(<-second, <-third, <-read); err != nil {
		t.Error(err)
	}
	if err := <-lost; !transaction.IsTransient(err) {
		t.Errorf("a transaction with a stale read: got %v, want a conflict", err)
	}
	gone.Close()
	if got := get(t, db, "k"); got != nil {
		t.Errorf("got %q, want that it was deleted", got)
	}
}

// Transactions that have read a commit that fails are rejected too, with writes or without, and no
// others are.
func TestDependentsAreRejected(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "k", "0")
	gate := newGate(db)
	boom := errors.New("no space left on device")
	first := acceptCommit(speculativeView(t, db), nil, write("k", "1"))
	<-gate.arrived

	v, w := speculativeView(t, db), speculativeView(t, db)
	viewGet(t, v, "k", "1")
	viewGet(t, w, "other", "")
	second := acceptCommit(v, []string{"k"}, write("l", "because k is 1"))
	apart := acceptCommit(w, []string{"other"}, write("other", "1"))
	w = speculativeView(t, db)
	viewGet(t, w, "l", "because k is 1")
	third := acceptCommit(w, []string{"l"}, write("m", "because of l"))
	late, reader, idle := speculativeView(t, db), speculativeView(t, db), speculativeView(t, db)
	viewGet(t, late, "m", "because of l")
	viewGet(t, reader, "k", "1")
	viewGet(t, idle, "nothing", "")
	read := startCommit(reader, nil, nil)

	gate.outcome <- boom
	if err := <-first; !errors.Is(err, boom) || transaction.IsTransient(err) {
		t.Errorf("the first: got %v, want boom", err)
	}
	if err := <-read; !transaction.IsTransient(err) {
		t.Errorf("a reader: got %v, want a transient error", err)
	}
	<-gate.arrived // of apart alone
	begun := make(chan engine.View)
	go func() { begun <- speculativeView(t, db) }() // waits: the gathering group has failed
	gate.outcome <- nil
	for name, decided := range map[string]<-chan error{"second": second, "third": third, "late": startCommit(late, nil, []string{"m"}, write("n", "1"))} {
		if err := <-decided; !transaction.IsTransient(err) {
			t.Errorf("%s: got %v, want a transient error", name, err)
		}
	}
	if err := errors.Join(<-apart, <-startCommit(idle, nil, nil)); err != nil {
		t.Errorf("independent transactions: %v", err)
	}
	again := <-begun
	viewGet(t, again, "k", "0")
	viewGet(t, again, "other", "1")
	decided := acceptCommit(again, []string{"k"}, write("k", "2"))
	<-gate.arrived
	gate.outcome <- nil
	if err := <-decided; err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{"k": "2", "l": "", "m": "", "n": "", "other": "1"} {
		if got := get(t, db, key); string(got) != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// The abort of a transaction waits until everything that it has read is committed, and fails if that
// was not.
func TestAbortAwaitsReads(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "n", "1")
	err := incrementAfter(t.Context(), db, func() { mustPut(t, db, "n", "2") })
	ctx, release := ticketAfter(t.Context(), t, err) // the holder of a ticket reads speculatively
	defer release()
	for _, fails := range []bool{false, true} {
		gate := newGate(db)
		other := acceptCommit(speculativeView(t, db), nil, write("m", "3"))
		<-gate.arrived
		ctx, txn := transaction.Begin(ctx)
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if value, err := tx.Bucket("b").Get([]byte("m")); string(value) != "3" || err != nil {
			t.Errorf("got %q, %v, want 3: the test needs a speculative view", value, err)
		}
		aborted := make(chan error)
		go func() { aborted <- txn.Abort(ctx) }()
		until(t, "the abort waits", func() bool { return bolt.Awaited(db) })
		select {
		case err := <-aborted:
			t.Errorf("the abort did not wait: %v", err)
		default:
		}
		if fails {
			gate.outcome <- errors.New("boom")
		} else {
			gate.outcome <- nil
		}
		if err := <-other; (err != nil) != fails {
			t.Error(err)
		}
		if err := <-aborted; transaction.IsTransient(err) != fails {
			t.Errorf("fails %t: the abort got %v", fails, err)
		}
		bolt.SetCommit(db, (*bbolt.Tx).Commit)
		if err := fmt.Sprint(deleteKey(db, "m")); err != "<nil>" {
			t.Error(err)
		}
	}
}

func deleteKey(db *storage.DB, key string) error {
	return transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return tx.Bucket("b").Delete([]byte(key))
	})
}

// incrementAfter increments once, and calls before ahead of the commit.
func incrementAfter(ctx context.Context, db *storage.DB, before func()) error {
	ctx, txn := transaction.Begin(ctx)
	defer func() { _ = txn.Abort(ctx) }()
	if _, err := increment(ctx, db); err != nil {
		return err
	}
	before()
	return txn.Commit(ctx)
}

// A group that has ended keeps no earlier group in memory.
func TestGroupsAreFreed(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	gate := newGate(db)
	last := acceptCommit(speculativeView(t, db), nil, write("n", "0"))
	for i := range 20 {
		<-gate.arrived
		v := speculativeView(t, db)
		viewGet(t, v, "n", strconv.Itoa(i))
		next := acceptCommit(v, []string{"n"}, write("n", strconv.Itoa(i+1)))
		gate.outcome <- nil
		if err := <-last; err != nil {
			t.Fatal(err)
		}
		last = next
		if n := bolt.Groups(db); n > 2 {
			t.Fatalf("after %d commits, %d groups are in memory", i+1, n)
		}
	}
	<-gate.arrived
	gate.outcome <- nil
	if err := <-last; err != nil {
		t.Error(err)
	}
}

// A transaction that held a ticket, and was rejected because it had read a write that failed, gets a
// ticket for its next attempt.
func TestDependentGetsAnotherTicket(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	mustPut(t, db, "n", "1")
	err := incrementAfter(t.Context(), db, func() { mustPut(t, db, "n", "2") })
	ctx, release := ticketAfter(t.Context(), t, err)
	defer release()
	gate := newGate(db)
	other := acceptCommit(speculativeView(t, db), nil, write("n", "3"))
	<-gate.arrived
	result := make(chan error)
	go func() { result <- incrementAfter(ctx, db, func() {}) }()
	until(t, "the commit is accepted", func() bool { return bolt.Pending(db) == 1 })
	gate.outcome <- errors.New("boom")
	if err := <-other; err == nil {
		t.Error("no error of the one that failed")
	}
	err = <-result
	if !transaction.IsTransient(err) {
		t.Fatalf("got %v, want a transient error", err)
	}
	bolt.SetCommit(db, (*bbolt.Tx).Commit)
	ctx, release = ticketAfter(ctx, t, err)
	defer release()
	err = incrementAfter(ctx, db, func() {
		if err := incrementAfter(t.Context(), db, func() {}); !transaction.IsTransient(err) {
			t.Errorf("a transaction without a ticket: got %v, want a conflict", err)
		}
	})
	if got := get(t, db, "n"); err != nil || string(got) != "3" {
		t.Errorf("got %v and %q, want 3", err, got)
	}
}

func ticketAfter(ctx context.Context, tb testing.TB, err error) (next context.Context, release func()) {
	tb.Helper()
	waiter, ok := errors.AsType[resource.Waiter](err)
	if !ok {
		tb.Fatalf("got %v, want an error that waits for a ticket", err)
	}
	next, release, err = waiter.Wait(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return next, release
}

// Decided, called while a commit enlarges the memory map, waits for the commit with no bbolt
// transaction open.
func TestDecidedBesideGrowth(t *testing.T) {
	t.Parallel()
	db, err := bolt.Open(tempFile(t), &bolt.Options{MmapSize: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e, ok := db.Engine().(engine.Recorder)
	if !ok {
		t.Fatal("not a Recorder")
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for j := range 40 {
				if err := put(db, fmt.Sprint(i, j), make([]byte, 20_000)); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for j := range 40 {
				id := fmt.Sprint("t", i, j)
				if committed, err := e.Settle(t.Context(), id); committed || err != nil {
					t.Errorf("settle: got %t, %v", committed, err)
				}
				if committed, err := e.Decided(t.Context(), id); committed || err != nil {
					t.Errorf("decided: got %t, %v", committed, err)
				}
			}
		})
	}
	group.Wait()
}

// A transaction that recovery has aborted is rejected with its dependents in the same group.
func TestDependentsOfAborted(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, tempFile(t))
	e, ok := db.Engine().(engine.Recorder)
	if !ok {
		t.Fatal("not a Recorder")
	}
	if committed, err := e.Settle(t.Context(), "lost"); committed || err != nil {
		t.Fatalf("got %t, %v", committed, err)
	}
	gate := newGate(db)
	blocker := acceptCommit(speculativeView(t, db), nil, write("x", "1"))
	<-gate.arrived
	accepted, result := make(chan struct{}), make(chan error, 1)
	go func() {
		v, err := db.Engine().Begin(context.Background())
		if err != nil {
			t.Error(err)
		}
		defer v.Close()
		result <- v.Commit(context.Background(), &engine.Changes{
			Writes: []engine.Write{write("k", "1")}, Decision: "lost", Accepted: func() { close(accepted) },
		})
	}()
	<-accepted
	v, apart := speculativeView(t, db), speculativeView(t, db)
	viewGet(t, v, "k", "1")
	reader := acceptCommit(v, []string{"k"}, write("l", "because k is 1"))
	decided := acceptCommit(apart, nil, write("other", "1"))
	gate.outcome <- nil
	<-gate.arrived
	gate.outcome <- nil
	if err := errors.Join(<-blocker, <-decided); err != nil {
		t.Error(err)
	}
	if err, readerErr := <-result, <-reader; !transaction.IsTransient(err) || !transaction.IsTransient(readerErr) {
		t.Errorf("got %v and %v, want transient errors", err, readerErr)
	}
	for key, want := range map[string]string{"k": "", "l": "", "other": "1", "x": "1"} {
		if got := get(t, db, key); string(got) != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
}

// With every read operation, a speculative view shows exactly the data that a view shows when all
// its commits are on the disk.
func TestSpeculativeViewIsExact(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		db := mustOpen(t, tempFile(t))
		batch := func() (writes []engine.Write) {
			for i := range 12 {
				if random.IntN(3) > 0 {
					continue
				}
				w := write(fmt.Sprintf("%02d", i), fmt.Sprint(random.IntN(100)))
				switch random.IntN(4) {
				case 0:
					w.Value = nil
				case 1:
					w.Value = []byte{}
				}
				writes = append(writes, w)
			}
			return append(writes, write("~", "last"))
		}
		if err := <-acceptCommit(speculativeView(t, db), nil, batch()...); err != nil {
			t.Fatal(err)
		}
		gate := newGate(db)
		decided := []<-chan error{acceptCommit(speculativeView(t, db), nil, batch()...)}
		<-gate.arrived
		decided = append(decided, acceptCommit(speculativeView(t, db), nil, batch()...), acceptCommit(speculativeView(t, db), nil, batch()...))
		ahead := speculativeView(t, db)
		decided = append(decided, acceptCommit(speculativeView(t, db), nil, write("later", "not shown")))
		ranges := []storage.Range{{}, {Reverse: true}}
		for range 20 {
			from, to := fmt.Sprintf("%02d", random.IntN(12)), fmt.Sprintf("%02d", random.IntN(13))
			ranges = append(ranges, storage.Range{From: []byte(from), To: []byte(to), Reverse: random.IntN(2) == 0},
				storage.Range{From: []byte(from), Reverse: random.IntN(2) == 0})
		}
		got := readAll(t, ahead, ranges)
		gate.outcome <- nil
		<-gate.arrived
		gate.outcome <- nil
		for _, d := range decided {
			if err := <-d; err != nil {
				t.Fatal(err)
			}
		}
		bolt.SetCommit(db, (*bbolt.Tx).Commit)
		if err := deleteKey(db, "later"); err != nil {
			t.Fatal(err)
		}
		later, err := db.Engine().Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := readAll(t, later, ranges); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		ahead.Close()
		later.Close()
	}
}

func readAll(tb testing.TB, v engine.View, ranges []storage.Range) string {
	tb.Helper()
	var text bytes.Buffer
	for i := range 13 {
		value, err := v.Get("b", fmt.Appendf(nil, "%02d", i))
		fmt.Fprintf(&text, "%02d: %q %t %v\n", i, value, value == nil, err)
	}
	lister, ok := v.(engine.Lister)
	if !ok {
		tb.Fatal("not a Lister")
	}
	for _, r := range ranges {
		fmt.Fprintf(&text, "%s to %s, %t:", r.From, r.To, r.Reverse)
		var items []storage.Item
		for item, err := range v.Range("b", r) {
			if err != nil {
				tb.Fatal(err)
			}
			items = append(items, item)
			fmt.Fprintf(&text, " %s=%q", item.Key, item.Value)
		}
		listed, err := lister.List("b", r)
		if err != nil || fmt.Sprint(listed) != fmt.Sprint(items) {
			tb.Errorf("%s to %s: got %v, %v from List, and %v from Range", r.From, r.To, listed, err, items)
		}
		for item := range v.Range("b", r) { // not to the end
			fmt.Fprintf(&text, " first %s", item.Key)
			break
		}
		text.WriteString("\n")
	}
	return text.String()
}

// On a disk that sometimes fails, exactly the acknowledged commits are stored, and each read its
// predecessor's write.
func TestBadDisk(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	db := open(t, path)
	boom := errors.New("no space left on device")
	random := rand.New(rand.NewPCG(3, 4)) // used by one leader at a time
	bolt.SetCommit(db, func(tx *bbolt.Tx) error {
		if random.IntN(3) == 0 {
			return boom
		}
		return tx.Commit()
	})
	const clients, each = 24, 30
	var group sync.WaitGroup
	var mu sync.Mutex
	numbers := map[int]int{}
	readFailed := 0
	for range clients {
		group.Go(func() {
			for range each {
				var n int
				err := transaction.Run(t.Context(), func(ctx context.Context) (err error) {
					n, err = increment(ctx, db)
					return err
				})
				mu.Lock()
				switch {
				case err == nil:
					numbers[n]++
				case transaction.IsTransient(err):
					readFailed++
				case !errors.Is(err, boom):
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	bolt.SetCommit(db, (*bbolt.Tx).Commit)
	if got := string(get(t, db, "n")); got != strconv.Itoa(len(numbers)) {
		t.Errorf("got %s, want %d, the number of acknowledged commits", got, len(numbers))
	}
	for n := range len(numbers) {
		if numbers[n+1] != 1 {
			t.Errorf("%d was returned %d times", n+1, numbers[n+1])
		}
	}
	t.Logf("of %d, %d were acknowledged, %d ran out of tries", clients*each, len(numbers), readFailed)
	closeDB(t, db)
	checkFile(t, path)
}
