package session

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/pasteline/pasteline/internal/visitor"
)

// userKey is the key under which [As] stores the user's name.
const userKey = "_user_"

// A RenewOption is an option of [Manager.Renew].
type RenewOption func(*renewal)

type renewal struct{ user string }

// As makes the session belong to the user of this name, whom the app has just authenticated. A name
// that the browser sent without proof must not be passed. [Session.User] returns it.
func As(user string) RenewOption { return func(r *renewal) { r.user = user } }

// Renew gives the browser a new id, under which the session goes on with all its data. Call it at
// log-in, and whenever a user gains rights: an id that was planted or leaked before is then
// useless. If the session has a CSRF token, it is replaced. Renewal is part of the transaction of
// ctx, and the cookie depends on its outcome: it is sent if the transaction commits, and not if the
// transaction is aborted, run again, or rolled back to an earlier savepoint. A Session that Get
// returned before in the same transaction continues under the new id. A second Renew in the same
// transaction changes nothing. An app with several managers calls Renew, or Get, of each of them in
// that transaction.
//
// The previous id of the browser ends, and a tombstone of it stays in the database for
// Config.Grace. Other requests of the browser may be in flight with the old id: those that only
// read find a new session, which is not stored, and those that write get [ErrRenewed]. They are not
// redirected to the renewed session, since an attacker may know the old id.
//
// A second Renew that was in flight with the same id, as after a double click, does not find an
// empty session: whichever of the two responses arrives last, the browser has a session with its
// data.
//   - If both were given the same user by [As], or the first was given none and the session was
//     that user's, the second gives the browser the same id as the first, so that both responses
//     name one session with all its data. If that session has been renewed again for the user, it
//     is the id of the last of these renewals. While several renewals are in flight, each attempt
//     may find a newer id, so such a request may need more attempts than others.
//   - Otherwise the second gives the browser a separate session, with the data that was stored
//     under the old id before the transaction that renewed it. Later changes to the first session
//     are not in it.
//   - If the session belonged to a user when its id ended, that data is given to the same user
//     only: another user gets a new session, and a Renew without a user gets [ErrRenewed]. A
//     renewal at a change of password therefore locks out a holder of the old id. (Without As, a
//     holder of the old id can still renew it within Grace, by a request that calls Renew.)
//
// Errors: [ErrIDNotSent] if the response header has been sent, or the browserid filter is missing
// or stands behind tm in the pipeline; [ErrRenewed] as described; and those of [Manager.Get] and
// [Session.Set]. If the header is sent between Renew and the commit, the commit fails.
func (m *Manager) Renew(ctx context.Context, options ...RenewOption) error {
	var r renewal
	for _, option := range options {
		option(&r)
	}
	ts, err := m.hold(ctx)
	if err != nil {
		return err
	}
	defer ts.release()
	c, ok := visitor.FromContext(ctx)
	if !ok {
		return ErrNoID
	}
	s, err := ts.renew(c, r.user)
	if err != nil {
		return err
	}
	if err := s.assign(r.user); err != nil {
		return errors.Join(err, ts.txn.Doom()) // never commits the new id without its user
	}
	return nil
}

// assign makes the session belong to the user; "" changes nothing.
func (s *Session) assign(user string) error {
	if user == "" {
		return nil
	}
	if has, ok, err := Get[string](held{s}, userKey); err == nil && ok && has == user {
		return nil
	}
	return s.setInternal(userKey, user)
}

// renew gives the browser a new id, unless this transaction has done so before, and returns the
// session under it.
func (ts *txState) renew(c *visitor.Context, user string) (*Session, error) {
	id, renewed := c.Renewed(ts.txn)
	if renewed && ts.knows(id) {
		return ts.get(id)
	}
	old, ok := c.Visitor.ID()
	if !ok || old == "" {
		return nil, ErrNoID
	}
	s, err := ts.get(old)
	if err != nil {
		return nil, err
	}
	if err := ts.join(); err != nil {
		return nil, err
	}
	if s.stored.renewed {
		return s.fork(c, old, user)
	}
	seed := newSeed()
	if !renewed {
		owner, _, err := Get[string](held{s}, userKey)
		if err != nil && user == "" {
			return nil, err
		}
		id = makeID(c, seed, old, cmp.Or(user, owner))
		if err := ts.sendID(c, id); err != nil {
			return nil, err
		}
	}
	renamed, err := s.rename(id, seed)
	if err != nil {
		return nil, errors.Join(err, ts.txn.Doom())
	}
	return renamed, nil
}

// sendID makes id the browser's id if the transaction commits.
func (ts *txState) sendID(c *visitor.Context, id string) error {
	if err := c.Renew(ts.txn, id); err != nil {
		return fmt.Errorf("%w: %w", ErrIDNotSent, err)
	}
	return nil
}

// knows reports whether the session with this id was loaded before, even if it has ended since.
func (ts *txState) knows(id string) bool {
	for _, s := range ts.sessions {
		if s.id == id {
			return true
		}
	}
	return false
}

func newSeed() (seed [16]byte) {
	_, _ = rand.Read(seed[:]) // never fails: it ends the program instead
	return seed
}

// makeID derives the id that replaces old. The seed is stored in the tombstone of old, so that a
// second renewal for the same user, which knows old and user, derives the same id. A reader of the
// database knows the seed, but not old, and so can't derive the id; a forged cookie would need a
// signature, too.
func makeID(c *visitor.Context, seed [16]byte, old, user string) string {
	h := hmac.New(sha256.New, seed[:])
	h.Write([]byte(old + "\x00" + user))
	return c.Visitor.MakeID([visitor.SeedSize]byte(h.Sum(nil)))
}

// rename moves the records of s to id, under which nothing is stored yet, and puts a tombstone in
// their place.
func (s *Session) rename(id string, seed [16]byte) (*Session, error) {
	ts := s.ts
	now, _ := ts.m.time()
	if s.state.exists {
		if err := s.markUsed(); err != nil { // the records are copied below
			return nil, err
		}
	} else if err := s.discard(); err != nil {
		return nil, err
	}
	var l loaded
	if err := l.read(ts.data, &s.idRef); err != nil { // watches all records
		return nil, fmt.Errorf("session: %w", err)
	}
	to := refOf(id)
	if s.state.exists {
		for _, it := range l.all {
			key := append(to[:len(to):len(to)], it.Key[len(to):]...)
			if err := ts.data.Put(key, it.Value); err != nil {
				return nil, err
			}
		}
		if err := ts.index().Put(to.indexKey(s.state.used), []byte{}); err != nil {
			return nil, err
		}
	}
	if err := ts.delete(s.idRef, &l); err != nil {
		return nil, err
	}
	if err := ts.putTombstone(s, tombstone{ended: now, created: s.created, seed: seed}); err !=
		nil {
		return nil, err
	}
	ts.m.usage.mark(ts.m.slice(now))
	renamed, err := ts.load(id)
	if err != nil {
		return nil, err
	}
	renamed.created = s.created
	renamed.state.begun, s.state.begun = s.state.begun, false
	s.state.renewedAs = renamed
	ts.notify()
	return renamed, renamed.renewToken()
}

// putTombstone stores m in place of s, with the items that were stored before this transaction. A
// holder of the old id could read those anyway; items that the transaction has added are left out.
func (ts *txState) putTombstone(s *Session, m tombstone) error {
	if s.stored.live() && !s.state.ended {
		for _, it := range s.stored.items() {
			if err := ts.data.Put(it.Key, it.Value); err != nil {
				return err
			}
		}
	}
	if err := ts.data.Put(s.idRef.key(kindMeta), m.append(nil)); err != nil {
		return err
	}
	return ts.index().Put(s.idRef.indexKey(ts.m.tombstoneSlice(m.ended)), []byte{})
}

// fork renews s after another renewal has ended its id: it returns the session of that renewal, or
// a separate one, by the rules in [Manager.Renew].
func (s *Session) fork(c *visitor.Context, old, user string) (*Session, error) {
	ts := s.ts
	m, items, err := s.tombstone()
	if err != nil {
		return nil, err
	}
	id, renewed := c.Renewed(ts.txn)
	if user != "" && !renewed {
		followed, err := ts.follow(c, m, old, user)
		if err != nil {
			return nil, err
		}
		if followed != nil {
			s.state.renewedAs = followed
			ts.notify()
			return followed, ts.sendID(c, followed.id)
		}
	}
	owner, err := ownerOf(items)
	switch {
	case err != nil:
		return nil, err
	case owner == "" || owner == user:
	case user == "":
		return nil, s.writable()
	default:
		items = nil
	}
	if !renewed {
		id = makeID(c, newSeed(), old, user)
		if err := ts.sendID(c, id); err != nil {
			return nil, err
		}
	}
	forked, err := ts.load(id)
	if err == nil && len(items) > 0 {
		forked.created = m.created
		now, _ := ts.m.time()
		for key, record := range items {
			if err = forked.put(key, record, now); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = forked.renewToken()
	}
	if err != nil {
		return nil, errors.Join(err, ts.txn.Doom())
	}
	s.state.renewedAs = forked
	ts.notify()
	return forked, nil
}

// follow returns the session that old has become by one or more renewals for this user, the first
// of which stored m. It returns nil if a renewal in between named another user, or none.
func (ts *txState) follow(c *visitor.Context, m tombstone, old, user string) (*Session, error) {
	for id := makeID(c, m.seed, old, user); ; id = makeID(c, m.seed, id, user) {
		s, err := ts.get(id)
		switch {
		case err != nil:
			return nil, err
		case s.state.exists:
			return s, nil
		case !s.stored.renewed:
			return nil, nil //nolint:nilnil // as documented
		}
		if m, _, err = s.tombstone(); err != nil {
			return nil, err
		}
	}
}

// tombstone returns the tombstone of s, and the items that are kept with it.
func (s *Session) tombstone() (m tombstone, items map[string][]byte, err error) {
	items = map[string][]byte{}
	for _, it := range s.stored.items() {
		items[string(itemName(it))] = it.Value
	}
	for _, it := range s.stored.all[s.stored.nItems:] {
		if it.Key[len(ref{})] == kindMeta {
			var problem string
			if m, problem = readTombstone(it.Value); problem != "" {
				return m, nil, &RecordError{
					Session: s.idRef.String(),
					Record:  "the meta record",
					Problem: problem,
				}
			}
		}
	}
	return m, items, nil
}

// ownerOf returns the user that the session with these items belongs to, or "".
func ownerOf(items map[string][]byte) (string, error) {
	record, ok := items[userKey]
	if !ok {
		return "", nil
	}
	var user string
	_, e, err := splitItem(record)
	if err == nil {
		err = decode(e, &user)
	}
	if err != nil {
		return "", fmt.Errorf("session: can't read the user of a renewed session: %w", err)
	}
	return user, nil
}

// renewToken replaces the CSRF token, if there is one.
func (s *Session) renewToken() error {
	if _, ok := s.peek(csrfKey); !ok {
		return nil
	}
	_, err := s.newToken()
	return err
}

// A loggedRefs is the set of unreadable sessions that were logged, so that each is logged once.
type loggedRefs struct {
	mu   sync.Mutex // guards refs
	refs map[ref]bool
}

// maxLogged limits the size of loggedRefs; when it is reached the set is emptied.
const maxLogged = 1000

// unreadable logs that the session r can't be read, unless that was logged before.
func (n *loggedRefs) unreadable(log *logQueue, r ref, problem *RecordError) {
	n.mu.Lock()
	logged := n.refs[r]
	if !logged {
		if n.refs == nil || len(n.refs) == maxLogged {
			n.refs = map[ref]bool{}
		}
		n.refs[r] = true
	}
	n.mu.Unlock()
	if !logged {
		log.add(slog.LevelError,
			"a session can't be read: its browser gets a new one, "+
				"and the old records are kept until they would have expired",
			slog.Any("error", problem))
	}
}
