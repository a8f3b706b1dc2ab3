package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// This file is the way of a commit by the holder of a ticket. It is accepted, which means that the
// next holder may read its writes, before the server has it. What the next holders commit meanwhile
// goes to the server as one statement.
//
//	commitAccepted    called by view.Commit
//	  accept          adds the commit to a group, from where the next holder's view inherits
//	  lead            done by the first member of a group, when the group before has ended
//	    sendMerged    one statement for all members
//	    sendInOrder   one for each, if that was refused
//	    end           wakes the members and the leader of the next group

const (
	// maxMembers and maxGroupBytes limit the statement of a group.
	maxMembers    = 64
	maxGroupBytes = 1 << 20
	// maxInherited is the most bytes that a view inherits.
	maxInherited = 64 << 10
)

// errDependencyFailed is the reason for a conflict of a transaction that had read the writes of a
// commit that failed.
var errDependencyFailed = errors.New("data that it had read was not committed")

// errReadEarly is the error of a transaction without writes that had read those of a commit which
// was not on the server yet: no commit verifies such a read. The next attempt reads from the server.
var errReadEarly = transaction.Transient(errors.New(
	"it read what was not committed yet, and has no writes whose commit verifies that"))

// A request is an accepted commit.
type request struct {
	params *commitParams
	reads  *readSet
	after  *request // its view inherited from this one; nil: from none
	size   int      // bytes of the written keys and values
	group  *group

	// what another view may inherit; nil: nothing
	bucket   string
	page     *page
	versions []int64 // of the items of page

	err error // set before the group has ended
}

// A group is the accepted commits that are sent together.
type group struct {
	members []*request // in the order in which they were accepted
	size    int        // bytes
	reads   map[pair]int64
	written map[pair]int64 // versions; 0: deleted
	sent    bool           // no member can be added
	chain   *chain
	next    *group        // the group that is sent when this one has ended; nil: none yet
	ended   chan struct{} // closed when the members' errors and the times are set

	began time.Time
	took  time.Duration
}

// A chain is groups that are sent one after the other, because each may have read what the one
// before writes.
type chain struct{ _ byte } // not empty, so that pointers differ

// acceptances are the accepted commits whose outcome is not known yet.
type acceptances struct {
	mu       sync.Mutex // guards the rest, and the groups except for the members' errors
	requests []*request // in the order in which they were accepted
}

// commitAccepted accepts a commit, and returns when its group has ended. The first member of a
// group sends it, on its own goroutine; the others only wait.
func (v *view) commitAccepted(ctx context.Context, c *engine.Changes, w *commitParams) error {
	defer v.engine.keepLocks(c.Locked)()
	start := time.Now()
	r := &request{params: w, reads: &v.reads, after: v.inherited}
	for _, write := range c.Writes {
		r.size += len(write.Bucket) + len(write.Key) + len(write.Value)
	}
	r.bequeath(v)
	v.await(ctx, c)
	before, leads, err := v.engine.accepted.accept(r)
	if err != nil {
		return err
	}
	c.Accepted()
	if !leads || before != nil {
		v.release(ctx) // the leader of another group may need the connection
	}
	switch {
	case !leads:
		<-r.group.ended
	case before != nil:
		<-before.ended
		fallthrough
	default:
		v.lead(ctx, r.group)
	}
	if g := r.group; r.err == nil && c.By != "" { // with listeners
		observe.FromContext(ctx).Grouped(ctx, observe.Group{
			Size: len(g.members), Wait: g.began.Sub(start), Write: g.took,
		})
	}
	return r.err
}

// bequeath sets what another view may inherit: the first page that v has read, with its writes.
func (r *request) bequeath(v *view) {
	if v.first == nil || r.size > maxInherited {
		return
	}
	size := r.size
	items, versions := make([]storage.Item, 0, len(v.first.items)+1), []int64(nil)
	add := func(item storage.Item, version int64) {
		items, versions = append(items, item), append(versions, version)
		size += len(item.Key) + len(item.Value)
	}
	var writes []engine.Write
	for _, w := range r.params.changes.Writes {
		if w.Bucket == v.firstBucket && v.first.got.contains(w.Key) {
			writes = append(writes, w)
		}
	}
	sorted := v.first.part(v.first.got, false)
	for _, item := range sorted.items {
		for len(writes) > 0 && writes[0].Key < string(item.Key) {
			r.addWrite(add, writes[0])
			writes = writes[1:]
		}
		if len(writes) > 0 && writes[0].Key == string(item.Key) {
			r.addWrite(add, writes[0])
			writes = writes[1:]
			continue
		}
		version, _ := v.reads.bucket(v.firstBucket).version(string(item.Key))
		add(item, version)
	}
	for _, w := range writes {
		r.addWrite(add, w)
	}
	if size <= maxInherited {
		r.bucket, r.page, r.versions = v.firstBucket, &page{items, v.first.got}, versions
	}
}

func (r *request) addWrite(add func(storage.Item, int64), w engine.Write) {
	if w.Value != nil {
		add(storage.Item{Key: []byte(w.Key), Value: w.Value}, r.params.version)
	}
}

// inherit makes the result of the newest accepted commit that has all of a range the first read of
// v, if v may read early. The commit of v verifies what it has read, as always. If no commit has all
// of the range, v waits until those that are accepted have ended: the server does not have the
// newest versions before that.
//
// It must have all that the first attempt has used, too. So a second attempt that uses no more than
// the first one can lose only at its commit, when all its keys are known, and the third can queue
// for them.
func (v *view) inherit(bucket string, i interval) {
	if !v.mustAwait || v.closed {
		return
	}
	r := v.engine.accepted.find(bucket, i, v.used)
	if r == nil {
		v.awaitAccepted()
		return
	}
	v.mustAwait = false
	v.inherited, v.hasRead = r, true
	v.first, v.firstBucket = r.page, r.bucket
	b := v.reads.bucket(bucket)
	for n, item := range r.page.items {
		b.versions.Set(string(item.Key), r.versions[n])
	}
	b.covered = append(b.covered, r.page.got)
}

// awaitAccepted waits until all accepted commits have ended, once, if v belongs to the holder of a
// ticket.
func (v *view) awaitAccepted() {
	if v.mustAwait {
		v.mustAwait = false
		v.engine.accepted.awaitAll()
	}
}

func (a *acceptances) awaitAll() {
	a.mu.Lock()
	requests := slices.Clone(a.requests)
	a.mu.Unlock()
	for _, r := range requests {
		<-r.group.ended
	}
}

// find returns the newest accepted commit that has all of a range, and all of used.
func (a *acceptances) find(bucket string, i interval, used []engine.ReadRange) *request {
	if len(used) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range slices.Backward(a.requests) {
		if r.has(bucket, i) && !slices.ContainsFunc(used, func(s engine.ReadRange) bool {
			return !r.has(s.Bucket, interval{s.From, s.To})
		}) {
			return r
		}
	}
	return nil
}

// has reports whether another view may inherit all of a range from r.
func (r *request) has(bucket string, i interval) bool {
	return r.page != nil && r.bucket == bucket && r.page.got.holds(i)
}

// awaitInherited returns when the commit that v has inherited from has ended, and an error if it
// has failed.
func (v *view) awaitInherited() error {
	if v.inherited == nil {
		return nil
	}
	<-v.inherited.group.ended
	return v.inherited.failure()
}

// failure returns the conflict of a transaction that has read the writes of r, if r has failed. It
// names a key, so that the next attempt queues for all keys that the transaction uses.
func (r *request) failure() error {
	if r.err == nil {
		return nil
	}
	w := r.params.changes.Writes[0]
	return &storage.ConflictError{Bucket: w.Bucket, Key: []byte(w.Key), Err: errDependencyFailed}
}

// Await returns an error if an answer that is based on the reads of v must not be sent.
func (v *view) Await(context.Context) error {
	if v.inherited == nil || v.closed {
		return nil
	}
	return errReadEarly
}

// accept adds r to a group, which r leads if it is the first member; then before is the group that
// must end first, if any. If r has inherited from a commit that has not ended, r becomes part of the
// same group or of a later one.
func (a *acceptances) accept(r *request) (before *group, leads bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &group{chain: &chain{}}
	if r.after != nil && slices.Contains(a.requests, r.after) {
		g = r.after.group
		outdated := r.outdated(g)
		for ; outdated == nil && !g.accepts(r); outdated = r.outdated(g) {
			if g.next == nil {
				g.next = &group{chain: g.chain}
			}
			before, g = g, g.next
		}
		if outdated != nil {
			return nil, false, outdated
		}
	} else if err := r.dependency(); err != nil {
		return nil, false, err
	}
	leads = len(g.members) == 0
	g.add(r)
	a.requests = append(a.requests, r)
	return before, leads, nil
}

// outdated returns the conflict of r if a member of g has written another version of a key than the
// one that r has read.
func (r *request) outdated(g *group) error {
	w := r.params
	for i, k := range w.changes.Reads {
		version, written := g.written[pair{k.Bucket, k.Key}]
		if written && version != w.read.versions[i] {
			return &storage.ConflictError{Bucket: k.Bucket, Key: []byte(k.Key)}
		}
	}
	return nil
}

// accepts reports whether r may become a member of g. In the statement of a group, reads of the
// members' own writes are left out. For a range that is not possible, so its reader must be the
// first member.
func (g *group) accepts(r *request) bool {
	w := r.params
	switch {
	case len(g.members) == 0:
		return true
	case g.sent, len(g.members) >= maxMembers, g.size+r.size > maxGroupBytes,
		w.parts&ranges != 0:
		return false
	}
	for i, k := range w.changes.Reads {
		key := pair{k.Bucket, k.Key}
		_, written := g.written[key]
		version, read := g.reads[key]
		if !written && read && version != w.read.versions[i] {
			return false // the server judges them one by one
		}
	}
	return true
}

func (g *group) add(r *request) {
	if g.ended == nil {
		g.ended = make(chan struct{})
		g.reads, g.written = make(map[pair]int64), make(map[pair]int64)
	}
	r.group = g
	g.members = append(g.members, r)
	g.size += r.size
	c := r.params.changes
	for i, k := range c.Reads {
		key := pair{k.Bucket, k.Key}
		if _, written := g.written[key]; !written {
			g.reads[key] = r.params.read.versions[i]
		}
	}
	for _, w := range c.Writes {
		version := r.params.version
		if w.Value == nil {
			version = 0
		}
		g.written[pair{w.Bucket, w.Key}] = version
	}
}

// lead sends g and ends it. If it panics, the members get an error rather than nil, which they
// would take for success.
func (v *view) lead(ctx context.Context, g *group) {
	a := &v.engine.accepted
	a.mu.Lock()
	g.sent = true
	a.mu.Unlock()
	g.began = time.Now()
	finished := false
	defer func() {
		g.took = time.Since(g.began)
		if !finished {
			for _, r := range g.members {
				r.err = errors.Join(transaction.ErrInDoubt,
					errors.New("the goroutine that sent the commit was ended"))
			}
		}
		a.end(g)
	}()
	if first := g.members[0]; len(g.members) == 1 {
		if first.err = first.dependency(); first.err == nil {
			first.err = v.sendAlone(ctx, first)
		}
	} else if !v.sendMerged(ctx, g) {
		v.sendInOrder(ctx, g)
	}
	finished = true
}

// dependency returns an error if r has inherited from a commit that has failed. That has been sent
// before.
func (r *request) dependency() error {
	if r.after == nil {
		return nil
	}
	return r.after.failure()
}

// sendAlone commits r in a statement of its own. After a lost connection it finds out the outcome.
func (v *view) sendAlone(ctx context.Context, r *request) error {
	conn, err := v.claimConn(ctx)
	if err != nil {
		return err
	}
	err = v.engine.commitAtOnce(ctx, conn, r.params, r.reads)
	v.engine.end(ctx, conn) // before resolveLost, which may need the last free connection
	if lost, ok := errors.AsType[*lostError](err); ok {
		err = v.engine.resolveLost(ctx, r.params.commitIDs[0], lost)
	}
	return err
}

// sendMerged commits all members of g in one statement: all or, if it returns false, none.
func (v *view) sendMerged(ctx context.Context, g *group) bool {
	for _, r := range g.members {
		if r.after != nil && r.after.group != g && r.after.err != nil {
			return false
		}
	}
	w := g.merged()
	conn, err := v.claimConn(ctx)
	if err != nil {
		g.fail(err)
		return true
	}
	bad, err := v.engine.compareAndWrite(ctx, conn, w)
	v.engine.end(ctx, conn) // before resolveLost, as in sendAlone
	if lost, ok := errors.AsType[*lostError](err); ok {
		// the statement has inserted all records, or none
		g.fail(v.engine.resolveLost(ctx, w.commitIDs[0], lost))
		return true
	}
	return err == nil && bad.what == 0
}

// fail sets the error of all members, which may be nil.
func (g *group) fail(err error) {
	for _, r := range g.members {
		r.err = err
	}
}

// sendInOrder commits each member in a statement of its own, and rejects those that depend on a
// failed one.
func (v *view) sendInOrder(ctx context.Context, g *group) {
	for _, r := range g.members {
		if r.err = r.dependency(); r.err == nil {
			r.err = v.sendAlone(ctx, r)
		}
	}
}

// merged returns the parameters of one commit that does what the members do one after the other.
func (g *group) merged() *commitParams {
	m := &commitParams{}
	type change struct {
		value   []byte
		version int64
		lock    *int64
	}
	changes, read := map[pair]change{}, map[pair]bool{}
	for _, r := range g.members {
		w := r.params
		m.parts |= w.parts
		m.commitIDs = append(m.commitIDs, w.commitIDs...)
		if w.parts&ranges != 0 { // of the first member
			m.span = w.span
		}
		for i, k := range w.changes.Reads {
			key := pair{k.Bucket, k.Key}
			if _, written := changes[key]; written || read[key] {
				continue
			}
			read[key] = true
			m.read.buckets = append(m.read.buckets, w.read.buckets[i])
			m.read.keys = append(m.read.keys, w.read.keys[i])
			m.read.versions = append(m.read.versions, w.read.versions[i])
		}
		for i, write := range w.changes.Writes {
			key := pair{write.Bucket, write.Key}
			c := change{write.Value, w.version, changes[key].lock}
			if len(w.locks) > 0 && w.locks[i] != nil {
				c.lock = w.locks[i]
			}
			changes[key] = c
		}
	}
	m.parts &= ranges | decision | durable
	if len(read) > 0 {
		m.parts |= reads
	}
	for _, key := range slices.SortedFunc(maps.Keys(changes), pair.compare) {
		c := changes[key]
		if c.lock != nil {
			m.parts |= keyLocks
			m.locks = append(m.locks, c.lock)
		}
		m.addWrite(engine.Write{Bucket: key.bucket, Key: key.key, Value: c.value}, c.version)
	}
	return m
}

// end removes the members of g, and wakes them and the leader of the next group.
func (a *acceptances) end(g *group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = slices.DeleteFunc(a.requests, func(r *request) bool { return r.group == g })
	for _, r := range g.members {
		r.after = nil // keep no chain of requests in memory
	}
	close(g.ended)
}

// await waits until no accepted commit of another transaction depends on a key that c writes:
// holders of tickets come first. It does not wait for those that v has inherited from, nor for
// others that are sent one after the other with these.
func (v *view) await(ctx context.Context, c *engine.Changes) {
	var own *chain
	if v.inherited != nil {
		own = v.inherited.group.chain
	}
	groups := v.engine.accepted.dependent(c, own)
	if len(groups) > 0 {
		v.release(ctx) // the leader may need the connection
	}
	for _, g := range groups {
		<-g.ended
	}
}

// dependent returns the groups with a member that reads or writes a key which c writes, except for
// those of a chain.
func (a *acceptances) dependent(c *engine.Changes, except *chain) (groups []*group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.requests {
		if g := r.group; g.chain != except && !slices.Contains(groups, g) &&
			slices.ContainsFunc(c.Writes, r.uses) {
			groups = append(groups, g)
		}
	}
	return groups
}

// checking returns the groups with a member whose commit checks one of the sorted numbers of locks.
func (a *acceptances) checking(numbers []int64) (groups []*group) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.requests {
		if !slices.Contains(groups, r.group) &&
			slices.ContainsFunc(r.params.locks, func(lock *int64) bool {
				if lock == nil {
					return false
				}
				_, found := slices.BinarySearch(numbers, *lock)
				return found
			}) {
			groups = append(groups, r.group)
		}
	}
	return groups
}

// uses reports whether r reads or writes the key of w.
func (r *request) uses(w engine.Write) bool {
	c, key := r.params.changes, engine.ReadKey{Bucket: w.Bucket, Key: w.Key}
	return slices.Contains(c.Reads, key) ||
		slices.ContainsFunc(c.Writes, func(other engine.Write) bool {
			return other.Bucket == w.Bucket && other.Key == w.Key
		}) ||
		slices.ContainsFunc(c.Ranges, func(s engine.ReadRange) bool {
			return s.Bucket == w.Bucket && s.Contains(w.Key)
		})
}
