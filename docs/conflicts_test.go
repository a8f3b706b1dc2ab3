package docs_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// A site has the database and the sessions that two concurrent transactions share.
type site struct {
	t        *testing.T
	db       *storage.DB
	sessions *session.Manager
}

func newSite(t *testing.T) *site {
	t.Helper()
	db := memory.New(t.Name())
	t.Cleanup(func() { _ = db.Close() })
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, db, sessions}
}

func (s *site) bucket(ctx context.Context) storage.Bucket {
	s.t.Helper()
	tx, err := s.db.Tx(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return tx.Bucket("things")
}

func (s *site) read(ctx context.Context, key string) error {
	_, err := s.bucket(ctx).Get([]byte(key))
	return err
}

func (s *site) write(ctx context.Context, key string) error {
	return s.bucket(ctx).Put([]byte(key), []byte("x"))
}

func (s *site) increment(ctx context.Context, key string) error {
	return errors.Join(s.read(ctx, key), s.write(ctx, key))
}

// look iterates over the keys that begin with "r".
func (s *site) look(ctx context.Context) error {
	for _, err := range s.bucket(ctx).Range(storage.Prefix([]byte("r"))) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *site) session(ctx context.Context) *session.Session {
	s.t.Helper()
	got, err := s.sessions.Get(session.WithID(ctx, "a browser"))
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// TestConflictsAreAsExplained runs each row of the table in "Transactions, conflicts and retry
// explained": two concurrent transactions, of which the second to commit conflicts or does not.
func TestConflictsAreAsExplained(t *testing.T) {
	t.Parallel()
	type work func(*site, context.Context) error
	for _, row := range []struct {
		text          string
		first, second work
		conflict      bool
	}{
		{
			"both only read",
			func(s *site, ctx context.Context) error { return s.read(ctx, "k") },
			func(s *site, ctx context.Context) error { return s.read(ctx, "k") }, false,
		},
		{
			"one reads a key, the other writes it",
			func(s *site, ctx context.Context) error { return s.write(ctx, "k") },
			func(s *site, ctx context.Context) error { return s.read(ctx, "k") }, false,
		},
		{
			"both read a key and write it (`n = n + 1`)",
			func(s *site, ctx context.Context) error { return s.increment(ctx, "k") },
			func(s *site, ctx context.Context) error { return s.increment(ctx, "k") }, true,
		},
		{
			"both write a key that neither read",
			func(s *site, ctx context.Context) error { return s.write(ctx, "k") },
			func(s *site, ctx context.Context) error { return s.write(ctx, "k") }, false,
		},
		{
			"one iterates over a range and writes elsewhere; the other adds a key to the range",
			func(s *site, ctx context.Context) error { return s.write(ctx, "r1") },
			func(s *site, ctx context.Context) error {
				return errors.Join(s.look(ctx), s.write(ctx, "k"))
			}, true,
		},
		{
			"both change different keys of one session",
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("a", 1) },
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("b", 1) }, false,
		},
		{
			"both change the same key of one session",
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("a", 1) },
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("a", 1) }, true,
		},
		{
			"one logs out (invalidates the session), the other writes to the session",
			func(s *site, ctx context.Context) error { return s.session(ctx).Invalidate() },
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("a", 1) }, true,
		},
		{
			"one logs out (invalidates the session), the other writes to the session",
			func(s *site, ctx context.Context) error { return s.session(ctx).Set("a", 1) },
			func(s *site, ctx context.Context) error { return s.session(ctx).Invalidate() }, true,
		},
	} {
		t.Run(row.text, func(t *testing.T) {
			t.Parallel()
			page := readDocument(t, "docs/transactions.md")
			if !strings.Contains(page.text, "| "+row.text+" | ") {
				t.Error("the document has no such row")
			}
			s := newSite(t)
			begin := func(ctx context.Context) error { return s.session(ctx).Set("begun", true) }
			if err := transaction.Run(t.Context(), begin); err != nil {
				t.Fatal(err)
			}
			ctx1, first := transaction.Begin(t.Context())
			ctx2, second := transaction.Begin(t.Context())
			err := errors.Join(row.first(s, ctx1), row.second(s, ctx2), first.Commit(ctx1))
			if err != nil {
				t.Fatal(err)
			}
			err = second.Commit(ctx2)
			if transaction.IsTransient(err) != row.conflict || err != nil != row.conflict {
				t.Errorf("the second to commit: %v, want a conflict: %t", err, row.conflict)
			}
		})
	}
}
