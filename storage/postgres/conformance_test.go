package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/storage/storagetest"
)

// openDB opens the database of a URI.
func openDB(tb testing.TB, uri string) *storage.DB {
	tb.Helper()
	return openAs(tb, uri, postgres.Register)
}

func openAs(tb testing.TB, uri string, register func(*storage.Opener)) *storage.DB {
	tb.Helper()
	opener := storage.NewOpener()
	register(opener)
	db, err := opener.Open(tb.Context(), uri)
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// with returns a URI with more options.
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
	for _, tt := range []struct {
		name, options string
		register      func(*storage.Opener)
	}{
		{"snapshot=lazy", "", postgres.Register},
		{"snapshot=first", "snapshot=first", postgres.Register},
		{"simple server", "", postgres.RegisterSimple}, // without features that some servers lack
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && tt.name != "snapshot=lazy" {
				t.Skip("short")
			}
			uri := with(pgtest.Database(t), tt.options)
			var schemas atomic.Int64
			storagetest.Run(t, storagetest.Engine{
				// a new schema takes less time than a new database
				Open: func(tb testing.TB) *storage.DB {
					tb.Helper()
					return openAs(tb, with(uri, fmt.Sprintf("schema=s%d&pool_max_conns=10",
						schemas.Add(1))), tt.register)
				},
				Reopen: func(tb testing.TB, db *storage.DB) *storage.DB {
					tb.Helper()
					schema := postgres.Schema(db)
					if err := db.Close(); err != nil {
						tb.Fatal(err)
					}
					return openAs(tb, with(uri, "pool_max_conns=10&schema="+schema), tt.register)
				},
				Clients:       12,
				Transactions:  15,
				Rounds:        1,
				ReadsConflict: tt.options != "snapshot=first",
			})
		})
	}
}

// Random sequences of operations have the same results with every engine, those of the model.
func TestSameAsOthers(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	for i := range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			for _, tt := range []struct {
				name string
				open func(tb testing.TB) *storage.DB
			}{
				{"memory", func(testing.TB) *storage.DB { return memory.New("memory") }},
				{"bolt", func(tb testing.TB) *storage.DB {
					tb.Helper()
					db, err := bolt.Open(filepath.Join(tb.TempDir(), "data.db"), nil)
					if err != nil {
						tb.Fatal(err)
					}
					return db
				}},
				{"postgres", func(tb testing.TB) *storage.DB {
					tb.Helper()
					return openDB(tb, with(uri, fmt.Sprintf("snapshot=first&schema=s%d", i)))
				}},
			} {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					random := rand.New(rand.NewPCG(seed, 0))
					db := tt.open(t)
					storagetest.Ops(t, db, func() byte { return byte(random.UintN(256)) }, 400)
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}
