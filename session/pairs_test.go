package session_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/transactiontest"
)

// A leftOver is a transaction in which two goroutines use the session of one browser while another
// ends it.
type leftOver struct {
	m       *session.Manager
	ctx     context.Context
	txn     *transaction.Txn
	browser *browser
	// the session of an earlier call; nil if the goroutines are the first to use the manager
	early *session.Session
	saved *transaction.Savepoint

	mu            sync.Mutex // guards the rest
	present, lost []string   // keys or messages whose Set succeeded (present) or was refused (lost)
}

var leftOvers atomic.Int64

func (l *leftOver) session() (*session.Session, error) {
	if l.early != nil && l.early.Valid() {
		return l.early, nil
	}
	return l.m.Get(l.ctx)
}

// write writes a unique value, and records whether the write succeeded.
func (l *leftOver) write(kind string, write func(s *session.Session, key string) error) error {
	key := fmt.Sprintf("%s %d", kind, leftOvers.Add(1))
	s, err := l.session()
	if err == nil {
		err = write(s, key)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.present = append(l.present, key)
	} else {
		l.lost = append(l.lost, key)
	}
	return err
}

func (l *leftOver) set() error {
	return l.write("set", func(s *session.Session, key string) error {
		return s.Set(key,
			marshaled{s})
	})
}

// marshaled is a value whose encoding uses the session.
type marshaled struct{ s *session.Session }

func (m marshaled) MarshalJSON() ([]byte, error) {
	if m.s != nil { // sameValue encodes the zero value, too
		_ = m.s.IsNew()
	}
	return []byte("1"), nil
}
func (*marshaled) UnmarshalJSON([]byte) error { return nil }

// check verifies that all acknowledged writes are stored if the transaction was committed, and none
// otherwise.
func (l *leftOver) check(tb testing.TB, committed, undone bool) {
	tb.Helper()
	there := map[string]bool{}
	id, _ := l.browser.ID()
	do(tb, func(ctx context.Context) {
		s, err := l.m.Lookup(session.WithID(ctx, id))
		must(tb, err)
		if s == nil {
			return
		}
		values, err := s.All()
		must(tb, err)
		for key := range values {
			there[key] = true
		}
		messages, err := s.PeekFlash("")
		must(tb, err)
		for _, message := range messages {
			there[message] = true
		}
	})
	if !committed && len(there) > 0 {
		tb.Errorf("not committed, but %v are stored", there)
	}
	for _, key := range l.lost {
		if there[key] || there[key+"+"] {
			tb.Errorf("the write of %q was refused, but it is stored", key)
		}
	}
	for _, key := range l.present {
		if committed && !undone && !there[key] {
			tb.Errorf("the write of %q was acknowledged and committed, but only %v are stored",
				key, there)
		}
		if there[key] && strings.HasPrefix(key, "update") && !there[key+"+"] {
			tb.Errorf("only %q of an Update is stored", key)
		}
	}
}

// undoing are the operations that may undo acknowledged writes.
var undoing = []string{"Rollback", "Invalidate", "Clear", "PopFlash"}

func leftOverOperations() []transactiontest.Operation[*leftOver] {
	type op = transactiontest.Operation[*leftOver]
	in := func(f func(s *session.Session) error) func(*leftOver) error {
		return func(l *leftOver) error {
			s, err := l.session()
			if err != nil {
				return err
			}
			return f(s)
		}
	}
	ops := []op{
		{Name: "Get", Do: func(l *leftOver) error { _, err := l.m.Get(l.ctx); return err }},
		{Name: "Lookup and Has", Do: func(l *leftOver) error {
			_, err := l.m.Lookup(l.ctx)
			_, hasErr := l.m.Has(l.ctx)
			return errors.Join(err, hasErr)
		}},
		{Name: "getters", Do: in(func(s *session.Session) error {
			_, _, _, _, _ = s.ID(), s.Ref(), s.IsNew(), s.Created(), s.LastUsed()
			_, err := s.LastModified()
			return err
		})},
		{Name: "User, Value, Has", Do: in(func(s *session.Session) error {
			_, _, err := s.User()
			_, _, valueErr := session.Get[marshaled](s, "n")
			_, hasErr := s.Has("n")
			return errors.Join(err, valueErr, hasErr)
		})},
		{Name: "Keys, Len, All", Do: in(func(s *session.Session) error {
			_, err := s.Keys()
			_, lenErr := s.Len()
			_, allErr := s.All()
			return errors.Join(err, lenErr, allErr)
		})},
		{Name: "Set", Do: (*leftOver).set},
		{Name: "Update", Do: func(l *leftOver) error {
			return l.write("update", func(s *session.Session, key string) error {
				return s.Update(map[string]any{key: 1, key + "+": 2})
			})
		}},
		{Name: "SetDefault", Do: func(l *leftOver) error {
			return l.write("default", func(s *session.Session, key string) error {
				_, err := session.SetDefault(s, key, 1)
				return err
			})
		}},
		{Name: "Pop", Do: in(func(s *session.Session) error {
			_, _, err := session.Pop[int](s, "popped")
			return errors.Join(err, s.Set("popped", 1))
		})},
		{Name: "Delete", Do: in(func(s *session.Session) error { return s.Delete("n") })},
		{Name: "Clear", Do: in((*session.Session).Clear)},
		{Name: "Invalidate", Do: in((*session.Session).Invalidate)},
		{Name: "Flash", Do: func(l *leftOver) error {
			return l.write("flash",
				func(s *session.Session, message string) error { return s.FlashOnce(message, "") })
		}},
		{
			Name: "PopFlash",
			Do:   in(func(s *session.Session) error { _, err := s.PopFlash(""); return err }),
		},
		{Name: "CSRF token", Do: in(func(s *session.Session) error {
			token, err := s.CSRFToken()
			if err == nil {
				_, err = s.CheckCSRFToken(token)
			}
			return err
		})},
		{Name: "Renew", Do: func(l *leftOver) error { return l.m.Renew(l.ctx, session.As("ann")) }},
		{
			Name: "Rollback of an earlier savepoint",
			Do:   func(l *leftOver) error { return l.saved.Rollback() },
		},
	}
	for _, op := range transactiontest.Transaction(func(l *leftOver) *transaction.Txn { return l.txn }) {
		if slices.Contains([]string{"Commit", "Abort", "Savepoint", "Rollback"}, op.Name) {
			ops = append(ops, op)
		}
	}
	return ops
}

// Two goroutines use a session while another goroutine ends the transaction: each call takes effect
// completely or is refused.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rounds int
		open   func(t *testing.T) *storage.DB
	}{
		{"memory", 8, func(*testing.T) *storage.DB { return memory.New("pairs") }},
		{"bolt", 2, func(t *testing.T) *storage.DB {
			t.Helper()
			db, err := bolt.Open(filepath.Join(t.TempDir(), "sessions.db"), nil)
			must(t, err)
			return db
		}},
		{"postgres", 1, func(t *testing.T) *storage.DB {
			t.Helper()
			opener := storage.NewOpener()
			postgres.Register(opener)
			db, err := opener.Open(t.Context(), pgtest.Database(t))
			must(t, err)
			return db
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db := tt.open(t)
			defer func() { must(t, db.Close()) }()
			var sessions sync.Map // counts of begin events, by Ref
			count := func(_ context.Context, info session.Info) {
				n, _ := sessions.LoadOrStore(info.Ref, new(atomic.Int64))
				if n.(*atomic.Int64).Add(1) > 1 { //nolint:forcetypeassert // nothing else is stored
					t.Errorf("session %s has begun twice", info.Ref)
				}
			}
			m, err := session.NewManager(db, session.Config{OnBegin: count})
			must(t, err)
			transactiontest.Pairs(t, transactiontest.Config[*leftOver]{
				Rounds:     tt.rounds,
				Operations: leftOverOperations(),
				Begin: func(tb testing.TB) (*leftOver, *transaction.Txn) {
					tb.Helper()
					n := leftOvers.Add(1)
					l := &leftOver{m: m, browser: &browser{id: fmt.Sprintf("browser %d", n)}}
					ctx, txn := transaction.Begin(context.Background())
					l.ctx, l.txn = behind(ctx, l.browser), txn
					if n%2 == 0 {
						must(tb, l.set())
						var err error
						l.early, err = m.Get(l.ctx)
						must(tb, err)
					}
					var err error
					l.saved, err = txn.Savepoint()
					must(tb, err)
					return l, txn
				},
				Refused: func(err error) bool {
					return errors.Is(err, transaction.ErrDoomed) ||
						errors.Is(err, transaction.ErrInvalidSavepoint) ||
						errors.Is(err, session.ErrInvalidated) ||
						errors.Is(err, session.ErrRolledBack)
				},
				Check: func(tb testing.TB, l *leftOver, committed bool, a, b string) {
					tb.Helper()
					l.check(tb, committed, slices.ContainsFunc(undoing,
						func(name string) bool { return strings.Contains(a+b, name) }))
				},
			})
		})
	}
}
