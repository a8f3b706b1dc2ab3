package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

//go:embed migrations/*.sql
var ownMigrations embed.FS

// own is the name under which this package's migrations are recorded.
const own = "pasteline/storage"

// Migrate brings the app's own tables up to date: it runs the files *.sql of files that have not
// been run in this database yet, in the order of their names, each in a transaction of its own, and
// records them under the name of the app. Any number of processes may call it at once: one of them
// does the work, and the others wait. Call it when the app is created, before the first [Tx].
//
// A file that was run must not be changed afterwards, and none that was run may be missing: that is
// an error, because then the database belongs to a newer version of the app, or to another app.
// Errors of the database are returned too, with the name of the file.
func Migrate(ctx context.Context, db *storage.DB, app string, files fs.FS) error {
	if s, ok := db.Engine().(engine.StandIn); ok && s.Scheme == "postgres" {
		return nil
	}
	e, ok := db.Engine().(*database)
	if !ok {
		return fmt.Errorf("storage/postgres: %s is no PostgreSQL database, which the app's own tables need: write postgres://host/database", db.Name())
	}
	if app == "" || app == own {
		return fmt.Errorf("storage/postgres: want a name for the app whose tables these are, not %q", app)
	}
	if err := e.migrate(ctx, app, files); err != nil {
		return fmt.Errorf("storage: %s: %w", db.Name(), err)
	}
	return nil
}

// makeTables brings this package's tables up to date, and finds out their id.
func (e *database) makeTables(ctx context.Context) error {
	files, err := fs.Sub(ownMigrations, "migrations")
	if err != nil {
		return err
	}
	if err := e.migrate(ctx, own, files); err != nil {
		return err
	}
	if err := e.leaveRoom(ctx); err != nil {
		return err
	}
	table := e.table("identity")
	for n := 1; ; n++ {
		_, err := e.pool.Exec(ctx, "INSERT INTO "+table+" (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING", newID())
		switch {
		case err == nil:
			return e.pool.QueryRow(ctx, "SELECT id FROM "+table).Scan(&e.id)
		case !isConflict(err) || n == rounds:
			return err
		}
	}
}

// fillFactor leaves room on a page of the table of data, so that an update stays on it and the
// index stays as it is. Else the new version of a row is also a new entry in a page of the index,
// which for the server is a conflict with all that have looked up one of its other keys.
const fillFactor = 80

// roomTimeout is how long an opening waits for a table that is just being vacuumed, say: longer
// than the server takes until it ends an automatic vacuum that is in the way (deadlock_timeout).
const roomTimeout = "3s"

// leaveRoom sets the fill factor of the table of data where none is set. It is no migration, so
// that builds that don't know of it go on using the table. Nothing but speed depends on it: where
// the server refuses it (another is the owner of the table, a lock), it is left out this time.
func (e *database) leaveRoom(ctx context.Context) error {
	if e.separately {
		return nil // these keep their rows in another way
	}
	table := e.table("data")
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var wanted bool
	err = conn.QueryRow(ctx, qualify("SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c"+
		" WHERE c.oid {=} pg_catalog.to_regclass($1) AND c.relkind {=} 'r'"+
		" AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS"+
		" (SELECT FROM pg_catalog.unnest(c.reloptions) AS o WHERE pg_catalog.starts_with(o, 'fillfactor=')))"),
		table).Scan(&wanted)
	if err == nil && wanted {
		_, err = oneRow(ctx, conn.Conn().PgConn(), "SELECT "+setConfig("lock_timeout", literal(roomTimeout), true)+
			fmt.Sprintf("; ALTER TABLE %s SET (fillfactor = %d)", table, fillFactor))
	}
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok && !isFatal(refusal) {
		return nil
	}
	return err
}

func newID() string { return rand.Text() }

// A migration is one file.
type migration struct{ name, text, sum string }

func (e *database) readMigrations(files fs.FS, schema string) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	list := make([]migration, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		list[i] = migration{path.Base(name), strings.ReplaceAll(string(text), "{prefix}", e.options.table(schema, "")), hex.EncodeToString(sum[:])}
	}
	return list, nil
}

// migrate runs the pending migrations. Each round looks up again which are pending, so that a
// process that comes second, or loses a race where there are no advisory locks, finds the work
// done.
func (e *database) migrate(ctx context.Context, app string, files fs.FS) error {
	schema := e.options.schema
	if app == own {
		schema = e.schema
	}
	list, err := e.readMigrations(files, schema)
	if err != nil {
		return err
	}
	config := e.config.ConnConfig.Copy()
	e.configure(&config.Config, e.options.settings.with(unlimited).with(settings{"lock_timeout": "2min"}))
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // which ends the lock, too
	done, err := e.applied(ctx, conn, app, list)
	if _, ofServer := errors.AsType[*pgconn.PgError](err); !ofServer && err != nil || err == nil && done == len(list) {
		return err // with nothing to do, there is no need of a right to
	}
	if !e.separately {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)", lockNumber("migrations")); err != nil {
			return err
		}
	}
	for n := 1; ; n++ {
		err := e.migrateOnce(ctx, conn, app, list)
		if err == nil || !isRace(err) || n == rounds {
			return err
		}
		time.Sleep(time.Duration(n) * outcomePause)
	}
}

// isRace reports whether another process was just creating the same table or schema.
func isRace(err error) bool {
	if isConflict(err) {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"23505", "42P06", "42P07", "XX000"}, e.Code) // unique_violation, duplicate_schema, duplicate_table, "tuple concurrently updated"
}

func (e *database) migrateOnce(ctx context.Context, conn *pgx.Conn, app string, list []migration) error {
	if schema := e.options.schema; schema != "" {
		var there bool // or the right to make schemas would be needed nonetheless
		if err := conn.QueryRow(ctx, qualify("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname {=} $1)"), schema).Scan(&there); err != nil {
			return err
		}
		if !there {
			if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize()); err != nil {
				return err
			}
		}
	}
	table := e.table("migrations")
	_, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+table+
		" (app text NOT NULL, name text NOT NULL, sum text NOT NULL, applied timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (app, name))")
	if err != nil {
		return err
	}
	done, err := e.applied(ctx, conn, app, list)
	if err != nil {
		return err
	}
	for _, m := range list[done:] {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, m.text); err != nil {
				return err
			}
			if !e.separately {
				if _, err := tx.Exec(ctx, e.statements.ourselves); err != nil { // whatever role the file has set
					return err
				}
			}
			_, err := tx.Exec(ctx, "INSERT INTO "+table+" (app, name, sum) VALUES ($1, $2, $3)", app, m.name, m.sum)
			return err
		})
		if err == nil && !e.separately {
			err = cleanUp(ctx, conn) // for the next one: those that pg_dump writes begin with settings
		}
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// applied returns how many of list have been run, which must be the first ones, and nothing else.
func (e *database) applied(ctx context.Context, conn *pgx.Conn, app string, list []migration) (int, error) {
	rows, err := conn.Query(ctx, qualify("SELECT name, sum FROM "+e.table("migrations")+" WHERE app {=} $1 ORDER BY name"), app)
	if err != nil {
		return 0, err
	}
	done, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m migration, err error) {
		return m, row.Scan(&m.name, &m.sum)
	})
	if err != nil {
		return 0, err
	}
	for i, m := range done {
		switch {
		case i >= len(list):
			return 0, fmt.Errorf("the tables of %s were upgraded by a newer version (%s): use that one", app, m.name)
		case m.name != list[i].name:
			return 0, fmt.Errorf("the tables of %s were made by another version: migration %s was run, which is not here, or %s was not", app, m.name, list[i].name)
		case m.sum != list[i].sum:
			return 0, fmt.Errorf("migration %s of %s was changed after it was run: write what is new into another file", m.name, app)
		}
	}
	return len(done), nil
}
