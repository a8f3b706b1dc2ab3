package storagetest

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// seeded returns a generator with the seed STORAGETEST_SEED, or a new one, and logs the seed.
func seeded(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := cmp.Or(os.Getenv("STORAGETEST_SEED"), crand.Text())
	tb.Logf("STORAGETEST_SEED=%s", seed)
	return newRandom(seed)
}

// newRandom returns a generator that repeats its numbers for the same seed.
func newRandom(seed string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256([]byte(seed)))) //nolint:gosec // not secret
}

// randomByte returns one of 256 values.
func randomByte(random *rand.Rand) byte { return byte(random.Uint32() >> 24) }

// testRandomAgainstModel runs several transactions, interleaved step by step, and compares each
// result with the model's.
func testRandomAgainstModel(t *suite) {
	random := seeded(t)
	db := t.open()
	for range 20 {
		ops(t, db, t.ReadsConflict, func() byte { return randomByte(random) }, 400)
		reset(t, db)
	}
}

// Ops does n random steps on an empty database, chosen by the bytes that next returns, and compares
// the results with a model. Fuzz tests of an engine call it with the fuzzer's bytes.
func Ops(tb testing.TB, db *storage.DB, next func() byte, n int) {
	tb.Helper()
	ops(tb, db, false, next, n)
}

func ops(tb testing.TB, db *storage.DB, readsConflict bool, next func() byte, n int) {
	tb.Helper()
	m := &model{versions: map[string]version{}, readsConflict: readsConflict}
	var clients []*modelClient
	for step := range n {
		if len(clients) == 0 || len(clients) < 4 && next()%8 == 0 {
			clients = append(clients, m.begin(tb, db, step))
		}
		i := int(next()) % len(clients)
		if over := clients[i].step(next); over {
			clients = slices.Delete(clients, i, i+1)
		}
		if tb.Failed() {
			tb.Fatalf("in step %d", step)
		}
	}
	for _, c := range clients {
		c.abort()
	}
	if got, want := all(tb, db), show(m.at(m.now), storage.Range{}, 0); got != want {
		tb.Errorf("at the end: got %q, want %q", got, want)
	}
}

// A model is all versions of a bucket, by the number of the commit.
type model struct {
	now      int
	history  []map[string]string
	versions map[string]version

	readsConflict bool
}

type version struct{ written int }

func (m *model) at(seq int) map[string]string {
	if seq <= 0 {
		return nil
	}
	return m.history[seq-1]
}

// A modelClient is a transaction on a database and on the model.
type modelClient struct {
	*client
	model    *model
	id       int
	snapshot int // of the model, plus one; 0: not taken
	own      map[string]*string
	reads    map[string]bool // of keys in the model's small world
	// for each read until now, whether a state gives its result
	saw        []func(state map[string]string) bool
	savepoints []modelSavepoint
}

// begin begins a transaction with a savepoint from before the first use of the database.
func (m *model) begin(tb testing.TB, db *storage.DB, id int) *modelClient {
	tb.Helper()
	ctx, txn := transaction.Begin(tb.Context())
	tb.Cleanup(func() { _ = txn.Abort(context.Background()) }) // if a failed test left it open
	sp, err := txn.Savepoint()
	if err != nil {
		tb.Fatal(err)
	}
	tx, err := db.Tx(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return &modelClient{
		client: &client{
			t: tb, ctx: ctx, txn: txn, bucket: tx.Bucket("b"), mayLose: m.readsConflict,
		},
		model: m, id: id, own: map[string]*string{}, reads: map[string]bool{},
		savepoints: []modelSavepoint{{map[string]*string{}, sp}},
	}
}

type modelSavepoint struct {
	own map[string]*string
	sp  *transaction.Savepoint
}

// world is all keys. They are few, so that transactions conflict.
var world = []string{"a", "aa", "ab", "b", "ba", "c", "d", "da", "daa", "e"}

// begins takes the snapshot of the model, unless it is taken.
func (c *modelClient) begins() {
	if c.snapshot == 0 {
		c.snapshot = c.model.now + 1
	}
}

// snapshots returns the states of the model that the transaction may see: the one of its first read
// and, if an engine begins its snapshot with the second read, later ones that give the same results
// of all reads until now.
func (c *modelClient) snapshots() []int {
	if !c.model.readsConflict || c.snapshot == 0 {
		return []int{c.snapshot - 1}
	}
	var list []int
	for seq := c.snapshot - 1; seq <= c.model.now; seq++ {
		state := c.model.at(seq)
		if !slices.ContainsFunc(c.saw,
			func(same func(map[string]string) bool) bool { return !same(state) }) {
			list = append(list, seq)
		}
	}
	return list
}

// sees compares the result of a read with the wanted one, which want returns for a state that
// includes the transaction's own writes.
func (c *modelClient) sees(what, got string, want func(state map[string]string) string) {
	c.t.Helper()
	if c.lost != nil {
		if c.model.now == c.snapshot-1 {
			c.t.Errorf("%s: %v, though nothing was committed since", what, c.lost)
		}
		return
	}
	own := maps.Clone(c.own)
	full := func(state map[string]string) map[string]string {
		state = maps.Clone(state)
		if state == nil {
			state = map[string]string{}
		}
		for key, value := range own {
			if value == nil {
				delete(state, key)
			} else {
				state[key] = *value
			}
		}
		return state
	}
	before := c.model.at(c.snapshots()[0])
	c.saw = append(c.saw, func(state map[string]string) bool { return want(full(state)) == got })
	if list := c.snapshots(); len(list) == 0 || !c.model.readsConflict &&
		want(full(c.model.at(list[0]))) != got {
		c.t.Errorf("%s: got %q, want %q", what, got, want(full(before)))
	}
}

func (c *modelClient) step(next func() byte) (over bool) {
	c.t.Helper()
	key := world[int(next())%len(world)]
	defer func() {
		if !over && c.lost != nil {
			c.abort()
			over = true
		}
	}()
	value := func(state map[string]string) string { return orAbsent(state, key) }
	switch op := next() % 16; op {
	case 0, 1, 2:
		if own, wrote := c.own[key]; wrote { // is answered without a snapshot
			c.want(key, orDash(own))
		} else {
			c.reads[key] = true
			c.begins()
			c.sees("get "+key, c.get(key), value)
		}
	case 3, 4, 5:
		value := fmt.Sprintf("%d.%d", c.id, next())
		c.put(key, value)
		c.own[key] = &value
	case 6:
		c.delete(key)
		c.own[key] = nil
	case 7, 8, 9:
		c.scan(next)
	case 10:
		validated := c.bucket
		c.bucket = c.bucket.Snapshot()
		if _, wrote := c.own[key]; wrote {
			c.want(key, orDash(c.own[key]))
		} else {
			c.begins()
			c.sees("snapshot get "+key, c.get(key), value)
		}
		c.bucket = validated
	case 11:
		c.begins()
		c.reads[key] = true
		if err := c.bucket.AddReadConflict([]byte(key)); err != nil && !c.failed(err) {
			c.t.Error(err)
		}
	case 12:
		sp, err := c.txn.Savepoint()
		if err != nil {
			c.t.Fatal(err)
		}
		c.savepoints = append(c.savepoints, modelSavepoint{maps.Clone(c.own), sp})
	case 13:
		if n := len(c.savepoints); n > 0 {
			i := int(next()) % n
			if err := c.savepoints[i].sp.Rollback(); err != nil {
				c.t.Fatal(err)
			}
			c.own = maps.Clone(c.savepoints[i].own)
			c.savepoints = c.savepoints[:i+1]
		}
	case 14:
		c.abort()
		return true
	case 15:
		c.finish()
		return true
	}
	return false
}

func orDash(value *string) string {
	if value == nil {
		return "-"
	}
	return *value
}

func orAbsent(state map[string]string, key string) string {
	if value, ok := state[key]; ok {
		return value
	}
	return "-"
}

func (c *modelClient) scan(next func() byte) {
	c.t.Helper()
	bound := func() []byte {
		if i := int(next()) % (len(world) + 1); i < len(world) {
			return []byte(world[i])
		}
		return nil
	}
	r := storage.Range{From: bound(), To: bound(), Reverse: next()%2 == 0}
	limit := int(next() % 4)
	if r.To != nil && string(r.From) >= string(r.To) {
		limit = 0
		if got := c.list(r, limit); got != "" {
			c.t.Errorf("an empty range: got %q", got)
		}
		return
	}
	c.begins()
	writes := next()%4 == 0 // in the loop, which must not see them
	later := map[string]*string{}
	got := c.listWhile(r, limit, func(key string) {
		if writes {
			value := fmt.Sprintf("%d.loop", c.id)
			other := world[int(next())%len(world)]
			c.delete(key)
			c.put(other, value)
			later[key], later[other] = nil, &value
		}
	})
	c.sees(fmt.Sprintf("range %q to %q, reverse %t, limit %d", r.From, r.To, r.Reverse, limit), got,
		func(state map[string]string) string { return show(state, r, limit) })
	maps.Copy(c.own, later)
	if c.lost != nil {
		return
	}
	items := strings.Fields(got)
	if limit > 0 && len(items) == limit { // the loop was left
		last, _, _ := strings.Cut(items[limit-1], "=")
		if r.Reverse {
			r.From = []byte(last)
		} else {
			r.To = []byte(last + "\x00")
		}
	}
	for _, key := range world {
		if inside(r, key) {
			c.reads[key] = true
		}
	}
}

func inside(r storage.Range, key string) bool {
	return key >= string(r.From) && (r.To == nil || key < string(r.To))
}

// show returns the result of client.list for a state.
func show(state map[string]string, r storage.Range, limit int) string {
	keys := slices.Sorted(maps.Keys(state))
	if r.Reverse {
		slices.Reverse(keys)
	}
	var items []string
	for _, key := range keys {
		if inside(r, key) && (limit == 0 || len(items) < limit) {
			items = append(items, key+"="+state[key])
		}
	}
	return strings.Join(items, " ")
}

// finish commits on the database and on the model.
func (c *modelClient) finish() {
	c.t.Helper()
	conflict, perhaps := true, false // for all snapshots that it may have seen, or for some
	for _, seq := range c.snapshots() {
		one := false
		for key := range c.reads {
			changed := len(c.own) > 0 && c.model.versions[key].written > seq
			_, was := c.model.at(seq)[key]
			_, is := c.model.at(c.model.now)[key]
			one = one || changed && (was || is)
			perhaps = perhaps || changed // an absent key that is absent again may conflict or not
		}
		conflict = conflict && one
	}
	next := maps.Clone(c.model.at(c.model.now))
	if next == nil {
		next = map[string]string{}
	}
	err := c.txn.Commit(c.ctx)
	switch {
	case conflict:
		if _, ok := errors.AsType[*storage.ConflictError](err); !ok {
			c.t.Errorf("commit: got %v, want a conflict", err)
		}
		return
	case perhaps && err != nil:
		if _, ok := errors.AsType[*storage.ConflictError](err); !ok {
			c.t.Errorf("commit: got %v, want a conflict, or none", err)
		}
		return
	case err != nil:
		c.t.Errorf("commit: got %v, want none", err)
		return
	case len(c.own) == 0:
		return
	}
	c.model.now++
	for key, value := range c.own {
		c.model.versions[key] = version{c.model.now}
		if value == nil {
			delete(next, key)
		} else {
			next[key] = *value
		}
	}
	c.model.history = append(c.model.history, next)
}

// testRandomConcurrent runs random transactions concurrently, and then checks that a serial order
// explains their results.
func testRandomConcurrent(t *suite) {
	random := seeded(t)
	db := t.open()
	const clients, transactions, keys = 8, 60, 12
	var mu sync.Mutex
	var done []record
	var group sync.WaitGroup
	for client := range clients {
		random := newRandom(fmt.Sprint(random.Uint64()))
		group.Go(func() {
			for n := range transactions {
				var r record
				err := run(db, func(b storage.Bucket) error {
					r = record{reads: map[string]string{}, writes: map[string]string{}}
					return r.fill(b, random, keys, fmt.Sprintf("%d.%d", client, n))
				})
				switch {
				case err == nil:
					mu.Lock()
					done = append(done, r)
					mu.Unlock()
				case !transaction.IsTransient(err):
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if len(done) < clients*transactions/2 {
		t.Errorf("only %d of %d transactions were committed", len(done), clients*transactions)
	}
	if cycle := findCycle(done); cycle != nil {
		t.Errorf("no order explains these transactions: %v", cycle)
	}
}

// A record is the reads and writes of a committed transaction. Each value is written once, and each
// key is read before it is written, so the versions of a key are known. The first one, absent, is
// "".
type record struct{ reads, writes map[string]string }

func (r *record) fill(b storage.Bucket, random *rand.Rand, keys int, name string) error {
	if random.IntN(4) == 0 { // read all keys, present or absent
		for i := range keys {
			r.reads[fmt.Sprintf("%02d", i)] = ""
		}
		for item, err := range b.Range(storage.Range{Reverse: random.IntN(2) == 0}) {
			if err != nil {
				return err
			}
			r.reads[string(item.Key)] = string(item.Value)
		}
	}
	for range random.IntN(4) {
		key := fmt.Sprintf("%02d", random.IntN(keys))
		if _, written := r.writes[key]; written {
			continue
		}
		value, err := b.Get([]byte(key))
		if err != nil {
			return err
		}
		r.reads[key] = string(value)
		if random.IntN(2) == 0 {
			r.writes[key] = name + "." + key
			if err := b.Put([]byte(key), []byte(r.writes[key])); err != nil {
				return err
			}
		}
	}
	return nil
}

// findCycle returns transactions each of which must come before the next, and the last before the
// first. It returns nil if done is serializable.
func findCycle(done []record) []record {
	type at struct{ key, value string }
	writer := map[at]int{}     // the transaction that wrote a version
	overwriter := map[at]int{} // the transaction that replaced it
	for i, r := range done {
		for key, value := range r.writes {
			writer[at{key, value}] = i
			if other, twice := overwriter[at{key, r.reads[key]}]; twice {
				return []record{done[other], r} // a lost update
			}
			overwriter[at{key, r.reads[key]}] = i
		}
	}
	after := make([][]int, len(done))
	for i, r := range done {
		for key, value := range r.reads {
			if w, ok := writer[at{key, value}]; ok && w != i {
				after[w] = append(after[w], i)
			}
			if o, ok := overwriter[at{key, value}]; ok && o != i {
				after[i] = append(after[i], o)
			}
		}
	}
	const unseen, open, closed = 0, 1, 2
	state := make([]int, len(done))
	var path []int
	var visit func(i int) []record
	visit = func(i int) []record {
		state[i] = open
		path = append(path, i)
		for _, j := range after[i] {
			if state[j] == open {
				var cycle []record
				for _, k := range path[slices.Index(path, j):] {
					cycle = append(cycle, done[k])
				}
				return cycle
			}
			if state[j] == unseen {
				if cycle := visit(j); cycle != nil {
					return cycle
				}
			}
		}
		state[i] = closed
		path = path[:len(path)-1]
		return nil
	}
	for i := range done {
		if state[i] == unseen {
			if cycle := visit(i); cycle != nil {
				return cycle
			}
		}
	}
	return nil
}
