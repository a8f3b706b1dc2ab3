package storage_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func newOpener() *storage.Opener {
	o := storage.NewOpener()
	bolt.Register(o)
	memory.Register(o)
	return o
}

func mustOpen(tb testing.TB, o *storage.Opener, uri string) *storage.DB {
	tb.Helper()
	db, err := o.Open(tb.Context(), uri)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func put(tb testing.TB, db *storage.DB, key, value string) {
	tb.Helper()
	err := transaction.Run(tb.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return tx.Bucket("b").Put([]byte(key), []byte(value))
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func get(tb testing.TB, db *storage.DB, key string) (value string) {
	tb.Helper()
	err := transaction.Run(tb.Context(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		got, err := tx.Bucket("b").Get([]byte(key))
		value = string(got)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// A database is opened once, whatever its URIs, and closed with its last user.
func TestOpenerShares(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"dirlink": ".", "link.db": "data.db", "chain.db": "dirlink/link.db"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	o := newOpener()
	var dbs []*storage.DB
	for _, name := range []string{"chain.db", "data.db", "./x/../data.db", "/data.db", "link.db", "dirlink/data.db", "dirlink/link.db", "%64ata.db"} {
		dbs = append(dbs, mustOpen(t, o, "bolt://"+filepath.ToSlash(dir)+"/"+name))
		if got, want := dbs[len(dbs)-1].Name(), "bolt://"+filepath.ToSlash(dir)+"/data.db"; got != want {
			t.Errorf("%s: got name %q, want %q", name, got, want)
		}
	}
	put(t, dbs[0], "k", "v")
	for _, db := range dbs {
		if got := get(t, db, "k"); got != "v" {
			t.Errorf("got %q, want v", got)
		}
	}

	// In one transaction it joins once, through any DB; two bolt databases could not commit
	// together.
	err = transaction.Run(t.Context(), func(ctx context.Context) error {
		for _, db := range dbs {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			got, err := tx.Bucket("b").Get([]byte("k"))
			if err := errors.Join(err, tx.Bucket("b").Put([]byte("k"), append(got, '+'))); err != nil {
				return err
			}
		}
		return nil
	})
	if got, want := get(t, dbs[0], "k"), "v"+strings.Repeat("+", len(dbs)); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}

	path := filepath.Join(dir, "data.db")
	inUse := func() bool {
		db, err := bolt.Open(path, &bolt.Options{LockTimeout: 1})
		if err == nil {
			_ = db.Close()
		}
		return errors.Is(err, storage.ErrInUse)
	}
	for i, db := range dbs {
		if !inUse() {
			t.Fatalf("closed while %d still use it", len(dbs)-i)
		}
		if err := errors.Join(db.Close(), db.Close()); err != nil { // the second does not count
			t.Error(err)
		}
		ctx, txn := transaction.Begin(t.Context())
		if _, err := db.Tx(ctx); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		_ = txn.Abort(ctx)
	}
	if inUse() {
		t.Error("still open when all have closed it")
	}
	if got := get(t, mustOpen(t, o, "bolt://"+filepath.ToSlash(path)), "k"); !strings.HasPrefix(got, "v+") {
		t.Errorf("opened again: got %q", got)
	}
}

// An opener and the one that Renew made of it open a database once, and close it with the last user
// of both.
func TestRenewedOpenerShares(t *testing.T) {
	t.Parallel()
	opened, closed := 0, 0
	register := func(o *storage.Opener) *storage.Opener {
		o.Register("counted", func(context.Context, *url.URL) (engine.Engine, error) {
			opened++
			return closing{memory.New("x").Engine(), &closed}, nil
		})
		return o
	}
	first := register(storage.NewOpener())
	db := mustOpen(t, first, "counted://x")
	put(t, db, "k", "v")
	for range 3 { // the first goes, and is not needed by those that follow
		first = register(first.Renew())
		const restart = "restart the program to change them"
		if _, err := first.Open(t.Context(), "counted://x?y=1"); err == nil || !strings.Contains(err.Error(), restart) {
			t.Errorf("with other options: got %v", err)
		}
		next := mustOpen(t, first, "counted://x")
		if _, err := first.Open(t.Context(), "counted://x?y=1"); err == nil || strings.Contains(err.Error(), restart) {
			t.Errorf("with two options in one load: got %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		db = next
		if got := get(t, db, "k"); got != "v" {
			t.Errorf("got %q, want v", got)
		}
	}
	if err := db.Close(); err != nil || opened != 1 || closed != 1 {
		t.Errorf("opened %d times and closed %d times, %v; want once each", opened, closed, err)
	}
	mustOpen(t, first, "counted://x")
	if opened != 2 {
		t.Errorf("opened %d times, want 2: all had closed it", opened)
	}
}

// closing is an engine that counts its Close calls.
type closing struct {
	engine.Engine
	closed *int
}

func (c closing) Close() error {
	*c.closed++
	return c.Engine.Close()
}

type onePhase struct {
	engine.Engine
	why error // it could be otherwise
}

func (*onePhase) CanPrepare() bool       { return false }
func (o *onePhase) WhyNotPrepare() error { return o.why }

func TestCheckTwoPhase(t *testing.T) {
	t.Parallel()
	why := errors.New("its server says no; write yes")
	register := func(o *storage.Opener) *storage.Opener {
		memory.Register(o)
		for name, why := range map[string]error{"never": nil, "not-yet": why} {
			o.Register(name, func(context.Context, *url.URL) (engine.Engine, error) {
				return &onePhase{memory.New("x").Engine(), why}, nil
			})
		}
		return o
	}
	for _, tt := range []struct {
		name, uris, want string
	}{
		{"none", "", ""},
		{"one", "not-yet://a", ""},
		{"one beside others that can", "not-yet://a memory://b memory://c", ""},
		{"it could never be", "never://a never://b", ""},
		{
			"it could be", "not-yet://a never://b memory://c",
			"a transaction that writes to more than one of never://b and not-yet://a can't be committed: storage: not-yet://a: its server says no; write yes",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := register(storage.NewOpener())
			for uri := range strings.FieldsSeq(tt.uris) {
				mustOpen(t, o, uri)
			}
			got := ""
			if err := o.CheckTwoPhase(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}

	// The databases of the old configuration are still open, and do not count.
	o := register(storage.NewOpener())
	mustOpen(t, o, "never://old")
	mustOpen(t, o, "never://kept")
	next := register(o.Renew())
	mustOpen(t, next, "not-yet://new")
	if err := next.CheckTwoPhase(); err != nil {
		t.Errorf("got %v", err)
	}
	mustOpen(t, next, "never://kept")
	if err := next.CheckTwoPhase(); err == nil {
		t.Error("got no error of two that are in use")
	}
}

func TestOpenPanics(t *testing.T) {
	t.Parallel()
	o, broken, closed := storage.NewOpener(), true, 0
	o.Register("broken", func(context.Context, *url.URL) (engine.Engine, error) {
		if broken {
			panic("broken")
		}
		return closing{memory.New("x").Engine(), &closed}, nil
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		mustOpen(t, o, "broken://x")
	}()
	broken = false
	if err := mustOpen(t, o, "broken://x").Close(); err != nil || closed != 1 {
		t.Errorf("closed %d times, %v; want once", closed, err)
	}
}

// Concurrent opening and closing never returns a closed database.
func TestOpenerConcurrently(t *testing.T) {
	t.Parallel()
	o := newOpener()
	uri := "bolt://" + filepath.ToSlash(filepath.Join(t.TempDir(), "data.db"))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				db, err := o.Open(context.Background(), uri)
				if err != nil {
					t.Error(err)
					return
				}
				err = transaction.Run(context.Background(), func(ctx context.Context) error {
					_, err := db.Tx(ctx)
					return err
				})
				if err := errors.Join(err, db.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestMemoryIsSharedByName(t *testing.T) {
	t.Parallel()
	o := newOpener()
	one, two, other := mustOpen(t, o, "memory://x"), mustOpen(t, o, "memory://x/"), mustOpen(t, o, "memory://y")
	put(t, one, "k", "v")
	if get(t, two, "k") != "v" || get(t, other, "k") != "" {
		t.Error("want x shared, and y not")
	}
	_ = one.Close()
	_ = two.Close()
	if got := get(t, mustOpen(t, o, "memory://x"), "k"); got != "" {
		t.Errorf("all had closed it: got %q", got)
	}
}

func TestOpenerErrors(t *testing.T) {
	t.Parallel()
	dir := filepath.ToSlash(t.TempDir())
	o := newOpener()
	o.Register("pg", func(context.Context, *url.URL) (engine.Engine, error) { return nil, errors.New("connection refused") })
	mustOpen(t, o, "bolt://"+dir+"/data.db")
	for _, tt := range []struct{ uri, want string }{
		{"", "not a URI of a database: want one such as bolt:///path/to/data.db"},
		{"data.db", "not a URI of a database"},
		{"/path/data.db", "not a URI of a database: write bolt:///path/data.db"},
		{"/100% path/data.db", "not a URI of a database: write bolt:///100%25%20path/data.db"},
		{"bolt:/path/data.db", "not a URI of a database"},
		{"bolt://data.db", "want three slashes and the file's absolute path, such as bolt:///path/to/data.db (in an .ini file: bolt://%(here)s/data.db)"},
		{"bolt://var/lib/data.db", "want three slashes"},
		{"bolt://", "want the path of a file"},
		{"bolt:///", "want the path of a file"},
		{"bolt:///.", "want the path of a file"},
		{"bolt:///a/..", "want the path of a file"},
		{"bolt:///" + strings.Repeat("a/", 3000) + "x", "a path of 6002 bytes: want at most 4096"},
		{"bolt:///dir/", "want the path of a file"},
		{`bolt://C:\site\data.db`, "not a well-formed URI"},
		{"bolt://C:/site/data.db", "want three slashes"},
		{"bolt:///100%/data.db", "write %25 for %"},
		{"bolt:///a#b/data.db", "write %23 for #"},
		{"bolt:///no/such/directory/data.db", `the directory "/no/such/directory" does not exist`},
		{"bolt://" + dir + "/data.db?mmap_size=1GiB", "already open with other options (none)"},
		{"bolt://" + dir + "/other.db?mmapsize=1GiB", `no option "mmapsize": have lock_timeout, mmap_size`},
		{"bolt://" + dir + "/other.db?mmap_size=1GiB&mmap_size=2GiB", "given 2 times"},
		{"bolt://" + dir + "/other.db?mmap_size=lots", "option mmap_size=lots: want a size"},
		{"bolt://" + dir + "/other.db?mmap_size=12", "want a size from 1MiB"},
		{"bolt://" + dir + "/other.db?mmap_size=9999999TiB", "want a size from 1MiB"},
		{"bolt://" + dir + "/other.db?lock_timeout=-1s", "want a time above 0"},
		{"bolt://" + dir + "/other.db?lock_timeout=5", "want a time above 0, such as 5s"},
		{"memory://", "want memory://name"},
		{"memory://x/y", "want memory://name"},
		{"memory://x?size=1", "no options"},
		{"mysql://host/db", `no kind of database "mysql": have bolt, memory, pg`},
		{"zeo:///srv/site/zeo.sock", "ZODB's network protocol is not spoken here: write bolt:///srv/site/data.db instead"},
		{"zeo://localhost:8100?wait=1", "ZODB's network protocol is not spoken here: write bolt:///path/data.db instead"},
		{"file:///srv/site/Data.fs?quota=10", "ZODB's files are not read here: write bolt:///srv/site/data.db instead"},
		{"file://Data.fs", "ZODB's files are not read here: write bolt:///path/data.db instead"},
		{"pg://user:hunter2@host/db", "connection refused"},
		{"pg://user:hunter2/@host:port/db", "not a well-formed URI"},
		{"pg://user:hunter2%zz@host/db", "not a well-formed URI"},
		{"pg://host/db?password=hunter2", "connection refused"},
		{"other://user:hunter2@host/db", "no kind of database"},
	} {
		db, err := o.Open(t.Context(), tt.uri)
		if err == nil {
			_ = db.Close()
			t.Errorf("%s: no error", tt.uri)
			continue
		}
		if got := err.Error(); !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q, want one line with %q", tt.uri, got, tt.want)
		} else if strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q shows the password", tt.uri, got)
		}
	}
	if got := storage.NewOpener().Schemes(); len(got) != 0 {
		t.Errorf("a new opener knows %q", got)
	}
	if _, err := storage.NewOpener().Open(t.Context(), "bolt:///x"); err == nil || !strings.Contains(err.Error(), "no kind of database is registered") {
		t.Errorf("an opener without schemes: got %v", err)
	}
}

// The host may be a folder of sockets, percent-encoded as in libpq.
func TestOpenerSocketFolders(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"pg://%2Frun%2Fpostgresql/site":                             "pg:///site?host=%2Frun%2Fpostgresql",
		"pg://user:a%40b@%2frun%2fpostgresql:5433/site?sslmode=off": "pg://user:a%40b@/site?host=%2Frun%2Fpostgresql&port=5433&sslmode=off",
		"pg://%2Frun%2Fa%20b":                                       "pg:///?host=%2Frun%2Fa%20b",
		"pg://host:5433/site":                                       "pg://host:5433/site",
		"pg://user:%2Fpass@host/site?application_name=%2Fx":         "pg://user:%2Fpass@host/site?application_name=%2Fx",
	} {
		o := storage.NewOpener()
		var got string
		o.Register("pg", func(_ context.Context, uri *url.URL) (engine.Engine, error) {
			got = uri.String()
			return nil, errors.New("not opened")
		})
		if _, err := o.Open(t.Context(), uri); err == nil || strings.Contains(err.Error(), "a%40b") || got != want {
			t.Errorf("%s: got %s and %v, want %s", uri, got, err, want)
		}
	}
}

// Options that are equal in another form are the same.
func TestOpenerOptions(t *testing.T) {
	t.Parallel()
	o := newOpener()
	uri := "bolt://" + filepath.ToSlash(filepath.Join(t.TempDir(), "data.db"))
	mustOpen(t, o, uri+"?mmap_size=1GiB&lock_timeout=2s")
	mustOpen(t, o, uri+"?lock_timeout=2000ms&mmap_size=1073741824")
	if _, err := o.Open(t.Context(), uri); err == nil || !strings.Contains(err.Error(), "lock_timeout=2s&mmap_size=1073741824") {
		t.Errorf("got %v, want an error with the options that it is open with", err)
	}

	uri += "2"
	mustOpen(t, o, uri)
	mustOpen(t, o, uri+"?mmap_size=16GiB&lock_timeout=1s") // the defaults
}

func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	bolt.Register(newOpener())
}

// A mute is an engine that never answers, whatever its context says, or that panics.
type mute struct {
	engine.Engine
	panics bool
	asked  chan struct{}
}

func (m *mute) Begin(context.Context) (engine.View, error) {
	if m.panics {
		panic("an engine with a fault")
	}
	<-m.asked
	return nil, errors.New("too late")
}

func (m *mute) Close() error { return nil }

// Ping asks all open databases, and waits no longer than its context for any of them.
func TestPing(t *testing.T) {
	t.Parallel()
	o := newOpener()
	end := make(chan struct{})
	defer close(end)
	for scheme, panics := range map[string]bool{"mute": false, "broken": true} {
		o.Register(scheme, func(context.Context, *url.URL) (engine.Engine, error) {
			return &mute{asked: end, panics: panics}, nil
		})
	}
	if got := o.Ping(t.Context()); len(got) != 0 {
		t.Errorf("got %v without databases", got)
	}
	memoryDB := mustOpen(t, o, "memory://a")
	boltDB := mustOpen(t, o, "bolt://"+filepath.Join(t.TempDir(), "data.db"))
	put(t, boltDB, "k", "v")
	if got := o.Ping(t.Context()); len(got) != 2 || got[memoryDB.Name()] != nil ||
		got[boltDB.Name()] != nil {
		t.Errorf("got %v", got)
	}
	mustOpen(t, o, "mute://user:secret@host")
	mustOpen(t, o, "broken://host")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	got := o.Ping(ctx)
	if len(got) != 4 || got[memoryDB.Name()] != nil || got[boltDB.Name()] != nil ||
		!errors.Is(got["mute://***@host"], context.DeadlineExceeded) ||
		got["broken://host"] == nil {
		t.Errorf("got %v", got)
	}
}

// An engine that measures its database is asked while it is open.
func TestGauges(t *testing.T) {
	t.Parallel()
	o := newOpener()
	db := mustOpen(t, o, "bolt://"+filepath.Join(t.TempDir(), "data.db"))
	mustOpen(t, o, "memory://a")
	put(t, db, "k", strings.Repeat("v", 1<<16))
	put(t, db, "k", "v") // which frees pages
	all := o.Gauges()
	got := all[db.Name()]
	if len(all) != 1 || got["file_size_bytes"] < 1<<16 || got["free_pages"] == 0 ||
		got["free_bytes"] < got["free_pages"]*1024 || got["open_readers"] != 0 {
		t.Errorf("got %v", all)
	}
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		b, err := db.Bucket(ctx, "b")
		if err != nil {
			return err
		}
		_, err = b.Get([]byte("k"))
		if got := o.Gauges()[db.Name()]["open_readers"]; got != 1 {
			t.Errorf("in a transaction: got %v open readers, want 1", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := o.Gauges(); len(got) != 0 {
		t.Errorf("after closing: got %v", got)
	}
}
