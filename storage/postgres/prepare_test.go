package postgres_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A last is the data manager that decides over the prepared work of the others.
type last struct {
	err      error
	recorder string
	id       string // of the transaction
}

func (l *last) SortKey() string    { return "zzz" }
func (l *last) RecorderID() string { return l.recorder }
func (l *last) Commit(_ context.Context, t resource.Txn) error {
	l.id = t.ID()
	return l.err
}
func (l *last) Forget(context.Context, resource.Txn)      {}
func (l *last) Abort(context.Context, resource.Txn) error { return nil }

// decide commits a write in a transaction with l.
func decide(ctx context.Context, db *storage.DB, l *last, key, value string) error {
	return transaction.Run(ctx, func(ctx context.Context) error {
		txn, _ := transaction.FromContext(ctx)
		return errors.Join(put(ctx, db, key, value), txn.Join(l))
	}, transaction.Policy{Tries: 1})
}

// inDoubt leaves a prepared transaction in doubt.
func inDoubt(ctx context.Context, db *storage.DB, key, value string) (id string, err error) {
	l := &last{err: transaction.ErrInDoubt, recorder: strings.Repeat("D", 64)}
	if err := decide(ctx, db, l, key, value); !errors.Is(err, transaction.ErrInDoubt) {
		return "", fmt.Errorf("got %w, want that it is in doubt", err)
	}
	return l.id, nil
}

// childPrepare leaves a prepared transaction in doubt, and waits for the end of its input.
func childPrepare(ctx context.Context, db *storage.DB) error {
	id, err := inDoubt(ctx, db, "a", "child")
	if err == nil {
		fmt.Println(id)
		waitForInput()
	}
	return err
}

func prepared(tb testing.TB, db *storage.DB) []recovery.Prepared {
	tb.Helper()
	list, err := db.Engine().(recovery.Participant).Prepared(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db, conn := openDB(t, uri), connect(t, uri)
	defer db.Close()
	value := func() string {
		return ask[string](t, conn,
			`SELECT coalesce((SELECT convert_from(value, 'UTF8') FROM pasteline_data), '-')`)
	}
	if err := decide(t.Context(), db, &last{}, "a", "1"); err != nil || value() != "1" {
		t.Errorf("committed: got %v, %s", err, value())
	}
	if err := decide(t.Context(), db, &last{err: errors.New("no")}, "a", "2"); err == nil ||
		value() != "1" {
		t.Errorf("aborted: got %v, %s", err, value())
	}
	if list := prepared(t, db); len(list) != 0 {
		t.Errorf("got %v, want nothing prepared", list)
	}
	part := db.Engine().(recovery.Participant)
	for _, tt := range []struct {
		end  func(context.Context, recovery.Prepared) error
		want string
	}{{part.Abort, "1"}, {part.Finish, "2"}} {
		id, err := inDoubt(t.Context(), db, "a", "2")
		if err != nil {
			t.Fatal(err)
		}
		list := prepared(t, db)
		if len(list) != 1 || list[0].Transaction != id || list[0].Recorder != strings.Repeat("D",
			64) || !list[0].Orphan || list[0].Since.IsZero() || len(list[0].Name) > 199 {
			t.Fatalf("got %+v, want transaction %s, an orphan: it was left", list, id)
		}
		for range 2 { // what is settled is no error
			if err := tt.end(t.Context(), list[0]); err != nil {
				t.Error(err)
			}
		}
		if got := value(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// Prepared transactions of other programs and tables are not listed, and stay.
func TestPreparedByOthers(t *testing.T) {
	t.Parallel()
	uri, elsewhere := pgtest.Database(t), pgtest.Database(t)
	var all []*storage.DB
	for _, uri := range []string{
		uri, with(uri, "program=other"), with(uri, "table_prefix=other_"),
		elsewhere,
	} {
		db := openDB(t, uri)
		defer db.Close()
		all = append(all, db)
		if _, err := inDoubt(t.Context(), db, fmt.Sprint(len(all)), "1"); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, uri)
	exec(t, conn, `BEGIN`, `CREATE TABLE theirs (id int)`, `PREPARE TRANSACTION 'theirs'`, `BEGIN`,
		`CREATE TABLE near (id int)`, `PREPARE TRANSACTION 'pasteline:pasteline:x'`)
	for i, db := range all {
		list := prepared(t, db)
		if want := 1; len(list) != want {
			t.Errorf("database %d: got %v, want its own", i, list)
		}
		for _, p := range list {
			if err := db.Engine().(recovery.Participant).Abort(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
	}
	if n := ask[int](t, conn,
		`SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()`); n != 2 {
		t.Errorf("got %d prepared transactions, want the two of others", n)
	}
}

// Prepared transactions of a process that is alive are not settled; after its end they are orphans.
func TestOrphans(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	watching := openDB(t, uri)
	defer watching.Close()
	for _, end := range []string{"close", "kill"} {
		switch end {
		case "close":
			db := openDB(t, with(uri, "application_name=two"))
			if _, err := inDoubt(t.Context(), db, "a", "1"); err != nil {
				t.Fatal(err)
			}
			if list := prepared(t, watching); len(list) != 1 || list[0].Orphan {
				t.Errorf("got %v, want one that is no orphan: its process lives", list)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		case "kill":
			child, said, wait := start(t, "prepare", uri)
			if list := prepared(t, watching); len(list) != 1 || list[0].Orphan ||
				list[0].Transaction != said {
				t.Errorf("got %v, want %s, no orphan: its process lives", list, said)
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = wait()
		}
		// The server notices a closed connection a moment later.
		until(t, connect(t, uri), `SELECT NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
		list := prepared(t, watching)
		if len(list) != 1 || !list[0].Orphan {
			t.Fatalf("%s: got %v, want an orphan", end, list)
		}
		if err := watching.Engine().(recovery.Participant).Abort(t.Context(), list[0]); err != nil {
			t.Error(err)
		}
	}
}

// Records that are no longer needed are deleted, at the latest when the database is closed.
func TestForget(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openDB(t, uri)
	for range 250 {
		mustPut(t, db, "a", "1")
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if n := ask[int](t, connect(t, uri), `SELECT count(*) FROM pasteline_decisions`); n != 0 {
		t.Errorf("got %d records, want none", n)
	}
}

func TestCanPrepare(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "max_prepared_transactions = 0"))
	for _, tt := range []struct {
		uri  string
		can  bool
		want string
	}{
		{pgtest.Database(t), true, ""},
		{with(pgtest.Database(t), "two_phase=off"), false, ""},
		{
			server.CreateDatabase(t), false,
			"set it to max_connections or more and restart the server, or write ?two_phase=off",
		},
		{with(server.CreateDatabase(t), "two_phase=off"), false, ""},
	} {
		db := openDB(t, tt.uri)
		can := db.Engine().(engine.Preparer).CanPrepare()
		why := cmp.Or(db.Engine().(engine.PrepareChecker).WhyNotPrepare(), errors.New(""))
		if can != tt.can || !strings.Contains(why.Error(), tt.want) ||
			(tt.want == "") != (why.Error() == "") {
			t.Errorf("%s: got %t, %v, want %t, %q", tt.uri, can, why, tt.can, tt.want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}
