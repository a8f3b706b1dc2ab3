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

// userKey is the key under which [As] keeps the user's name.
const userKey = "_user_"

// A RenewOption is one of those of [Manager.Renew].
type RenewOption func(*renewal)

type renewal struct{ user string }

// As says whose the session is from now on: the name of the user that has just proved to be that user. It must not come from the
// browser in any other way. [Session.User] returns it.
func As(user string) RenewOption { return func(r *renewal) { r.user = user } }

// Renew gives the browser a new id, with the session and all that is in it. Call it when a visitor logs in, or gains
// rights in another way: an id that was planted or got known before is worth nothing afterwards. If the session has
// a token against cross-site request forgery, it gets a new one. All of it is part of the transaction of ctx, and the cookie
// follows that: it is sent if the transaction commits, and not if it is aborted, run again, or rolled back to a
// savepoint from before. Sessions that were got before go on under the new id. To renew twice in one transaction is the same
// as once; if an app has several managers, it is enough to call Renew of each, or Get, in that transaction.
//
// The id that the browser had has ended then, and for Config.Grace that is remembered. Other requests of the browser may be under
// way with it: those that read find a new session, which is not stored, and those that write get [ErrRenewed]. None is
// forwarded to the session, since the id may be in the hands of another.
//
// A second Renew that was under way with the same id, as after a double click, does not find the session
// gone: whichever of the two responses comes last, the browser has a session with its data.
//   - If both were given the same user by [As], or the first was given none and the session was that user's, the second gives the
//     browser the id that the first has given it, so that there is one session, with all that is in it. If that has been
//     renewed again for the user, it is the id that the last of these renewals has given.
//   - Else the second gives it a session of its own, with what there was when the old id ended, before the transaction that
//     renewed it. What is written to the first session later is not in it.
//   - If the session was a user's when its id ended, that is given to the same user alone: another user gets a
//     new session, and a Renew without a user [ErrRenewed]. So a renewal locks out whoever has the old id, at a
//     change of password, say. (Without As a holder of the old id can still renew that, for Grace, in a request that calls Renew.)
//
// Errors: [ErrNotTold] if the response header has been sent, the browserid filter stands behind tm, or there is none;
// those above, and those of [Manager.Get] and [Session.Set]. If the header is sent between Renew and the commit, the commit fails.
func (m *Manager) Renew(ctx context.Context, options ...RenewOption) error {
	var r renewal
	for _, option := range options {
		option(&r)
	}
	a, err := m.hold(ctx)
	if err != nil {
		return err
	}
	defer a.release() //nolint:contextcheck // what it logs may be of another request
	c, ok := visitor.FromContext(ctx)
	if !ok {
		return ErrNoID
	}
	s, err := a.renew(c, r.user)
	if err != nil {
		return err
	}
	if err := s.give(r.user); err != nil {
		return errors.Join(err, a.txn.Doom()) // or the new id would be committed without what belongs to it
	}
	return nil
}

// give makes the session the user's, if one was named.
func (s *Session) give(user string) error {
	if user == "" {
		return nil
	}
	if has, ok, err := Get[string](held{s}, userKey); err == nil && ok && has == user {
		return nil
	}
	return s.setOwn(userKey, user)
}

// renew returns the session under the id that the transaction gives the browser. If there is none yet, it is that of the
// browser's old id, renewed.
func (a *attempt) renew(c *visitor.Context, user string) (*Session, error) {
	id, renewed := c.Renewed(a.txn)
	if renewed && a.knows(id) {
		return a.get(id)
	}
	old, ok := c.Visitor.ID()
	if !ok || old == "" {
		return nil, ErrNoID
	}
	s, err := a.get(old)
	if err != nil {
		return nil, err
	}
	if err := a.join(); err != nil {
		return nil, err
	}
	if s.had.marked {
		return s.fork(c, old, user)
	}
	seed := newSeed()
	if !renewed {
		owner, _, err := Get[string](held{s}, userKey)
		if err != nil && user == "" {
			return nil, err
		}
		id = makeID(c, seed, old, cmp.Or(user, owner))
		if err := a.tell(c, id); err != nil {
			return nil, err
		}
	}
	renamed, err := s.rename(id, seed)
	if err != nil {
		return nil, errors.Join(err, a.txn.Doom())
	}
	return renamed, nil
}

// tell makes id the browser's, if the transaction commits.
func (a *attempt) tell(c *visitor.Context, id string) error {
	if err := c.Renew(a.txn, id); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTold, err)
	}
	return nil
}

// knows reports whether the session called id was got before, even if it has ended since.
func (a *attempt) knows(id string) bool {
	for _, s := range a.sessions {
		if s.got == id {
			return true
		}
	}
	return false
}

func newSeed() (seed [16]byte) {
	_, _ = rand.Read(seed[:]) // never fails: it ends the program instead
	return seed
}

// makeID makes the id that follows old. The seed is kept with the mark of old, so that a second renewal for the same user, which
// knows old and user, finds it again. The seed alone, which the database has, is not enough for that; nor is the id
// enough for a cookie, which is signed.
func makeID(c *visitor.Context, seed [16]byte, old, user string) string {
	h := hmac.New(sha256.New, seed[:])
	h.Write([]byte(old + "\x00" + user))
	return c.Visitor.MakeID([visitor.SeedSize]byte(h.Sum(nil)))
}

// rename moves s to id, which nothing is stored under, and leaves a mark in its place.
func (s *Session) rename(id string, seed [16]byte) (*Session, error) {
	a := s.a
	now, _ := a.m.time()
	if !s.now.exists {
		if err := s.discard(); err != nil {
			return nil, err
		}
	}
	var l loaded
	if err := l.read(a.data, &s.from); err != nil { // all of it is watched
		return nil, fmt.Errorf("session: %w", err)
	}
	to := refOf(id)
	if s.now.exists {
		for _, it := range l.all {
			if err := a.data.Put(append(to[:len(to):len(to)], it.Key[len(to):]...), it.Value); err != nil {
				return nil, err
			}
		}
		if err := a.index().Put(to.indexKey(s.now.used), []byte{}); err != nil {
			return nil, err
		}
	}
	if err := a.delete(s.from, &l); err != nil {
		return nil, err
	}
	if err := a.leaveMark(s, mark{ended: now, created: s.created, seed: seed}); err != nil {
		return nil, err
	}
	a.m.watch.mark(a.m.slice(now))
	renamed, err := a.load(id)
	if err != nil {
		return nil, err
	}
	renamed.created = s.created
	renamed.now.begun, s.now.begun = s.now.begun, false
	s.now.as = renamed
	return renamed, renamed.renewToken()
}

// leaveMark puts m in the place of s, and with it the items that the database held before this transaction: a holder of the old id
// had those in any case, and nothing that the transaction has added.
func (a *attempt) leaveMark(s *Session, m mark) error {
	if s.had.live() && !s.now.ended {
		for _, it := range s.had.items() {
			if err := a.data.Put(it.Key, it.Value); err != nil {
				return err
			}
		}
	}
	if err := a.data.Put(s.from.key(kindMeta), m.append(nil)); err != nil {
		return err
	}
	return a.index().Put(s.from.indexKey(a.m.markSlice(m.ended)), []byte{})
}

// fork returns what a renewal makes of s, whose id another has renewed before: see [Manager.Renew].
func (s *Session) fork(c *visitor.Context, old, user string) (*Session, error) {
	a := s.a
	m, items, err := s.remainder()
	if err != nil {
		return nil, err
	}
	id, renewed := c.Renewed(a.txn)
	if user != "" && !renewed {
		followed, err := a.follow(c, m, old, user)
		if err != nil {
			return nil, err
		}
		if followed != nil {
			s.now.as = followed
			return followed, a.tell(c, followed.got)
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
		if err := a.tell(c, id); err != nil {
			return nil, err
		}
	}
	forked, err := a.load(id)
	if err == nil && len(items) > 0 {
		forked.created = m.created
		now, _ := a.m.time()
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
		return nil, errors.Join(err, a.txn.Doom())
	}
	s.now.as = forked
	return forked, nil
}

// follow returns the session of the user that what was called old has become, by renewals for that user only, the first of which has left
// m. It returns nil if there is none.
func (a *attempt) follow(c *visitor.Context, m mark, old, user string) (*Session, error) {
	for id := makeID(c, m.seed, old, user); ; id = makeID(c, m.seed, id, user) {
		s, err := a.get(id)
		switch {
		case err != nil:
			return nil, err
		case s.now.exists:
			return s, nil
		case !s.had.marked:
			return nil, nil //nolint:nilnil // as the comment says
		}
		if m, _, err = s.remainder(); err != nil {
			return nil, err
		}
	}
}

// remainder returns the mark of s, and the items that were left with it.
func (s *Session) remainder() (m mark, items map[string][]byte, err error) {
	items = map[string][]byte{}
	for _, it := range s.had.items() {
		items[string(itemName(it))] = it.Value
	}
	for _, it := range s.had.all[s.had.nItems:] {
		if it.Key[len(ref{})] == kindMeta {
			var problem string
			if m, problem = readMark(it.Value); problem != "" {
				return m, nil, &RecordError{Session: s.from.String(), Record: "the meta record", Problem: problem}
			}
		}
	}
	return m, items, nil
}

// ownerOf returns the user that has the session with these items, "" if it is nobody's.
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
		return "", fmt.Errorf("session: the user of a session that was renewed can't be read: %w", err)
	}
	return user, nil
}

// renewToken replaces the token against cross-site request forgery, if there is one.
func (s *Session) renewToken() error {
	if _, ok := s.peek(csrfKey); !ok {
		return nil
	}
	_, err := s.newToken()
	return err
}

// noted are the sessions about which the log was told that they can't be read: once each.
type noted struct {
	mu   sync.Mutex // guards refs
	refs map[ref]bool
}

// maxNoted bounds the memory that is used for it.
const maxNoted = 1000

func (n *noted) unreadable(log *journal, r ref, problem *RecordError) {
	n.mu.Lock()
	told := n.refs[r]
	if !told {
		if n.refs == nil || len(n.refs) == maxNoted {
			n.refs = map[ref]bool{}
		}
		n.refs[r] = true
	}
	n.mu.Unlock()
	if !told {
		log.add(slog.LevelError, "a session can't be read: its browser gets a new one, and it is set aside until it would have ended",
			slog.Any("error", problem))
	}
}
