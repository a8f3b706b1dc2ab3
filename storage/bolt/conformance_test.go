package bolt_test

import (
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/storagetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, storagetest.Engine{
		Open: func(tb testing.TB) *storage.DB {
			tb.Helper()
			return open(tb, tempFile(tb))
		},
		Reopen: func(tb testing.TB, db *storage.DB) *storage.DB {
			tb.Helper()
			closeDB(tb, db)
			checkFile(tb, pathOf(tb, db))
			return open(tb, pathOf(tb, db))
		},
		Clients:      32,
		Transactions: 25,
		Rounds:       2,
		Check: func(tb testing.TB, db *storage.DB) {
			tb.Helper()
			checkFile(tb, pathOf(tb, db))
		},
	})
}
