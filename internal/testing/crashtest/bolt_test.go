package main_test

import (
	"testing"
	"time"

	"go.etcd.io/bbolt" //nolint:depguard // only the file itself shows what the engine keeps in it
)

// boltDecisions counts the records in a file that nobody has open.
func boltDecisions(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte("\x00decided")); b != nil {
			n = b.Stats().KeyN
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
