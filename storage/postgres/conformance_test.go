package postgres_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/internal/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/storage/storagetest"
)

// openDB opens the database of a URI.
func openDB(tb testing.TB, uri string) *storage.DB {
	tb.Helper()
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(tb.Context(), uri)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// with adds options to a URI.
func with(uri, options string) string {
	switch {
	case options == "":
		return uri
	case strings.Contains(uri, "?"):
		return uri + "&" + options
	}
	return uri + "?" + options
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, options string }{
		{"snapshot=lazy", ""},
		{"snapshot=first", "snapshot=first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			uri := with(pgtest.Database(t), tt.options)
			var schemas atomic.Int64
			storagetest.Run(t, storagetest.Engine{
				Open: func(tb testing.TB) *storage.DB { // to make a schema is faster than to make a database
					tb.Helper()
					return openDB(tb, with(uri, fmt.Sprintf("schema=s%d&pool_max_conns=10", schemas.Add(1))))
				},
				ReadsConflict: tt.options != "snapshot=first",
			})
		})
	}
}
