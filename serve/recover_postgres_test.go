package serve_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// lostRecorder is where a transaction was to be decided, and nobody knows what became of it.
type lostRecorder struct{}

func (*lostRecorder) SortKey() string    { return "lost" }
func (*lostRecorder) RecorderID() string { return "LOST" }

func (*lostRecorder) Commit(context.Context, resource.Txn) error {
	return transaction.ErrInDoubt
}
func (*lostRecorder) Abort(context.Context, resource.Txn) error { return nil }
func (*lostRecorder) Forget(context.Context, resource.Txn)      {}

// leaveInDoubt writes to a database in a transaction of which the outcome is lost, and returns its
// id.
func leaveInDoubt(t *testing.T, uri, key string) (id string) {
	t.Helper()
	o := storage.NewOpener()
	postgres.Register(o)
	db, err := o.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	ctx, txn := transaction.Begin(t.Context())
	tx, err := db.Tx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(tx.Bucket("b").Put([]byte(key), []byte("1")), txn.Join(&lostRecorder{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(ctx); !errors.Is(err, transaction.ErrInDoubt) {
		t.Fatalf("got %v, want it to be in doubt", err)
	}
	if err := txn.Abort(ctx); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	return txn.ID()
}

// What PostgreSQL holds prepared is found, shown, left alone while nobody can know, and settled by
// hand.
func TestRecoverPostgres(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	_, path := writeSite(t, strings.Replace(bankSite, "#bank\n",
		"#bank\nuris = "+strings.ReplaceAll(uri, "%", "%%")+"\n", 1))
	recoverWith := func(args ...string) (code int, out, errs string) {
		return run(t, "", append([]string{"recover", path}, args...), registerBanks())
	}
	if code, out, errs := recoverWith(); code != serve.ExitOK ||
		out != "no prepared transactions\n" {
		t.Errorf("before: got %d, %s%s", code, out, errs)
	}
	one, two := leaveInDoubt(t, uri, "one"), leaveInDoubt(t, uri, "two")
	const unknown = "in doubt: decided by LOST, which is no database of this configuration\n"
	for range 2 { // nothing changes
		code, out, errs := recoverWith()
		if code != serve.ExitFailed || strings.Count(out, unknown) != 2 ||
			!strings.Contains(out, one) || errs != "still in doubt: 2\n" {
			t.Errorf("in doubt: got %d, %s%s", code, out, errs)
		}
	}
	if code, out, errs := recoverWith("--commit", one); code != serve.ExitOK ||
		!strings.HasSuffix(out, "  committed\n") {
		t.Errorf("commit: got %d, %s%s", code, out, errs)
	}
	if code, out, errs := recoverWith("--abort", two); code != serve.ExitOK ||
		!strings.HasSuffix(out, "  rolled back\n") {
		t.Errorf("abort: got %d, %s%s", code, out, errs)
	}
	if code, out, errs := recoverWith("--dry-run"); code != serve.ExitOK ||
		out != "no prepared transactions\n" {
		t.Errorf("after: got %d, %s%s", code, out, errs)
	}
	o := storage.NewOpener()
	postgres.Register(o)
	db, err := o.Open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = transaction.Run(t.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		for key, want := range map[string]string{"one": "1", "two": ""} {
			if got, err := tx.Bucket("b").Get([]byte(key)); err != nil || string(got) != want {
				t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A server that lets nobody prepare is found by check and at the start, if there is another
// database that can't.
func TestTwoPhaseIsCheckedPostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("max_prepared_transactions = 0"))
	uri := strings.ReplaceAll(server.CreateDatabase(t), "%", "%%")
	for _, tt := range []struct{ other, want string }{
		{"bolt://%(here)s/data.db", "max_prepared_transactions = 0"},
		{"memory://x", ""},
	} {
		_, path := writeSite(t, strings.Replace(bankSite, "#bank\n",
			"#bank\nuris = "+uri+" "+tt.other+"\n", 1))
		for _, args := range [][]string{{"check", path}, {path}} {
			if tt.want == "" && args[0] == path {
				continue // it would serve
			}
			code, _, errs := run(t, "", args, registerBanks())
			if (code == serve.ExitOK) != (tt.want == "") || !strings.Contains(errs, tt.want) {
				t.Errorf("%s with %s: got %d, %q, want %q", args[0], tt.other, code, errs, tt.want)
			}
		}
	}
}
