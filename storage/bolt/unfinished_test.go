package bolt_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
)

// firstPages returns the pages that bbolt writes to an empty file.
func firstPages(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fresh.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A file with any part of the first pages, as a power cut may leave it, opens.
func TestPowerCutAtTheFirstPages(t *testing.T) {
	t.Parallel()
	complete := firstPages(t)
	images := map[string][]byte{
		"empty": nil, "complete": complete, "only zeros": make([]byte, len(complete)), "a few zeros": make([]byte, 100),
	}
	const sector = 512
	for i := sector; i < len(complete); i += 3 * sector {
		images["the first "+string(rune('A'+i/sector))] = complete[:i]
		last := make([]byte, len(complete))
		copy(last[i:], complete[i:])
		images["the last "+string(rune('A'+i/sector))] = last
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		some := make([]byte, len(complete)-sector*random.IntN(3))
		for at := 0; at < len(some); at += sector {
			if random.IntN(2) == 0 {
				copy(some[at:min(at+sector, len(some))], complete[at:])
			}
		}
		images["some "+string(rune('A'+i))] = some
	}
	for name, image := range images {
		path := tempFile(t)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(path, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustPut(t, db, "k", "v")
		closeDB(t, db)
		checkFile(t, path)
	}
}

// A file with other content than a part of the first pages is not initialized.
func TestNoPartOfTheFirstPages(t *testing.T) {
	t.Parallel()
	complete := firstPages(t)
	other := append([]byte(nil), complete[:4096]...)
	other[1000] = 1
	for name, image := range map[string][]byte{
		"another byte": other, "longer zeros": make([]byte, len(complete)+1), "text": []byte("note to self\n"), "text and zeros": append([]byte("x"), make([]byte, 5000)...),
	} {
		path := tempFile(t)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		if db, err := bolt.Open(path, nil); err == nil {
			closeDB(t, db)
			t.Errorf("%s: was opened", name)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(image) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
}

// A database that was created for a start that failed is deleted, unless it was written to or
// existed before.
func TestDiscard(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                 string
		exists, writes, kept bool
		left                 bool
	}{
		{name: "failed"},
		{name: "failed, but written to", writes: true, left: true},
		{name: "failed, but existed", exists: true, left: true},
		{name: "did not fail", kept: true, left: true},
	} {
		path := tempFile(t)
		if tt.exists {
			closeDB(t, open(t, path))
		}
		opener := storage.NewOpener()
		bolt.Register(opener)
		keep := opener.Try()
		db, err := opener.Open(t.Context(), "bolt://"+path)
		if err != nil {
			t.Fatal(err)
		}
		get(t, db, "k")
		if tt.writes {
			mustPut(t, db, "k", "v")
		}
		if tt.kept {
			keep()
		}
		closeDB(t, db)
		if _, err := os.Stat(path); (err == nil) != tt.left {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
