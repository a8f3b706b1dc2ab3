package sqltx

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"reflect"
	"strconv"
	"strings"
	"syscall"
)

// An errorClass is the class of a driver's error.
type errorClass struct {
	// answered: the server reported the error, so the statement had no effect. Otherwise the
	// connection may have failed, and the outcome of a commit is unknown.
	answered bool

	// transient: the work may succeed when it is done again in a new transaction.
	transient bool

	// local: according to the error, the database rejected only the statement, and the transaction
	// goes on. That has to be checked: MySQL can be configured to roll back, and SQLite does so
	// after a full disk, or if a conflict clause says so.
	local bool
}

// classify returns the class of an error of the common drivers. It imports no driver: this is the
// one place that knows the form of their errors, and the test compares it with real ones.
func classify(err error) errorClass {
	v := errorClass{}
	found := eachError(err, func(e error) bool {
		var ok bool
		v, ok = recognise(e)
		return ok
	})
	if !found {
		v.transient = errors.Is(err, driver.ErrBadConn)
	}
	return v
}

func recognise(err error) (errorClass, bool) {
	// pgx and lib/pq: *pgconn.PgError and *pq.Error.
	if e, ok := err.(interface{ SQLState() string }); ok {
		return postgres(e.SQLState()), true
	}
	// pgx: nothing had been sent, it says. It also says so of a statement that was sent, when the
	// connection broke before the answer ("conn closed"): so nothing follows for a commit.
	if e, ok := err.(interface{ SafeToRetry() bool }); ok && e.SafeToRetry() {
		return errorClass{transient: !errors.Is(err, context.Canceled) &&
			!errors.Is(err, context.DeadlineExceeded)}, true
	}
	// modernc.org/sqlite: *sqlite.Error.
	if e, ok := err.(interface{ Code() int }); ok &&
		strings.Contains(indirect(reflect.TypeOf(err)).PkgPath(), "sqlite") {
		return sqlite(e.Code()), true
	}
	// These are structs with public fields and no methods for them.
	if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct {
		// github.com/go-sql-driver/mysql: *mysql.MySQLError.
		if number := v.FieldByName("Number"); v.Type().Name() == "MySQLError" && number.IsValid() &&
			number.CanUint() {
			return mysql(number.Uint()), true
		}
		// github.com/mattn/go-sqlite3: sqlite3.Error.
		code, extended := v.FieldByName("Code"), v.FieldByName("ExtendedCode")
		if code.IsValid() && code.CanInt() && extended.IsValid() && extended.CanInt() {
			return sqlite(int(code.Int())), true
		}
	}
	switch err.Error() {
	// pgx.ErrTxCommitRollback, and that of lib/pq: the answer to COMMIT was ROLLBACK, because a
	// statement had failed.
	case "commit unexpectedly resulted in rollback",
		"pq: Could not complete operation in a failed transaction":
		return errorClass{answered: true}, true
	}
	return errorClass{}, false
}

// errorCode returns the SQLSTATE or number of a server's error, as text, or "".
func errorCode(err error) (code string) {
	eachError(err, func(e error) bool {
		if s, ok := e.(interface{ SQLState() string }); ok {
			code = s.SQLState()
			return true
		}
		if v := reflect.Indirect(reflect.ValueOf(e)); v.Kind() == reflect.Struct &&
			v.Type().Name() == "MySQLError" {
			if number := v.FieldByName("Number"); number.IsValid() && number.CanUint() {
				code = strconv.FormatUint(number.Uint(), 10)
				return true
			}
		}
		return false
	})
	return code
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// postgres classifies an SQLSTATE of PostgreSQL, or of a server with its protocol.
func postgres(state string) errorClass {
	switch state {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"55P03": // lock_not_available
		return errorClass{answered: true, transient: true}
	case "40003", // statement_completion_unknown; CockroachDB
		// the server, or the session, is being ended: perhaps just after a commit
		"57P01", "57P02", "57P03", "57P05":
		return errorClass{transient: true}
	}
	if strings.HasPrefix(state, "08") { // connection exceptions
		return errorClass{transient: true}
	}
	return errorClass{answered: true}
}

// mysql classifies an error number of a MySQL or MariaDB server.
func mysql(number uint64) errorClass {
	switch number {
	case 1213, // deadlock: the transaction is rolled back
		// lock wait timeout: the statement is, or the transaction if innodb_rollback_on_timeout is
		// set
		1205,
		1020, // the record has changed since the snapshot: MariaDB's innodb_snapshot_isolation
		3101: // group replication lost to another member
		return errorClass{answered: true, transient: true}
	case 1206: // no room for more locks: the transaction is rolled back
		return errorClass{answered: true}
	case 1053, // the server is shutting down
		1927: // the connection was killed
		return errorClass{transient: true}
	case 1047, // Galera: the node has lost the others
		1317: // interrupted
		return errorClass{}
	}
	return errorClass{answered: true, local: true}
}

// sqlite classifies a result code of SQLite, primary or extended.
func sqlite(code int) errorClass {
	const busy, locked, ioError = 5, 6, 10
	switch code & 0xff {
	case busy, locked:
		return errorClass{answered: true, transient: true}
	case ioError: // the result of a commit on the disk is unknown
		return errorClass{}
	}
	return errorClass{answered: true, local: true}
}

// lost reports whether an error of a statement that classify doesn't recognise is that of a broken
// connection. It is called only for errors of drivers: other code has errors of this form, too.
func lost(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false // the caller's doing, though it may have cost the connection
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) ||
		// mysql.ErrInvalidConn
		eachError(err, func(e error) bool { return e.Error() == "invalid connection" })
}

// eachError calls f with the errors of err's tree until it returns true, and reports whether it
// did.
func eachError(err error, f func(error) bool) bool {
	if err == nil {
		return false
	}
	if f(err) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // this is the walk that errors.As would do
	case interface{ Unwrap() error }:
		return eachError(e.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			if eachError(e, f) {
				return true
			}
		}
	}
	return false
}
