package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pasteline/pasteline/internal/sqltext"
)

// A dialect is the properties of the kind of database, found out when a DB is opened.
type dialect struct {
	text sqltext.Dialect

	role     string // PostgreSQL: the role that the decisions are recorded as, quoted; else empty
	inMemory bool   // SQLite: a connection that is closed takes the data with it
	setBusy  bool   // SQLite: there is no busy time-out, so one is set
}

// busyTimeout is the time that SQLite waits for a lock unless the data source says otherwise.
const busyTimeout = "PRAGMA busy_timeout = 5000"

// findDialect asks the database for its kind. A database whose kind is unknown can't be asked later
// whether it is in a transaction.
func findDialect(ctx context.Context, conn *sql.Conn) (d dialect, err error) {
	var version string
	switch err := ask(ctx, conn, "SELECT version()", &version); {
	case err != nil && !classify(err).answered:
		return d, err
	case err != nil:
		return findSQLite(ctx, conn)
	case strings.HasPrefix(version, "PostgreSQL"):
		d.text = sqltext.PostgreSQL
		return d, ask(ctx, conn, "SELECT pg_catalog.quote_ident(current_user::pg_catalog.text)",
			&d.role)
	case strings.HasPrefix(version, "CockroachDB"):
		d.text = sqltext.PostgreSQL
		return d, nil
	}
	err = ask(ctx, conn, "SELECT @@version_compile_os", &version)
	if err == nil {
		d.text = sqltext.MySQL
	} else if classify(err).answered {
		err = nil
	}
	return d, err
}

func findSQLite(ctx context.Context, conn *sql.Conn) (d dialect, err error) {
	var version, file string
	if err := ask(ctx, conn, "SELECT sqlite_version()", &version); err != nil {
		if classify(err).answered {
			err = nil
		}
		return d, err
	}
	d.text = sqltext.SQLite
	var busy int
	err = errors.Join(
		ask(ctx, conn, "SELECT file FROM pragma_database_list WHERE name = 'main'", &file),
		ask(ctx, conn, "SELECT timeout FROM pragma_busy_timeout", &busy))
	d.inMemory, d.setBusy = file == "", busy == 0
	return d, err
}

func ask(ctx context.Context, conn *sql.Conn, query string, answer any) error {
	return conn.QueryRowContext(ctx, query).Scan(answer)
}

// qualify returns the name of the table with its schema, so that it can't be mistaken after the app
// has changed its search path or default database, or made a temporary table. The table has to
// exist.
func (d dialect) qualify(ctx context.Context, conn *sql.Conn, table string) (string, error) {
	if strings.Contains(table, ".") {
		return table, nil
	}
	var schema sql.NullString
	var err error
	switch d.text {
	case sqltext.SQLite:
		return "main." + table, nil
	case sqltext.PostgreSQL:
		err = ask(ctx, conn,
			"SELECT pg_catalog.quote_ident(n.nspname::pg_catalog.text) FROM pg_catalog.pg_class c"+
				" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"+
				" WHERE c.oid OPERATOR(pg_catalog.=) '"+table+"'::pg_catalog.regclass", &schema)
	case sqltext.MySQL:
		err = ask(ctx, conn, "SELECT CONCAT('`', REPLACE(DATABASE(), '`', '``'), '`')", &schema)
	case sqltext.Generic:
	}
	if err != nil {
		return "", fmt.Errorf("cannot find out where the table %s is: %w", table, err)
	}
	if schema.String == "" {
		return table, nil
	}
	return schema.String + "." + table, nil
}

// record returns the statements that record a decision. With PostgreSQL they run as the role that
// the DB was opened with, whatever role the app has set. Deferred constraints and their triggers
// come first, in the role in which the app would have committed.
func (d dialect) record(insert string) string {
	if d.role == "" {
		return insert
	}
	return "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL ROLE " + d.role + "; " + insert
}

// isID returns the condition that the row is that of id. With PostgreSQL it names the operator of
// pg_catalog, whatever other schema comes first in the search path.
func (d dialect) isID(id string) string {
	if d.role == "" {
		return "id = '" + id + "'"
	}
	return "id OPERATOR(pg_catalog.=) '" + id + "'"
}

// isolation returns the level of this package's own transactions, which read and write single rows
// of the table of decisions. It is explicit because the session's may be any.
func (d dialect) isolation() sql.IsolationLevel {
	switch d.text {
	case sqltext.PostgreSQL, sqltext.MySQL:
		return sql.LevelReadCommitted
	default:
		return sql.LevelDefault
	}
}

// An answer says whether a connection is in a transaction.
type answer int

const (
	unknown answer = iota
	inTransaction
	noTransaction
)

// inTransaction asks the connection whether it is in a transaction. It also answers no if a
// transaction was begun since by the question itself; the connection is not used any more then.
func (d dialect) inTransaction(ctx context.Context, tx *sql.Tx) (answer, error) {
	var err error
	switch d.text {
	case sqltext.SQLite:
		// BEGIN fails in a transaction, and does no harm there.
		if _, err = tx.ExecContext(ctx, "BEGIN"); err == nil {
			_, _ = tx.ExecContext(ctx, "ROLLBACK") // of nothing
			return noTransaction, nil
		}
		if classify(err).local {
			return inTransaction, nil
		}
	case sqltext.MySQL:
		// This sets the level of the next transaction, and is refused within one. MySQL has no
		// @@in_transaction.
		_, err = tx.ExecContext(ctx, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
		if err == nil {
			return noTransaction, nil
		}
		if errorCode(err) == "1568" { // ER_CANT_CHANGE_TX_CHARACTERISTICS
			return inTransaction, nil
		}
	case sqltext.PostgreSQL:
		_, err = tx.ExecContext(ctx,
			"SAVEPOINT pasteline_probe; RELEASE SAVEPOINT pasteline_probe")
		if err == nil {
			return inTransaction, nil
		}
		switch errorCode(err) {
		case "25P01": // no_active_sql_transaction
			return noTransaction, nil
		case "25P02": // in_failed_sql_transaction
			return inTransaction, nil
		}
	case sqltext.Generic:
		return inTransaction, nil // as far as it can be told
	}
	return unknown, err
}
