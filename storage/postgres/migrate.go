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
		return fmt.Errorf("storage/postgres: %s is no PostgreSQL database, "+
			"which the app's own tables need: write postgres://host/database", db.Name())
	}
	if app == "" || app == own {
		return fmt.Errorf("storage/postgres: want the name of the app that owns the tables, not %q",
			app)
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
	if err := e.setFillFactor(ctx); err != nil {
		return err
	}
	table := e.table("identity")
	for n := 1; ; n++ {
		_, err := e.pool.Exec(ctx, "INSERT INTO "+table+" (one, id) VALUES (1, $1)"+
			" ON CONFLICT (one) DO NOTHING", newID())
		switch {
		case err == nil:
			return e.pool.QueryRow(ctx, "SELECT id FROM "+table).Scan(&e.id)
		case !isConflict(err) || n == maxRuns:
			return err
		}
	}
}

// fillFactor leaves room on each page of the data table, so that an update stays on its page and
// the index does not change. Otherwise the new version of a row adds an entry to a page of the
// index, and the server reports conflicts with transactions that have looked up other keys of that
// page.
const fillFactor = 80

// fillFactorTimeout limits the wait for the lock of the table, which a vacuum may hold. It is
// longer than the time after which the server ends an automatic vacuum that blocks others
// (deadlock_timeout).
const fillFactorTimeout = "3s"

// setFillFactor sets the fill factor of the data table if none is set. It is no migration, so that
// older builds can still use the table. Only speed depends on it: if the server refuses it (because
// of another owner of the table, or a lock), it is left out this time.
func (e *database) setFillFactor(ctx context.Context) error {
	if e.separately {
		return nil // these servers store rows in another way
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
		" (SELECT FROM pg_catalog.unnest(c.reloptions) AS o"+
		" WHERE pg_catalog.starts_with(o, 'fillfactor=')))"),
		table).Scan(&wanted)
	if err == nil && wanted {
		_, err = oneRow(ctx, conn.Conn().PgConn(),
			"SELECT "+setConfig("lock_timeout", literal(fillFactorTimeout), true)+
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
		list[i] = migration{
			name: path.Base(name),
			text: strings.ReplaceAll(string(text), "{prefix}", e.options.table(schema, "")),
			sum:  hex.EncodeToString(sum[:]),
		}
	}
	return list, nil
}

// migrate runs the pending migrations. Each attempt looks up again which are pending, so that a
// process that comes second, or loses a race on a server without advisory locks, finds the work
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
	e.configure(&config.Config,
		e.options.settings.with(unlimited).with(settings{"lock_timeout": "2min"}))
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // which also releases the lock
	done, err := e.applied(ctx, conn, app, list)
	_, ofServer := errors.AsType[*pgconn.PgError](err)
	if !ofServer && err != nil || err == nil && done == len(list) {
		return err // with no pending migration, the role needs no right to create tables
	}
	if !e.separately {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)",
			lockNumber("migrations")); err != nil {
			return err
		}
	}
	for n := 1; ; n++ {
		err := e.migrateOnce(ctx, conn, app, list)
		if err == nil || !isRace(err) || n == maxRuns {
			return err
		}
		time.Sleep(time.Duration(n) * outcomePause)
	}
}

// isRace reports whether another process was creating the same table or schema at the same time.
func isRace(err error) bool {
	if isConflict(err) {
		return true
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	// unique_violation, duplicate_schema, duplicate_table, "tuple concurrently updated"
	return ok && slices.Contains([]string{"23505", "42P06", "42P07", "XX000"}, e.Code)
}

func (e *database) migrateOnce(ctx context.Context, conn *pgx.Conn, app string,
	list []migration,
) error {
	if schema := e.options.schema; schema != "" {
		// IF NOT EXISTS needs the right to create schemas even if the schema exists.
		var exists bool
		err := conn.QueryRow(ctx, qualify("SELECT EXISTS"+
			" (SELECT FROM pg_catalog.pg_namespace WHERE nspname {=} $1)"), schema).Scan(&exists)
		if err == nil && !exists {
			_, err = conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+
				pgx.Identifier{schema}.Sanitize())
		}
		if err != nil {
			return err
		}
	}
	table := e.table("migrations")
	_, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+table+
		" (app text NOT NULL, name text NOT NULL, sum text NOT NULL,"+
		" applied timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (app, name))")
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
				// the file may have set another role
				if _, err := tx.Exec(ctx, e.statements.setOwnRole); err != nil {
					return err
				}
			}
			_, err := tx.Exec(ctx, "INSERT INTO "+table+" (app, name, sum) VALUES ($1, $2, $3)",
				app, m.name, m.sum)
			return err
		})
		if err == nil && !e.separately {
			err = cleanSession(ctx, conn) // files that pg_dump writes begin with settings
		}
		if err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

// applied returns the number of migrations that have been run, which must be the first ones of
// list.
func (e *database) applied(ctx context.Context, conn *pgx.Conn, app string,
	list []migration,
) (int, error) {
	rows, err := conn.Query(ctx, qualify("SELECT name, sum FROM "+e.table("migrations")+
		" WHERE app {=} $1 ORDER BY name"), app)
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
			return 0, fmt.Errorf("the tables of %s were upgraded by a newer version (%s): "+
				"use that one", app, m.name)
		case m.name != list[i].name:
			return 0, fmt.Errorf("the tables of %s were made by another version: "+
				"migration %s was run, which is not here, or %s was not",
				app, m.name, list[i].name)
		case m.sum != list[i].sum:
			return 0, fmt.Errorf("migration %s of %s was changed after it was run: "+
				"write the changes into another file", m.name, app)
		}
	}
	return len(done), nil
}
