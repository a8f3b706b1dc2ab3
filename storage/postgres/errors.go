package postgres

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/storage"
)

// isNetwork reports whether err is an error of the connection, and not one that the server
// reported.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "conn closed")
}

// explain classifies an error that came before anything was committed: a conflict, a lost
// connection, or another.
func (e *database) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isNotSerializable(err):
		e.poolers.suspectAll()
		e.pool.Reset()
		return errNotSerializable
	case isLost(err), isStatementLost(err):
		e.poolers.suspectAll()
		e.pool.Reset() // the other connections are probably lost too
		return &transientError{err}
	case isExhausted(err):
		return e.exhausted(err)
	case isSerialization(err):
		return &storage.ConflictError{Err: err}
	case isConflict(err), isPlanOutdated(err):
		return &transientError{err}
	}
	return err
}

// IsTransient classifies the errors of the app's own SQL.
func (e *database) IsTransient(err error) bool {
	return isConflict(err) || isLost(err) || isPlanOutdated(err) || isStatementLost(err) ||
		isExhausted(err)
}

// A transientError wraps an error after which a retry may succeed.
type transientError struct{ err error }

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }

// Transient reports true.
func (e *transientError) Transient() bool { return true }

// isConflict is isSerialization, or a wait for a lock that took too long.
func isConflict(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return isSerialization(err) || ok && e.Code == "55P03" // lock_not_available: lock_timeout
}

// isPlanOutdated reports whether a statement was prepared before a table was changed, so that it
// would return other columns now, as SELECT * does. The next use prepares it again.
func isPlanOutdated(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	// feature_not_supported, which has other causes too
	return ok && e.Code == "0A000" && e.Routine == "RevalidateCachedQuery"
}

// isStatementLost reports whether the server and pgx disagree about the prepared statements: the
// app has deallocated all, or it is another session.
func isStatementLost(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	// invalid_sql_statement_name, duplicate_prepared_statement
	return ok && (e.Code == "26000" || e.Code == "42P05") &&
		strings.Contains(e.Message, "stmtcache_")
}

// isSerialization reports whether the server aborted a transaction because of a conflict or
// deadlock.
func isSerialization(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	// serialization_failure, deadlock_detected
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// errReadOnly is the error of a commit in the app's SQL transaction, if that is read-only: the
// commit's record can't be written.
var errReadOnly = errors.New("the app's own SQL has made the transaction read-only " +
	"(SET TRANSACTION READ ONLY), so nothing can be committed with it: leave that out")

// isReadOnly reports whether a write was refused because the transaction is read-only.
func isReadOnly(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "25006" // read_only_sql_transaction
}

// isNotSerializable reports whether a statement did not run at the isolation level SERIALIZABLE.
func isNotSerializable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	// undefined_object
	return ok && e.Code == "42704" && strings.Contains(e.Message, notSerializable)
}

// isFatal reports whether the server ends the connection with an error.
func isFatal(e *pgconn.PgError) bool {
	switch cmp.Or(e.SeverityUnlocalized, e.Severity) { // SeverityUnlocalized is always in English
	case "FATAL", "PANIC":
		return true
	}
	return false
}

// isLost reports whether the connection was lost, or could not be made, for another reason than a
// cancelled context.
func isLost(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case strings.HasPrefix(e.Code, "57P"), // the server is shut down, or was, or starts
			strings.HasPrefix(e.Code, "08"), // connection exceptions
			e.Code == "53300",               // too_many_connections
			e.Code == "25P03",               // idle_in_transaction_session_timeout
			e.Code == "25P04":               // transaction_timeout
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*sessionError](err); ok {
		return false
	}
	return isNetwork(err)
}
