package postgres_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// Some tests need other processes: this test binary, in a mode that an environment variable names.
const childVar = "STORAGE_POSTGRES_TEST_CHILD"

func TestMain(m *testing.M) {
	mode, uri, _ := strings.Cut(os.Getenv(childVar), " ")
	child := map[string]func(context.Context, *storage.DB) error{
		"open": childOpen,
		"lock": childLock, "prepare": childPrepare,
	}[mode]
	if child == nil {
		os.Exit(m.Run())
	}
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(context.Background(), uri)
	if err == nil {
		err = child(context.Background(), db)
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// start runs a child until its standard input ends, and returns its first line.
func start(tb testing.TB, mode, uri string) (cmd *osexec.Cmd, said string, end func() error) {
	tb.Helper()
	cmd = osexec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+mode+" "+uri)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	buffer := make([]byte, 1000)
	n, err := stdout.Read(buffer)
	if err != nil {
		tb.Errorf("child %s: %v", mode, err)
	}
	return cmd, strings.TrimSpace(string(buffer[:n])), func() error {
		stdin.Close()
		return cmd.Wait()
	}
}

// childOpen commits once.
func childOpen(ctx context.Context, db *storage.DB) error {
	err := openOnce(ctx, db)
	if err == nil {
		fmt.Println("ok")
	}
	return err
}

func openOnce(ctx context.Context, db *storage.DB) error {
	return transaction.Run(ctx, func(ctx context.Context) error {
		return increment(ctx, db,
			"opened")
	}, transaction.Policy{Tries: 100})
}

// Ten processes, and ten goroutines with their own openers, open an empty database at the same
// time.
func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	const many = 10
	var crowd sync.WaitGroup
	for range many {
		crowd.Go(func() {
			cmd, said, end := start(t, "open", with(uri, "schema=site"))
			if err := end(); err != nil || said != "ok" {
				t.Errorf("%s: got %q, %v", cmd, said, err)
			}
		})
		crowd.Go(func() {
			opener := storage.NewOpener()
			postgres.Register(opener)
			db, err := opener.Open(t.Context(), with(uri, "schema=site"))
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := openOnce(t.Context(), db); err != nil {
				t.Error(err)
			}
			if err := postgres.Migrate(t.Context(), db, "app", files("1.sql",
				`CREATE TABLE once (id int); INSERT INTO once VALUES (1)`)); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	conn := connect(t, uri)
	if got := ask[string](t, conn, `SELECT convert_from(value, 'UTF8') FROM `+
		`site.pasteline_data`); got != fmt.Sprint(marked, 2*many) {
		t.Errorf("got %s, want %d", got, 2*many)
	}
	if n := ask[int](t, conn, `SELECT count(*) FROM once`); n != 1 {
		t.Errorf("the app's migration ran %d times", n)
	}
	if n := ask[int](t, conn, `SELECT count(*) FROM site.pasteline_identity`); n != 1 {
		t.Errorf("got %d identities", n)
	}
}

// files returns a file system with pairs of a name and a text.
func files(pairs ...string) fs.FS {
	all := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return all
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	db, conn, _ := newSite(t, "")
	one, two := `CREATE TABLE {prefix}one (id int)`, `ALTER TABLE {prefix}one ADD COLUMN name text`
	for _, tt := range []struct {
		name    string
		app     string
		files   fs.FS
		wantErr string
	}{
		{"first", "app", files("1.sql", one), ""},
		{"again", "app", files("1.sql", one), ""},
		{"one more", "app", files("1.sql", one, "2.sql", two, "README", "no SQL"), ""},
		{
			"older", "app", files("1.sql", one),
			"the tables of app were upgraded by a newer version (2.sql): use that one",
		},
		{
			"changed", "app", files("1.sql", one+" ", "2.sql", two),
			"migration 1.sql of app was changed after it was run: write the changes into another file",
		},
		{"missing", "app", files("2.sql", two, "3.sql", two), "the tables of app were made by " +
			"another version: migration 1.sql was run, which is not here, or 2.sql was not"},
		{"mistake", "app", files("1.sql", one, "2.sql", two, "3.sql", `CREATE TABLE {prefix}two `+
			`(id int); oh`), `migration 3.sql: ERROR: syntax error at or near "oh"`},
		{"mistake corrected", "app", files("1.sql", one, "2.sql", two, "3.sql",
			`CREATE TABLE {prefix}two (id int)`), ""},
		{"another app", "other", files("1.sql", `CREATE TABLE three (id int)`), ""},
		{"without a name", "", files(), `want the name of the app that owns the tables, not ""`},
	} { // each stands on the ones before
		err := postgres.Migrate(t.Context(), db, tt.app, tt.files)
		if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(),
			tt.wantErr) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.wantErr)
		}
	}
	exec3 := `SELECT count(*) FROM information_schema.tables WHERE table_name IN ` +
		`('pasteline_one', 'pasteline_two', 'three')`
	if n := ask[int](t, conn, exec3); n != 3 {
		t.Errorf("got %d tables, want 3", n)
	}
}

// A role that is no superuser can open the database with its rights.
func TestRights(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options string
		prepare       func(t *testing.T, uri, role string, conn *pgx.Conn)
		wantErr       string
	}{
		{"no right", "", func(*testing.T, string, string, *pgx.Conn) {}, "GRANT CREATE ON SCHEMA"},
		{"a schema that somebody has made for it", "schema=site", func(t *testing.T, _, role string,
			conn *pgx.Conn,
		) {
			t.Helper()
			exec(t, conn, `CREATE SCHEMA site AUTHORIZATION `+role)
		}, ""},
		{"tables that somebody has made for it", "schema=site", func(t *testing.T, uri, role string,
			conn *pgx.Conn,
		) {
			t.Helper()
			if err := openDB(t, with(uri, "schema=site")).Close(); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, `GRANT USAGE ON SCHEMA site TO `+role,
				`GRANT ALL ON ALL TABLES IN SCHEMA site TO `+role,
				// only their owner may set it
				`ALTER TABLE site.pasteline_data RESET (fillfactor)`)
		}, ""},
		{"tables of a newer version", "", func(t *testing.T, uri, role string, conn *pgx.Conn) {
			t.Helper()
			if err := openDB(t, uri).Close(); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, `GRANT ALL ON ALL TABLES IN SCHEMA public TO `+role,
				`INSERT INTO pasteline_migrations VALUES ('pasteline/storage', '999.sql', '')`)
		}, "newer version (999.sql)"},
		{"a schema whose name is a word of SQL", "schema=user", func(t *testing.T, _, role string,
			conn *pgx.Conn,
		) {
			t.Helper()
			exec(t, conn, `CREATE SCHEMA "user" AUTHORIZATION `+role)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			uri := pgtest.Database(t)
			conn := connect(t, uri)
			role := "role_of_" + ask[string](t, conn, `SELECT current_database()`)
			exec(t, conn, `CREATE ROLE `+role+` LOGIN`)
			tt.prepare(t, uri, role, conn)
			opener := storage.NewOpener()
			postgres.Register(opener)
			db, err := opener.Open(t.Context(), with(strings.Replace(uri, "postgres@", role+"@", 1),
				tt.options))
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(),
				tt.wantErr) {
				t.Fatalf("got %v, want %q", err, tt.wantErr)
			}
			if err == nil {
				defer db.Close()
				mustPut(t, db, "a", "1")
			}
		})
	}
}

// The data table gets a fill factor, also one that an older build created. That build can still use
// the table: no migration is recorded, which it would refuse as a newer version.
func TestFillFactor(t *testing.T) {
	t.Parallel()
	const options = `SELECT coalesce(array_to_string(reloptions, ','), '') FROM pg_class WHERE ` +
		`oid = 'pasteline_data'::regclass`
	for _, tt := range []struct{ name, before, want string }{
		{"new", "", "fillfactor=80"},
		{
			"made by an earlier build", `ALTER TABLE pasteline_data RESET (fillfactor)`,
			"fillfactor=80",
		},
		{"chosen", `ALTER TABLE pasteline_data SET (fillfactor = 100)`, "fillfactor=100"},
		{
			"other options", `ALTER TABLE pasteline_data RESET (fillfactor), SET ` +
				`(autovacuum_vacuum_scale_factor = 0.01)`,
			"autovacuum_vacuum_scale_factor=0.01,fillfactor=80",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			uri := pgtest.Database(t)
			conn := connect(t, uri)
			if tt.before != "" {
				first := openDB(t, uri)
				defer first.Close()
				mustPut(t, first, "a", "1")
				exec(t, conn, tt.before)
			}
			db := openDB(t, uri)
			defer db.Close()
			if got := ask[string](t, conn, options); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			mustPut(t, db, "a", "2")
			if got := ask[string](t, conn, `SELECT string_agg(app || ' ' || name, ', ') FROM `+
				`pasteline_migrations`); got != "pasteline/storage 001_tables.sql" {
				t.Errorf("the migrations are %s", got)
			}
		})
	}
}

// A table that is locked, or has another owner, is opened without a change.
func TestFillFactorRefused(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	conn, holder := connect(t, uri), connect(t, uri)
	first := openDB(t, uri)
	defer first.Close()
	exec(t, conn, `ALTER TABLE pasteline_data RESET (fillfactor)`)
	exec(t, holder, `BEGIN`, `LOCK TABLE pasteline_data IN SHARE UPDATE EXCLUSIVE MODE`)
	db := openDB(t, uri)
	defer db.Close()
	mustPut(t, db, "a", "1")
	if n := ask[int](t, conn, `SELECT count(*) FROM pg_class WHERE oid = `+
		`'pasteline_data'::regclass AND reloptions IS NOT NULL`); n != 0 {
		t.Error("the fill factor was set in spite of the lock")
	}
}

func TestWithoutChanges(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(engine.DryRun(t.Context()), with(uri, "schema=site"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if n := ask[int](t, connect(t, uri), `SELECT count(*) FROM information_schema.tables WHERE `+
		`table_name LIKE 'pasteline%'`); n != 0 {
		t.Errorf("got %d tables, want none", n)
	}
}

// waitForInput returns when the parent has closed this process's input.
func waitForInput() { _, _ = io.Copy(io.Discard, os.Stdin) }
