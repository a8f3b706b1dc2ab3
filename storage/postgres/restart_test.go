package postgres_test

import (
	"context"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// After a restart of the server, PostgreSQL refuses each serializable transaction that reads a row
// which a prepared one has changed. A reader of such a key gets a conflict until recovery has settled
// the prepared transaction; readers of other keys are not concerned.
func TestPreparedAfterRestart(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off"))
	db := openDB(t, server.CreateDatabase(t))
	defer db.Close()
	mustPut(t, db, "doubtful", "1")
	mustPut(t, db, "other", "1")
	if _, err := inDoubt(t.Context(), db, "doubtful", "2"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Start()

	read := func(key string, tries int) (value string, err error) {
		err = transaction.Run(t.Context(), func(ctx context.Context) error {
			value, err = get(ctx, db, key)
			return err
		}, transaction.Policy{Tries: tries})
		return value, err
	}
	// The first attempts may find broken connections.
	if value, err := read("other", 5); err != nil || value != "1" {
		t.Errorf("another key: got %q, %v", value, err)
	}
	if value, err := read("doubtful", 1); !transaction.IsTransient(err) {
		t.Errorf("a key in doubt: got %q, %v, want a conflict", value, err)
	}
	for _, p := range prepared(t, db) {
		if err := db.Engine().(recovery.Participant).Finish(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
	if value, err := read("doubtful", 1); err != nil || value != "2" {
		t.Errorf("settled: got %q, %v, want the prepared value", value, err)
	}
}
