package bolt_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/storagetest"
)

// FuzzFormat checks that every record that is not exactly that of a format is refused.
func FuzzFormat(f *testing.F) {
	for _, record := range []string{"pasteline/1", "pasteline/99", "pasteline/0", "pasteline/-1", "pasteline/+1", "pasteline/01", "pasteline/", "", "x"} {
		f.Add([]byte(record))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		version, err := bolt.DecodeFormat(record)
		switch {
		case err != nil && !errors.Is(err, storage.ErrDamaged):
			t.Errorf("%q: got %v, want ErrDamaged", record, err)
		case err == nil && (version < 1 || string(bolt.EncodeFormat(version)) != string(record)):
			t.Errorf("%q: got version %d", record, version)
		}
	})
}

// FuzzOps checks that sequences of operations have the results of the model.
func FuzzOps(f *testing.F) {
	f.Add([]byte("seed of some operations, each letter a choice"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		db := open(t, tempFile(t))
		defer closeDB(t, db)
		rest := choices
		storagetest.Ops(t, db, func() byte {
			if len(rest) == 0 {
				return 15 // mostly: commit
			}
			choice := rest[0]
			rest = rest[1:]
			return choice
		}, len(choices)/3)
	})
}

// FuzzOpen checks that no URI makes an opener panic, and that canonical forms are stable.
func FuzzOpen(f *testing.F) {
	for _, uri := range []string{
		"bolt:///a/b.db", "bolt://data.db", "bolt:///x/y?mmap_size=1GiB", "bolt:///x?lock_timeout=1s", `bolt://C:\x`,
		"memory://x", "zeo:///a/zeo.sock", "zeo://h:1", "pg://u:p@h/d?password=x", "://", "%", "",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		o := storage.NewOpener()
		var opened []string
		o.RegisterCanonical("bolt", func(_ context.Context, uri *url.URL) (engine.Engine, error) {
			opened = append(opened, uri.String())
			return nil, errors.New("not in a fuzz test")
		}, bolt.Canonical)
		memory.Register(o)
		if db, err := o.Open(t.Context(), uri); err == nil {
			_ = db.Close()
			return
		}
		if len(opened) > 0 {
			first := opened[0]
			if _, _ = o.Open(t.Context(), first); len(opened) != 2 || opened[1] != first {
				t.Errorf("%q: opened %q", uri, opened)
			}
		}
	})
}
