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
)

// An attempt is what one transaction has done with one manager's sessions. All that is written goes to storage at
// once, whose data manager commits it; what is kept here is a copy for reading. The attempt joins the transaction all
// the same, as a data manager with nothing to commit, so that the copy follows when savepoints are rolled back.
type attempt struct {
	m    *Manager
	txn  *transaction.Txn
	tx   *storage.Tx
	data storage.Bucket

	first    Session     // the first of sessions; with it, one that is read costs one allocation and not two
	room     [1]*Session // for sessions, as there are seldom more
	sessions []*Session  // in the order in which they were got, those that are gone too
	known    int         // how many there were when it joined: nothing had been written to them
	joined   bool
	hooked   bool // report runs after the commit
	swept    []Info
}

// A state is the part of a session that changes within a transaction. (Every request that has a session allocates one, as a part
// of its attempt, so nothing is kept here that follows from what the database held: 320 bytes in all, and not 448.)
type state struct {
	as *Session // what it goes on as under the id that it was renewed to, if it was

	invalid    bool // the Session can't be used any more: it was invalidated
	lost       bool // the same, as it was got after a savepoint that was rolled back
	exists     bool // there is a meta record
	begun      bool // this transaction has put it there
	ended      bool // the session that the database held has ended
	enumerated bool // every item is watched, and that none is added
	changed    bool

	used     int64   // the latest slice in which it was used
	over     overlay // the items that were set or deleted
	size     int     // of all items, keys included
	modified int64   // when, if changed
}

// An overlay is what was set, in the order of the keys. (There are few, and a map of one costs 400 bytes.)
type overlay []change

type change struct {
	key    string
	record []byte // nil: deleted
}

func (o overlay) find(key string) (i int, found bool) {
	return slices.BinarySearchFunc(o, key, func(c change, key string) int { return strings.Compare(c.key, key) })
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

// hold is called first by what an app may call. If it succeeds, all other calls, savepoints and the end of the transaction wait
// until a.release. If it fails, there is nothing to release, and nothing is written any more: so what does not depend on the
// database can be read.
func (a *attempt) hold() bool { return a.txn.Hold() == nil }

// release ends what a hold, that of the manager too, has begun.
func (a *attempt) release() {
	a.txn.Release()
	a.m.journal.write(context.Background())
}

// hold is that of its attempt. The error says why s can't be used.
func (s *Session) hold() error {
	if s.a.hold() {
		return nil
	}
	if err := s.gone(); err != nil {
		return err
	}
	return ErrFinished
}

func (a *attempt) usable() error {
	switch a.txn.Status() {
	case transaction.Active, transaction.Doomed:
		return nil
	}
	return ErrFinished
}

// find returns the session called id if it was got before.
func (a *attempt) find(id string) *Session {
	for _, s := range a.sessions {
		if s.gone() == nil && s.current().got == id {
			return s
		}
	}
	return nil
}

// get returns the session called id, which is loaded if it wasn't got before.
func (a *attempt) get(id string) (*Session, error) {
	if s := a.find(id); s != nil {
		return s, nil
	}
	return a.load(id)
}

// load reads the session called id, all of it in one go and without watching it; what is used of it will be watched
// then. Only that there is (or is not) a session is watched from the start.
func (a *attempt) load(id string) (*Session, error) {
	s := a.newSession()
	s.a, s.got, s.from = a, id, refOf(id)
	if err := s.had.read(a.data.Snapshot(), &s.from); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if err := a.data.AddReadConflict(s.from.key(kindMeta)); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	now, judged, err := a.judge(&s.had)
	if err != nil {
		return nil, err
	}
	s.had.marked = s.had.mark && !a.m.over(s.had.used, judged)
	if s.had.problem != nil {
		a.m.noted.unreadable(&a.m.journal, s.from, s.had.problem)
	}
	s.created = now
	if s.had.live() {
		s.created = s.had.created
	}
	s.now = s.unwritten()
	if err := s.touch(now); err != nil {
		return nil, err
	}
	a.sessions = append(a.sessions, s)
	return s, nil
}

// judge returns the time, and whether l has expired by it. Where there is a common clock, one that says so is asked again first.
func (a *attempt) judge(l *loaded) (now, judged int64, err error) {
	if err := a.ask(stale); err != nil {
		return 0, 0, err
	}
	now, judged = a.m.time()
	if !l.exists {
		return now, judged, nil
	}
	if a.m.expired(l.lastUsed(), judged) || a.m.astray(l.lastUsed(), now) {
		if err := a.ask(0); err != nil {
			return 0, 0, err
		}
		now, judged = a.m.time()
	}
	l.expired = a.m.expired(l.lastUsed(), judged)
	return now, judged, nil
}

// newSession returns room for a session that is about to be loaded.
func (a *attempt) newSession() *Session {
	if a.sessions == nil {
		a.sessions = a.room[:0]
		return &a.first
	}
	return &Session{}
}

// unwritten returns the state of a session to which this transaction has done nothing.
func (s *Session) unwritten() state {
	if !s.had.live() {
		return state{}
	}
	now := state{exists: true, used: s.had.lastUsed()}
	for _, it := range s.had.items() {
		now.size += len(itemName(it)) + len(it.Value)
	}
	return now
}

// index is the bucket of that name. (Most requests don't need it.)
func (a *attempt) index() storage.Bucket { return a.tx.Bucket(a.m.index) }

// itemName returns the part of an item record's key that the app knows.
func itemName(it storage.Item) []byte { return it.Key[len(ref{})+1:] }

// touch marks s as used in the present time slice, unless it is already. It only puts and deletes, and of what two
// who touch at the same time put, the later slice counts: so readers of one session never conflict with each other.
func (s *Session) touch(now int64) error {
	slice := s.a.m.slice(now)
	if !s.now.exists {
		return nil
	}
	s.a.m.watch.mark(slice)
	if slice <= s.now.used && !s.a.m.astray(s.now.used, now) {
		return nil
	}
	if err := s.a.join(); err != nil {
		return err
	}
	for _, it := range s.had.uses() {
		if err := s.a.data.Delete(it.Key); err != nil {
			return err
		}
	}
	if err := s.a.data.Put(s.ref().usedKey(slice), []byte{}); err != nil {
		return err
	}
	if err := s.a.index().Delete(s.ref().indexKey(s.now.used)); err != nil {
		return err
	}
	s.now.used = slice
	return s.a.index().Put(s.ref().indexKey(slice), []byte{})
}

// usable returns why s can't be used, if it can't.
func (s *Session) usable() error {
	if err := s.gone(); err != nil {
		return err
	}
	return s.a.usable()
}

// gone returns why s can't be used any more, even if its transaction can.
func (s *Session) gone() error {
	switch {
	case s.now.lost:
		return ErrRolledBack
	case s.now.as != nil:
		return s.now.as.gone()
	case s.now.invalid:
		return ErrInvalidated
	}
	return nil
}

// writable returns why nothing can be written to s, if nothing can.
func (s *Session) writable() error {
	if err := s.usable(); err != nil {
		return err
	}
	if s.had.marked {
		return fmt.Errorf("session %s: %w", s.from, ErrRenewed)
	}
	return nil
}

// current returns the Session as which s goes on under its present id: s itself, unless it was renewed. Every method
// that an app may call begins with it, held.
func (s *Session) current() *Session {
	for s.now.as != nil {
		s = s.now.as
	}
	return s
}

// ref returns the ref of the id which s has now.
func (s *Session) ref() ref { return s.current().from }

// lookup returns the record of an item, and from then on watches it.
func (s *Session) lookup(key string) ([]byte, bool, error) {
	if err := s.hold(); err != nil {
		return nil, false, err
	}
	defer s.a.release()
	return s.read(key)
}

// A held is a Session that is held already, to read values of the package's own from.
type held struct{ *Session }

func (h held) lookup(key string) ([]byte, bool, error) { return h.read(key) }
func (h held) damaged(key string, err error) error     { return damagedItem(h.ref().String(), key, err) }

// read is lookup of a session that is held.
func (s *Session) read(key string) ([]byte, bool, error) {
	if err := s.usable(); err != nil || len(key) > MaxKey {
		return nil, false, err // nothing can have such a key
	}
	s = s.current()
	if err := s.watch(key); err != nil {
		return nil, false, err
	}
	record, ok := s.peek(key)
	return record, ok, nil
}

// watch makes the commit a conflict if another transaction writes the item. Nothing needs to be done for a session
// that has none in the database: who would add some would begin it, and that is watched.
func (s *Session) watch(key string) error {
	if s.now.enumerated || !s.had.live() {
		return nil
	}
	return s.a.data.AddReadConflict(s.ref().itemKey(key))
}

// enumerate watches all items, those too that there are not.
func (s *Session) enumerate() error {
	if err := s.usable(); err != nil || s.now.enumerated || !s.had.live() {
		return err
	}
	if _, err := s.a.data.Items(storage.Prefix(s.ref().key(kindItem))); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	s.now.enumerated = true
	return nil
}

// peek returns the record of an item without watching it.
func (s *Session) peek(key string) ([]byte, bool) {
	if record, ok := s.now.over.get(key); ok {
		return record, record != nil
	}
	if !s.had.live() {
		return nil, false
	}
	items := s.had.items()
	i := sort.Search(len(items), func(i int) bool { return string(itemName(items[i])) >= key })
	if i < len(items) && string(itemName(items[i])) == key {
		return items[i].Value, true
	}
	return nil, false
}

// records yields the records of all items, in no particular order.
func (s *Session) records() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if s.had.live() {
			for _, it := range s.had.items() {
				key := string(itemName(it))
				if _, ok := s.now.over.get(key); !ok && !yield(key, it.Value) {
					return
				}
			}
		}
		for _, c := range s.now.over {
			if c.record != nil && !yield(c.key, c.record) {
				return
			}
		}
	}
}

// A value that is encoded, with room for the time of its record before it.
type value []byte

// encode encodes what is to be set under key. That may run the app's code, so nothing is held.
func encode(key string, v any) (value, error) {
	// No more than a few bytes are needed for most values: tag, a short string or a number.
	b, err := appendValue(make([]byte, binary.MaxVarintLen64, binary.MaxVarintLen64+22), v)
	if err != nil {
		return nil, fmt.Errorf("session: can't encode the value for %q: %w", key, err)
	}
	return b, nil
}

// record returns the record of a value that was set so long after the session was created. It uses up v.
func (v value) record(since int64) []byte {
	var room [binary.MaxVarintLen64]byte
	time := binary.AppendVarint(room[:0], since)
	start := len(room) - len(time)
	copy(v[start:], time)
	return v[start:]
}

// set stores an encoded value.
func (s *Session) set(key string, v value) error {
	s = s.current()
	if err := s.usable(); err != nil {
		return err
	}
	now, _ := s.a.m.time()
	return s.put(key, v.record(now-s.created), now)
}

// setOwn stores a value of the package's own.
func (s *Session) setOwn(key string, v any) error {
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
	keys := make([]string, 0, s.had.nItems+len(s.now.over))
	for key := range s.records() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// put stores the record of an item.
func (s *Session) put(key string, record []byte, now int64) error {
	if len(key) > MaxKey { // before anything of the session is stored
		return &KeyError{Session: s.ref().String(), Key: key}
	}
	size := s.now.size + len(key) + len(record)
	if old, ok := s.peek(key); ok {
		size -= len(key) + len(old)
	}
	if limit := min(s.a.m.config.MaxSize, storage.MaxValue); size > limit && size > s.now.size {
		return &SizeError{Session: s.ref().String(), Key: key, Size: size, Limit: limit}
	}
	if err := s.begin(now); err != nil {
		return err
	}
	if err := s.watch(key); err != nil {
		return err
	}
	if err := s.a.data.Put(s.ref().itemKey(key), record); err != nil {
		return err
	}
	s.note(key, record, size, now)
	return nil
}

// remove deletes an item that is there and watched.
func (s *Session) remove(key string) error {
	now, _ := s.a.m.time()
	if err := s.a.join(); err != nil {
		return err
	}
	if err := s.a.data.Delete(s.ref().itemKey(key)); err != nil {
		return err
	}
	// There may be no item left whose record tells the time.
	if err := s.a.data.Put(s.ref().key(kindDeleted), binary.AppendVarint(nil, now)); err != nil {
		return err
	}
	old, _ := s.peek(key)
	s.note(key, nil, s.now.size-len(key)-len(old), now)
	return nil
}

// note makes the copy what storage has become.
func (s *Session) note(key string, record []byte, size int, now int64) {
	s.now.over.set(key, record)
	s.now.size = size
	s.now.changed, s.now.modified = true, now
}

// begin makes sure that the session exists, now that something will be put into it.
func (s *Session) begin(now int64) error {
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.a.join(); err != nil || s.now.exists {
		return err
	}
	if err := s.discard(); err != nil {
		return err
	}
	s.now.exists, s.now.begun = true, true
	s.now.used = s.a.m.slice(now)
	s.a.m.watch.mark(s.now.used)
	s.a.notify()
	return s.a.enter(s.from, meta{created: s.created, used: s.now.used})
}

// enter puts down that there is a session.
func (a *attempt) enter(r ref, m meta) error {
	if err := a.data.Put(r.key(kindMeta), m.append(nil)); err != nil {
		return err
	}
	return a.index().Put(r.indexKey(m.used), []byte{})
}

// discard deletes what the database holds of the session, and notes that it ended if there was one. It watches all of it, and
// that nothing is added: whoever wrote to the session meanwhile must not leave a remainder. Records that can't be read
// are set aside.
func (s *Session) discard() error {
	if len(s.had.all) > 0 || s.now.exists {
		var l loaded
		if err := l.read(s.a.data, &s.from); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		if l.problem != nil {
			if err := s.a.setAside(s.from, &l); err != nil {
				return err
			}
		}
		if err := s.a.delete(s.from, &l); err != nil {
			return err
		}
	}
	if s.had.exists && !s.now.begun && !s.now.ended {
		s.now.ended = true
		s.a.notify()
	}
	return nil
}

// setAside copies the records of the session r, which can't all be read, to a place of their own, where a sweep ends
// them at the time at which a session that is used now would end.
func (a *attempt) setAside(r ref, l *loaded) error {
	now, _ := a.m.time()
	aside := r.aside()
	for _, it := range l.all {
		if err := a.data.Put(append(aside[:len(aside):len(aside)], it.Key[len(r):]...), it.Value); err != nil {
			return err
		}
	}
	return a.index().Put(aside.indexKey(a.m.slice(now)), []byte{})
}

// delete deletes all records of the session r, all of which was read and is watched, and what the index has of it.
func (a *attempt) delete(r ref, l *loaded) error {
	for _, it := range l.all {
		if err := a.data.Delete(it.Key); err != nil {
			return err
		}
	}
	return a.unlist(r, l)
}

// unlist deletes what the index has of the session r.
func (a *attempt) unlist(r ref, l *loaded) error {
	for _, it := range l.uses() {
		if err := a.index().Delete(r.indexKey(sliceOf(it))); err != nil {
			return err
		}
	}
	switch {
	case l.mark:
		return a.index().Delete(r.indexKey(a.m.markSlice(l.used)))
	case l.exists:
		return a.index().Delete(r.indexKey(l.used))
	}
	return nil
}

// join makes the attempt follow savepoints, before the first change.
func (a *attempt) join() error {
	if a.joined {
		return nil
	}
	if err := a.txn.Join(a); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	a.joined, a.known = true, len(a.sessions)
	return nil
}

// notify makes sure that the handlers are called after the commit.
func (a *attempt) notify() {
	if a.hooked || a.m.config.OnBegin == nil && a.m.config.OnEnd == nil {
		return
	}
	a.hooked = true
	a.txn.AfterCommit(a.report)
}

// SortKey implements [transaction.DataManager].
func (a *attempt) SortKey() string { return a.m.sortKey }

// Commit implements [transaction.DataManager]. Storage commits what was written.
func (a *attempt) Commit(context.Context, *transaction.Txn) error { return nil }

// Abort implements [transaction.DataManager]. It matters when a savepoint is rolled back from before the attempt joined:
// then the transaction goes on. Otherwise nothing is touched: the handler may still be at work, if somebody has given it up.
func (a *attempt) Abort(_ context.Context, t *transaction.Txn) error {
	if status := t.Status(); status != transaction.Active && status != transaction.Doomed {
		return nil
	}
	for _, s := range a.sessions[:a.known] {
		s.now = s.unwritten()
	}
	a.drop(a.known)
	a.joined = false
	return nil
}

// ReadOnly implements [transaction.ReadOnlyReporter].
func (a *attempt) ReadOnly() bool { return true }

// Savepoint implements [transaction.Savepointer].
func (a *attempt) Savepoint() (transaction.DataSavepoint, error) {
	states := make([]state, len(a.sessions))
	for i, s := range a.sessions {
		states[i] = s.now
		states[i].over = slices.Clone(s.now.over)
	}
	return &savepoint{a: a, states: states}, nil
}

type savepoint struct {
	a      *attempt
	states []state
}

// Rollback implements [transaction.DataSavepoint]; it can be called again.
func (p *savepoint) Rollback() error {
	for i := range p.states {
		over := slices.Clone(p.states[i].over)
		p.a.sessions[i].now = p.states[i]
		p.a.sessions[i].now.over = over
	}
	p.a.drop(len(p.states))
	return nil
}

// drop forgets the sessions from the nth on: they were read when storage held what it holds no more.
func (a *attempt) drop(n int) {
	for _, s := range a.sessions[n:] {
		s.now.lost = true
	}
	clear(a.sessions[n:])
	a.sessions = a.sessions[:n]
}

// Guards.
var (
	_ transaction.DataManager      = (*attempt)(nil)
	_ transaction.ReadOnlyReporter = (*attempt)(nil)
	_ transaction.Savepointer      = (*attempt)(nil)
	_ transaction.DataSavepoint    = (*savepoint)(nil)
)
