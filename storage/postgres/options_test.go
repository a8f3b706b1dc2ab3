package postgres_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// Each option reaches the server or has its own effect.
func TestOptions(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	for i, tt := range []struct{ option, ask, want string }{
		{"", "SHOW statement_timeout", "30s"},
		{"", "SHOW lock_timeout", "5s"},
		{"", "SHOW idle_in_transaction_session_timeout", "1min"},
		{"", "SHOW application_name", "pasteline"},
		{"", "SHOW transaction_isolation", "serializable"},
		{"statement_timeout=7s", "SHOW statement_timeout", "7s"},
		{"statement_timeout=0", "SHOW statement_timeout", "0"},
		{"lock_timeout=7s", "SHOW lock_timeout", "7s"},
		{
			"idle_in_transaction_session_timeout=2min",
			"SHOW idle_in_transaction_session_timeout", "2min",
		},
		{"application_name=site", "SHOW application_name", "site"},
		{"", "SHOW jit", "on"}, // for the app's own SQL
		{"work_mem=8MB", "SHOW work_mem", "8MB"},
		{"options=-c%20work_mem%3D9MB", "SHOW work_mem", "9MB"},
		{"schema=there", "SELECT count(*)::text FROM there.pasteline_data", "0"},
		{"table_prefix=site_", "SELECT count(*)::text FROM site_data", "0"},
		{"default_query_exec_mode=exec", "SELECT 'a'", "a"},
		{"default_query_exec_mode=cache_describe", "SELECT 'a'", "a"},
		{"default_query_exec_mode=simple_protocol", "SELECT 'a'", "a"},
	} {
		t.Run(fmt.Sprint(tt.option, tt.ask), func(t *testing.T) {
			t.Parallel()
			db := openDB(t, with(uri, tt.option))
			defer db.Close()
			run(t, func(ctx context.Context) error {
				tx, err := postgres.Tx(ctx, db)
				if err != nil {
					return err
				}
				got := ""
				if err := tx.QueryRow(ctx, tt.ask).Scan(&got); err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
				return nil
			})
			for range 2 {
				run(t, func(ctx context.Context) error { return increment(ctx, db, fmt.Sprint(i)) })
			}
		})
	}
}

// The package's own statements run without sequential scans where possible, and are never compiled.
func TestOwnSettings(t *testing.T) {
	t.Parallel()
	db := openDB(t, pgtest.Database(t))
	defer db.Close()
	for _, name := range []string{"enable_seqscan", "jit"} {
		if got, err := postgres.Setting(t.Context(), db, name); err != nil || got != "off" {
			t.Errorf("%s: got %q, %v, want off", name, got, err)
		}
	}
}

// A pool has at most pool_max_conns connections, and a request waits for one for acquire_timeout.
func TestPoolSize(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openDB(t, with(uri, "pool_max_conns=1&acquire_timeout=50ms"))
	defer db.Close()
	run(t, func(ctx context.Context) error {
		if _, err := postgres.Tx(ctx, db); err != nil {
			return err
		}
		err := transaction.Run(t.Context(), func(ctx context.Context) error {
			_,
				err := get(ctx, db, "a")
			return err
		}, transaction.Policy{Tries: 1})
		if want := "no connection became free in 50ms: more requests than connections " +
			"(pool_max_conns is 1)"; err == nil ||
			!strings.Contains(err.Error(), want) || !transaction.IsTransient(err) {
			t.Errorf("got %v, want %s, which is transient", err, want)
		}
		ctx2, cancel := context.WithCancel(t.Context())
		cancel()
		err = transaction.Run(ctx2, func(ctx context.Context) error {
			_,
				err := get(ctx, db, "a")
			return err
		})
		if !errors.Is(err, context.Canceled) || transaction.IsTransient(err) {
			t.Errorf("got %v, want that of the context", err)
		}
		return nil
	})
}

// The error of a database that can't be opened is one line with the reason and the remedy, without
// the password.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	strict := pgtest.Start(t, pgtest.Settings("fsync = off",
		"hba_file = '"+hba(t, "host all limited all md5\nhost all all all trust\n")+"'"))
	exec(t, connect(t, strict.URI("postgres")), `CREATE ROLE limited LOGIN PASSWORD 'right'`)
	for _, tt := range []struct{ name, uri, want string }{
		{
			"unknown option", with(uri, "colour=red"),
			`unrecognized configuration parameter "colour": the options of this kind of database are ` +
				`acquire_timeout, app_sql_timeout, program, schema`,
		},
		{
			"malformed value", with(uri, "work_mem=much"),
			`invalid value for parameter "work_mem": "much"`,
		},
		{"pool", with(uri, "pool_max_conns=many"), "pool_max_conns"},
		{"twice", with(uri, "schema=a&schema=b"), "the option schema is given 2 times"},
		{
			"schema", with(uri, "schema=A-b"),
			"schema=A-b: want a name of small letters, digits and _, such as site",
		},
		{
			"prefix", with(uri, "table_prefix=A"),
			"table_prefix=A: want small letters, digits and _, such as site_",
		},
		{"program", with(uri, "program=a:b"), "program=a:b: want 1 to 32 letters, digits and -"},
		{
			"acquire_timeout", with(uri, "acquire_timeout=0"),
			"acquire_timeout=0: want a time above 0, such as 5s",
		},
		{"snapshot", with(uri, "snapshot=late"), "snapshot=late: want lazy or first"},
		{"two_phase", with(uri, "two_phase=on"), "two_phase=on: want auto or off"},
		{
			"isolation", with(uri, "default_transaction_isolation=serializable"),
			"default_transaction_isolation is always serializable here: leave it out",
		},
		{"sslmode", strings.Replace(uri, "sslmode=disable", "sslmode=perhaps", 1), "sslmode"},
		{
			"TLS that is not there", strings.Replace(uri, "sslmode=disable", "sslmode=require", 1),
			"server refused TLS connection",
		},
		{
			"no such database", strict.URI("nothing"),
			`database "nothing" does not exist: create it, with createdb for example`,
		},
		{"wrong password", strings.Replace(strict.URI("postgres"), "postgres@",
			"limited:very-secret@", 1), "password authentication failed for user \"limited\": check " +
			"user and password"},
		{
			"nobody listens", "postgres://me:very-secret@" + nobody.Addr().String() + "/site",
			"is the server running, and are host and port right?",
		},
		{
			"no such host", "postgres://me:very-secret@no-such-host.invalid/site",
			"is the server running, and are host and port right?",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opener := storage.NewOpener()
			postgres.Register(opener)
			db, err := opener.Open(t.Context(), tt.uri)
			if err == nil {
				db.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error(), "\n") ||
				strings.Contains(err.Error(), "very-secret") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
		})
	}
}

// hba writes a pg_hba.conf that the server can read.
func hba(tb testing.TB, text string) string {
	tb.Helper()
	return shareFile(tb, "pg_hba.conf", []byte(text), 0o644)
}

// shareFile writes a file for a server that runs as another user, and goes there on its own.
func shareFile(tb testing.TB, name string, text []byte, mode os.FileMode) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pasteline-test") //nolint:usetesting // that of the test is for its own user only
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, text, mode),
		os.Chmod(path, mode)); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert := shareFile(t, "server.crt", certificate, 0o644)
	keyFile := shareFile(t, "server.key",
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	// the server runs as another user, and accepts a key of root that its group may read
	if os.Getuid() == 0 {
		account, err := user.Lookup("postgres")
		if err != nil {
			t.Skip(err)
		}
		group, err := strconv.Atoi(account.Gid)
		if err := errors.Join(err, os.Chown(keyFile, 0, group),
			os.Chmod(keyFile, 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "ssl = on",
		"ssl_cert_file = '"+cert+"'", "ssl_key_file = '"+keyFile+"'"))
	uri := server.CreateDatabase(t)
	for _, tt := range []struct{ mode, want string }{
		{"disable", "false"}, {"prefer", "true"}, {"require", "true"}, {"verify-full&sslrootcert=" +
			url.QueryEscape(cert), "true"}, {"verify-full", "certificate"},
	} {
		opener := storage.NewOpener()
		postgres.Register(opener)
		db, err := opener.Open(t.Context(), strings.Replace(uri, "sslmode=disable",
			"sslmode="+tt.mode, 1))
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %s", tt.mode, err, tt.want)
			}
			continue
		}
		run(t, func(ctx context.Context) error {
			tx, err := postgres.Tx(ctx, db)
			if err != nil {
				return err
			}
			got := ""
			if err := tx.QueryRow(ctx, `SELECT ssl::text FROM pg_stat_ssl WHERE pid = `+
				`pg_backend_pid()`).Scan(&got); err != nil || got != tt.want {
				t.Errorf("%s: got %s, %v, want %s", tt.mode, got, err, tt.want)
			}
			return nil
		})
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Large work: many keys in a commit, many reads, large values.
func TestLarge(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	db := openDB(t, uri)
	defer db.Close()
	const keys = 10_000
	name := func(i int) []byte { return fmt.Appendf(nil, "%06d\x00", i) }
	bucket := func(ctx context.Context, name string) storage.Bucket {
		tx, err := db.Tx(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return tx.Bucket(name)
	}
	run(t, func(ctx context.Context) error {
		b := bucket(ctx, "many")
		for i := range keys {
			if err := b.Put(name(i), []byte{}); err != nil {
				return err
			}
		}
		return nil
	})
	run(t, func(ctx context.Context) error { // reads all, deletes one half, and changes the other
		b := bucket(ctx, "many")
		n := 0
		for item, err := range b.Range(storage.Range{Reverse: true}) {
			if err != nil {
				return err
			}
			if err := b.AddReadConflict(item.Key); err != nil {
				return err
			}
			if n%2 == 0 {
				err = b.Delete(item.Key)
			} else {
				err = b.Put(item.Key, item.Key)
			}
			if err != nil {
				return err
			}
			n++
		}
		if n != keys {
			t.Errorf("got %d keys, want %d", n, keys)
		}
		return nil
	})
	run(t, func(ctx context.Context) error {
		n := 0
		for item, err := range bucket(ctx, "many").Range(storage.Range{}) {
			if err != nil {
				return err
			}
			if !bytes.Equal(item.Key, item.Value) {
				t.Errorf("got %q=%q", item.Key, item.Value)
			}
			n++
		}
		if n != keys/2 {
			t.Errorf("got %d keys, want %d", n, keys/2)
		}
		return nil
	})
}

// An iteration over large values sends each value over the network once.
func TestLargeValues(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	p, through := newProxy(t, uri)
	db := openDB(t, through)
	defer db.Close()
	const values, size = 12, storage.MaxValue / 4
	for i := range values {
		run(t, func(ctx context.Context) error {
			return put(ctx, db, fmt.Sprintf("%02d", i), strings.Repeat("x", size))
		})
	}
	for _, reverse := range []bool{false, true} {
		before := p.received.Load()
		run(t, func(ctx context.Context) error {
			tx, err := db.Tx(ctx)
			if err != nil {
				return err
			}
			n := 0
			for item, err := range tx.Bucket("b").Range(storage.Range{Reverse: reverse}) {
				if err != nil {
					return err
				}
				if len(item.Value) != size {
					t.Errorf("got a value of %d bytes, want %d", len(item.Value), size)
				}
				n++
			}
			if n != values {
				t.Errorf("got %d values, want %d", n, values)
			}
			return nil
		})
		if got, most := p.received.Load()-before, int64(values*size*11/10); got > most {
			t.Errorf("reverse %t: %d bytes came from the server, want at most %d",
				reverse, got, most)
		}
	}
}

// The port of the URI counts, not that of the environment.
func TestPort(t *testing.T) {
	t.Setenv("PGPORT", "5433")
	for text, want := range map[string]string{
		"postgres://H:5432/d": "postgres://h:5432/d",
		"postgresql://h/d":    "postgres://h/d",
	} {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := postgres.Canonical(uri); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}
