package session

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A txState caches one transaction's view of a manager's sessions. Writes go to storage
// immediately, and storage's data manager commits them; txState keeps a copy for reading. It joins
// the transaction as a data manager (a participant in its commit) that has nothing to commit, so
// that a rollback to a savepoint also restores the copy.
type txState struct {
	m    *Manager
	txn  *transaction.Txn
	tx   *storage.Tx
	data storage.Bucket

	// the first element of sessions; avoids an allocation for the usual single session
	first    Session
	array    [1]*Session // backing array of sessions, which seldom has more than one element
	sessions []*Session  // in the order of loading, including those that can't be used any more
	atJoin   int         // len(sessions) when it joined; nothing had been written to these before
	joined   bool
	hooked   bool // afterCommit is registered as an AfterCommit hook
	swept    []Info
}

// A state is the part of a session that changes within a transaction. Every request that has a
// session allocates one in its txState, so it holds nothing that can be computed from the loaded
// records.
type state struct {
	renewedAs *Session // the Session under the new id, if this one was renewed; else nil

	invalid    bool // the Session can't be used any more: it was invalidated
	lost       bool // the same, because it was loaded after a savepoint that was rolled back
	exists     bool // there is a meta record
	begun      bool // this transaction has written the meta record
	ended      bool // the session that was loaded has ended
	enumerated bool // all items, and the absence of others, are watched
	changed    bool

	used     int64   // the latest time slice in which it was used
	marked   int64   // the same, according to the records in this transaction's view
	overlay  overlay // the items that were set or deleted
	size     int     // bytes of all items, including their keys
	modified int64   // time of the last change, if changed
}

// An overlay holds the items that were changed, sorted by key. A slice takes less memory than a map
// for the few changes of a request.
type overlay []change

type change struct {
	key    string
	record []byte // nil: deleted
}

func (o overlay) find(key string) (i int, found bool) {
	return slices.BinarySearchFunc(o, key, func(c change, key string) int {
		return strings.Compare(c.key, key)
	})
}

func (o overlay) get(key string) (record []byte, found bool) {
	i, found := o.find(key)
	if !found {
		return nil, false
	}
	return o[i].record, true
}

func (o *overlay) set(key string, record []byte) {
	i, found := o.find(key)
	if !found {
		*o = slices.Insert(*o, i, change{key: key})
	}
	(*o)[i].record = record
}

// hold makes other calls, savepoints and the end of the transaction wait until ts.release. Every
// exported method calls it first. If it returns false, the transaction has ended: the caller must
// not call release, and may read the fields that don't depend on the database, since nothing writes
// them any more.
func (ts *txState) hold() bool { return ts.txn.Hold() == nil }

// release ends a hold, also one of the manager, and writes the log messages that were queued
// meanwhile.
func (ts *txState) release() {
	ts.txn.Release()
	ts.m.log.write(ts.txn.Context())
}

// hold holds the session's txState. The error says why s can't be used.
func (s *Session) hold() error {
	if s.ts.hold() {
		return nil
	}
	if err := s.gone(); err != nil {
		return err
	}
	return ErrFinished
}

func (ts *txState) usable() error {
	switch ts.txn.Status() {
	case transaction.Active, transaction.Doomed:
		return nil
	}
	return ErrFinished
}

// find returns the usable Session with this id that was loaded before, or nil.
func (ts *txState) find(id string) *Session {
	for _, s := range ts.sessions {
		if s.gone() == nil && s.current().id == id {
			return s
		}
	}
	return nil
}

// get returns the session with this id, and loads it if it was not loaded before.
func (ts *txState) get(id string) (*Session, error) {
	if s := ts.find(id); s != nil {
		return s, nil
	}
	return ts.load(id)
}

// load reads all records of the session in one scan, without watching them; an item is watched when
// it is used. Only the existence of the session is watched from the start.
func (ts *txState) load(id string) (*Session, error) {
	s := ts.newSession()
	s.ts, s.id, s.idRef = ts, id, refOf(id)
	if err := s.stored.read(ts.data.Snapshot(), &s.idRef); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if err := ts.data.AddReadConflict(s.idRef.key(kindMeta)); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	now, adjusted, err := ts.checkExpired(&s.stored, s.idRef)
	if err != nil {
		return nil, err
	}
	s.stored.renewed = s.stored.tombstone && !ts.m.graceOver(s.stored.used, adjusted)
	if s.stored.problem != nil {
		ts.m.logged.unreadable(&ts.m.log, s.idRef, s.stored.problem)
	}
	s.created = now
	if s.stored.live() {
		s.created = s.stored.created
	}
	s.state = s.unwritten()
	if err := s.touch(now); err != nil {
		return nil, err
	}
	ts.sessions = append(ts.sessions, s)
	return s, nil
}

// checkExpired sets l.expired and l.pending of the session r, and returns the time and the adjusted
// time (see [clock]). If the database has a clock, it is read again before a session is declared
// expired.
func (ts *txState) checkExpired(l *loaded, r ref) (now, adjusted int64, err error) {
	if err := ts.askClock(stale); err != nil {
		return 0, 0, err
	}
	now, adjusted = ts.m.time()
	if !l.exists {
		return now, adjusted, nil
	}
	ts.m.addPending(l, r, now)
	if ts.m.expired(l.lastUsed(), adjusted) || ts.m.farAhead(l.lastUsed(), now) {
		if err := ts.askClock(0); err != nil {
			return 0, 0, err
		}
		now, adjusted = ts.m.time()
	}
	l.expired = ts.m.expired(l.lastUsed(), adjusted)
	return now, adjusted, nil
}

// newSession returns a zero Session for load.
func (ts *txState) newSession() *Session {
	if ts.sessions == nil {
		ts.sessions = ts.array[:0]
		return &ts.first
	}
	return &Session{}
}

// unwritten returns the state of a session that this transaction has not changed.
func (s *Session) unwritten() state {
	if !s.stored.live() {
		return state{}
	}
	now := state{exists: true, used: s.stored.lastUsed(), marked: s.stored.marked()}
	for _, it := range s.stored.items() {
		now.size += len(itemName(it)) + len(it.Value)
	}
	return now
}

// index returns the bucket of the index. It is opened on demand, as most requests don't use it.
func (ts *txState) index() storage.Bucket { return ts.tx.Bucket(ts.m.index) }

// itemName returns the app's key: the part of a record's key after the session's prefix.
func itemName(it storage.Item) []byte { return it.Key[len(ref{})+1:] }

// touch makes the current time slice the one in which s was last used. If it was used in an earlier
// slice so far, the use becomes pending when the transaction has committed, or, if that is not safe
// (see [Manager.defers]), is stored by this transaction.
func (s *Session) touch(now int64) error {
	if !s.state.exists {
		return nil
	}
	m := s.ts.m
	slice := m.slice(now)
	m.usage.mark(slice)
	if slice <= s.state.used && !m.farAhead(s.state.used, now) {
		return nil
	}
	s.state.used = slice
	if m.defers(s.state.marked, slice) {
		s.ts.hook()
		return nil
	}
	return s.markUsed()
}

// markUsed stores the slice in which s was last used, unless it is stored. Transactions that write
// to a session do so, since another write costs them little. It writes records without reading
// them, so that two transactions that mark one session never conflict with each other.
func (s *Session) markUsed() error {
	if s.state.marked == s.state.used {
		return nil
	}
	if err := s.ts.join(); err != nil {
		return err
	}
	s.state.marked = s.state.used
	return s.ts.mark(s.idRef, &s.stored, s.state.used)
}

// usable returns an error if s or its transaction can't be used any more.
func (s *Session) usable() error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.ts.usable()
}

// gone returns an error if s was invalidated or rolled back. It does not check whether the
// transaction has ended.
func (s *Session) gone() error {
	switch {
	case s.state.lost:
		return ErrRolledBack
	case s.state.renewedAs != nil:
		return s.state.renewedAs.gone()
	case s.state.invalid:
		return ErrInvalidated
	}
	return nil
}

// writable returns an error if s can't be written to.
func (s *Session) writable() error {
	if err := s.usable(); err != nil {
		return err
	}
	if s.stored.renewed {
		return fmt.Errorf("session %s: %w", s.idRef, ErrRenewed)
	}
	return nil
}

// current returns the Session under its present id: s itself, unless it was renewed. Every exported
// method calls it right after hold.
func (s *Session) current() *Session {
	for s.state.renewedAs != nil {
		s = s.state.renewedAs
	}
	return s
}

// ref returns the ref of the present id of s.
func (s *Session) ref() ref { return s.current().idRef }

// lookup returns the record of an item, and watches it from then on.
func (s *Session) lookup(key string) ([]byte, bool, error) {
	if err := s.hold(); err != nil {
		return nil, false, err
	}
	defer s.ts.release()
	return s.read(key)
}

// A held is a [Source] that reads a Session whose transaction the caller holds already.
type held struct{ *Session }

func (h held) lookup(key string) ([]byte, bool, error) { return h.read(key) }
func (h held) damaged(key string, err error) error {
	return damagedItem(h.ref().String(), key, err)
}

// read is lookup for a caller that holds the transaction.
func (s *Session) read(key string) ([]byte, bool, error) {
	if err := s.usable(); err != nil || len(key) > MaxKey {
		return nil, false, err // no item can have such a key
	}
	s = s.current()
	if err := s.watch(key); err != nil {
		return nil, false, err
	}
	record, ok := s.peek(key)
	return record, ok, nil
}

// watch makes the commit fail with a conflict if another transaction writes the item. For a session
// that is not in the database it does nothing: another transaction would have to begin the session
// to add items, and that is watched.
func (s *Session) watch(key string) error {
	if s.state.enumerated || !s.stored.live() {
		return nil
	}
	return s.ts.data.AddReadConflict(s.ref().itemKey(key))
}

// enumerate watches all items, and the absence of others.
func (s *Session) enumerate() error {
	if err := s.usable(); err != nil || s.state.enumerated || !s.stored.live() {
		return err
	}
	if _, err := s.ts.data.Items(storage.Prefix(s.ref().key(kindItem))); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	s.state.enumerated = true
	return nil
}

// peek returns the record of an item without watching it.
func (s *Session) peek(key string) ([]byte, bool) {
	if record, ok := s.state.overlay.get(key); ok {
		return record, record != nil
	}
	if !s.stored.live() {
		return nil, false
	}
	items := s.stored.items()
	i := sort.Search(len(items), func(i int) bool { return string(itemName(items[i])) >= key })
	if i < len(items) && string(itemName(items[i])) == key {
		return items[i].Value, true
	}
	return nil, false
}

// records returns an iterator over the records of all items, in no particular order.
func (s *Session) records() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if s.stored.live() {
			for _, it := range s.stored.items() {
				key := string(itemName(it))
				if _, ok := s.state.overlay.get(key); !ok && !yield(key, it.Value) {
					return
				}
			}
		}
		for _, c := range s.state.overlay {
			if c.record != nil && !yield(c.key, c.record) {
				return
			}
		}
	}
}

// A value is an encoded value, with space before it for the time of its record.
type value []byte

// encode encodes the value that is to be set under key. It may call methods of the app's types, so
// the caller must not hold the transaction.
func encode(key string, v any) (value, error) {
	// Most values (a tag, and a short string or a number) need no more than a few bytes.
	b, err := appendValue(make([]byte, binary.MaxVarintLen64, binary.MaxVarintLen64+22), v)
	if err != nil {
		return nil, fmt.Errorf("session: can't encode the value for %q: %w", key, err)
	}
	return b, nil
}

// record returns the record of a value that was set the given milliseconds after the session was
// created. It reuses the memory of v.
func (v value) record(since int64) []byte {
	var buf [binary.MaxVarintLen64]byte
	time := binary.AppendVarint(buf[:0], since)
	start := len(buf) - len(time)
	copy(v[start:], time)
	return v[start:]
}

// set stores an encoded value.
func (s *Session) set(key string, v value) error {
	s = s.current()
	if err := s.usable(); err != nil {
		return err
	}
	now, _ := s.ts.m.time()
	return s.put(key, v.record(now-s.created), now)
}

// setInternal stores a value of this package, such as the CSRF token.
func (s *Session) setInternal(key string, v any) error {
	encoded, err := encode(key, v)
	if err != nil {
		return err
	}
	return s.set(key, encoded)
}

// keys returns the keys that have a value, sorted.
func (s *Session) keys() ([]string, error) {
	s = s.current()
	if err := s.enumerate(); err != nil {
		return nil, err
	}
	keys := make([]string, 0, s.stored.nItems+len(s.state.overlay))
	for key := range s.records() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// put stores the record of an item.
func (s *Session) put(key string, record []byte, now int64) error {
	if len(key) > MaxKey { // checked before any record of the session is written
		return &KeyError{Session: s.ref().String(), Key: key}
	}
	size := s.state.size + len(key) + len(record)
	if old, ok := s.peek(key); ok {
		size -= len(key) + len(old)
	}
	if limit := min(s.ts.m.config.MaxSize, storage.MaxValue); size > limit && size > s.state.size {
		return &SizeError{Session: s.ref().String(), Key: key, Size: size, Limit: limit}
	}
	if err := s.begin(now); err != nil {
		return err
	}
	if err := s.watch(key); err != nil {
		return err
	}
	if err := s.ts.data.Put(s.ref().itemKey(key), record); err != nil {
		return err
	}
	s.cache(key, record, size, now)
	return nil
}

// remove deletes an item that exists and is watched.
func (s *Session) remove(key string) error {
	now, _ := s.ts.m.time()
	if err := s.ts.join(); err != nil {
		return err
	}
	if err := s.markUsed(); err != nil {
		return err
	}
	if err := s.ts.data.Delete(s.ref().itemKey(key)); err != nil {
		return err
	}
	// No item record may be left that could hold the time of the change.
	if err := s.ts.data.Put(s.ref().key(kindDeleted), binary.AppendVarint(nil, now)); err != nil {
		return err
	}
	old, _ := s.peek(key)
	s.cache(key, nil, s.state.size-len(key)-len(old), now)
	return nil
}

// cache updates the cached copy after a write to storage.
func (s *Session) cache(key string, record []byte, size int, now int64) {
	s.state.overlay.set(key, record)
	s.state.size = size
	s.state.changed, s.state.modified = true, now
}

// begin stores a new session, before its first item is written. If the session exists, it marks it
// as used.
func (s *Session) begin(now int64) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.ts.join(); err != nil {
		return err
	}
	if s.state.exists {
		return s.markUsed()
	}
	if err := s.discard(); err != nil {
		return err
	}
	s.state.exists, s.state.begun = true, true
	s.state.used = s.ts.m.slice(now)
	s.state.marked = s.state.used
	s.ts.m.usage.mark(s.state.used)
	s.ts.notify()
	return s.ts.create(s.idRef, meta{created: s.created, used: s.state.used})
}

// create writes the session's meta record and its index entry.
func (ts *txState) create(r ref, m meta) error {
	if err := ts.data.Put(r.key(kindMeta), m.append(nil)); err != nil {
		return err
	}
	return ts.index().Put(r.indexKey(m.used), []byte{})
}

// discard deletes the session's records from the database, and records that the session ended if it
// existed. It watches all records, and the absence of others, so that a concurrent writer can't
// leave a part of a session behind. Unreadable records are set aside.
func (s *Session) discard() error {
	if len(s.stored.all) > 0 || s.state.exists {
		var l loaded
		if err := l.read(s.ts.data, &s.idRef); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		if l.problem != nil {
			if err := s.ts.setAside(s.idRef, &l); err != nil {
				return err
			}
		}
		if err := s.ts.delete(s.idRef, &l); err != nil {
			return err
		}
	}
	if s.stored.exists && !s.state.begun && !s.state.ended {
		s.state.ended = true
		s.ts.notify()
	}
	return nil
}

// setAside copies the records of the session r, which can't all be read, to a separate ref. A sweep
// deletes them when a session that is used now would expire.
func (ts *txState) setAside(r ref, l *loaded) error {
	now, _ := ts.m.time()
	aside := r.aside()
	for _, it := range l.all {
		key := append(aside[:len(aside):len(aside)], it.Key[len(r):]...)
		if err := ts.data.Put(key, it.Value); err != nil {
			return err
		}
	}
	return ts.index().Put(aside.indexKey(ts.m.slice(now)), []byte{})
}

// delete deletes all records of the session r and its index entries. The records in l are complete
// and watched.
func (ts *txState) delete(r ref, l *loaded) error {
	for _, it := range l.all {
		if err := ts.data.Delete(it.Key); err != nil {
			return err
		}
	}
	return ts.deleteIndexEntries(r, l)
}

// deleteIndexEntries deletes the index entries of the session r.
func (ts *txState) deleteIndexEntries(r ref, l *loaded) error {
	for _, it := range l.uses() {
		if err := ts.index().Delete(r.indexKey(sliceOf(it))); err != nil {
			return err
		}
	}
	switch {
	case l.tombstone:
		return ts.index().Delete(r.indexKey(ts.m.tombstoneSlice(l.used)))
	case l.exists:
		return ts.index().Delete(r.indexKey(l.used))
	}
	return nil
}

// join joins the transaction, so that a rollback to a savepoint also restores the copy. It must be
// called before the first change.
func (ts *txState) join() error {
	if ts.joined {
		return nil
	}
	if err := ts.txn.Join(ts); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	ts.joined, ts.atJoin = true, len(ts.sessions)
	return nil
}

// notify has report called after the commit, if it has something to do.
func (ts *txState) notify() {
	if ts.reports() {
		ts.hook()
	}
}

// hook registers afterCommit.
func (ts *txState) hook() {
	if !ts.hooked {
		ts.hooked = true
		ts.txn.AfterCommit(ts.afterCommit)
	}
}

// afterCommit makes the uses that the transaction has not stored pending, and tells listeners and
// event handlers what became of the sessions, if the transaction was committed.
func (ts *txState) afterCommit(ctx context.Context, committed bool) {
	if !committed {
		return
	}
	for _, s := range ts.sessions {
		if s.state.exists && s.state.used > s.state.marked {
			ts.m.addUse(s.idRef, s.state.used)
		}
	}
	if ts.reports() {
		ts.report(ctx)
	}
}

// reports reports whether there are event handlers or listeners.
func (ts *txState) reports() bool {
	return ts.m.config.OnBegin != nil || ts.m.config.OnEnd != nil || ts.txn.Observed() != nil
}

// SortKey implements [resource.DataManager].
func (ts *txState) SortKey() string { return ts.m.sortKey }

// Commit implements [resource.DataManager]. It does nothing, as storage commits the writes.
func (ts *txState) Commit(context.Context, resource.Txn) error { return nil }

// Abort implements [resource.DataManager]. It has an effect only when the transaction goes on,
// after the rollback of a savepoint that is older than the join. Otherwise the sessions are not
// changed: the handler may still use them, if the transaction was aborted while it runs.
func (ts *txState) Abort(_ context.Context, t resource.Txn) error {
	if !t.Usable() {
		return nil
	}
	for _, s := range ts.sessions[:ts.atJoin] {
		used := s.state.used
		if s.state = s.unwritten(); s.state.exists {
			s.state.used = used // the use itself is not undone
		}
	}
	ts.drop(ts.atJoin)
	ts.joined = false
	return nil
}

// ReadOnly implements [resource.ReadOnlyReporter].
func (ts *txState) ReadOnly() bool { return true }

// Savepoint implements [resource.Savepointer].
func (ts *txState) Savepoint() (resource.Savepoint, error) {
	states := make([]state, len(ts.sessions))
	for i, s := range ts.sessions {
		states[i] = s.state
		states[i].overlay = slices.Clone(s.state.overlay)
	}
	return &savepoint{ts: ts, states: states}, nil
}

type savepoint struct {
	ts     *txState
	states []state
}

// Rollback implements [resource.Savepoint]. It can be called repeatedly.
func (p *savepoint) Rollback() error {
	for i := range p.states {
		over := slices.Clone(p.states[i].overlay)
		p.ts.sessions[i].state = p.states[i]
		p.ts.sessions[i].state.overlay = over
	}
	p.ts.drop(len(p.states))
	return nil
}

// drop forgets the sessions from the nth on, which were read from a state of storage that was
// rolled back.
func (ts *txState) drop(n int) {
	for _, s := range ts.sessions[n:] {
		s.state.lost = true
	}
	clear(ts.sessions[n:])
	ts.sessions = ts.sessions[:n]
}

// Interface checks.
var (
	_ resource.DataManager      = (*txState)(nil)
	_ resource.ReadOnlyReporter = (*txState)(nil)
	_ resource.Savepointer      = (*txState)(nil)
	_ resource.Savepoint        = (*savepoint)(nil)
)
