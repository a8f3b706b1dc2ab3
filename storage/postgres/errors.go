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
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed")
}

// explain classifies an error that came before anything was committed: a conflict, a lost
// connection, or another.
func (e *database) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isNotSerializable(err):
		e.poolers.doubt()
		e.pool.Reset()
		return errNotSerializable
	case isLost(err), isForgotten(err):
		e.poolers.doubt()
		e.pool.Reset() // the other connections are probably lost, too
		return &lackError{err}
	case isExhausted(err):
		return e.exhausted(err)
	case isSerialization(err):
		return &storage.ConflictError{Err: err}
	case isConflict(err), isOutdated(err):
		return &lackError{err}
	}
	return err
}

// IsTransient classifies the errors of the app's own SQL.
func (e *database) IsTransient(err error) bool {
	return isConflict(err) || isLost(err) || isOutdated(err) || isForgotten(err) || isExhausted(err)
}

// A lackError wraps an error after which a retry may succeed.
type lackError struct{ err error }

func (e *lackError) Error() string { return e.err.Error() }
func (e *lackError) Unwrap() error { return e.err }

// Transient reports true.
func (e *lackError) Transient() bool { return true }

// isConflict reports whether the server gave up a transaction because it conflicted with others.
func isConflict(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return isSerialization(err) || ok && e.Code == "55P03" // lock_not_available: lock_timeout
}

// isOutdated reports whether a statement was prepared before a table was changed, so that it would
// return other columns now, as SELECT * does. The next use prepares it again.
func isOutdated(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "0A000" && e.Routine == "RevalidateCachedQuery" // feature_not_supported, which is much else, too
}

// isForgotten reports whether the server and pgx disagree about the prepared statements: the app
// has deallocated all, or it is another session.
func isForgotten(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "26000" || e.Code == "42P05") && // invalid_sql_statement_name, duplicate_prepared_statement
		strings.Contains(e.Message, "stmtcache_")
}

// isSerialization reports whether the server gave up a transaction that may succeed in a retry.
func isSerialization(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01") // serialization_failure, deadlock_detected
}

// errReadOnly is the error of a commit in the app's SQL transaction, if that is read-only: the
// commit's record can't be written.
var errReadOnly = errors.New("the app's own SQL has made it read-only (SET TRANSACTION READ ONLY), and nothing can be committed with it: leave that out")

// isReadOnly reports whether a write was refused because the transaction is read-only.
func isReadOnly(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "25006" // read_only_sql_transaction
}

// isNotSerializable reports whether a statement found that it does not run at that isolation level.
func isNotSerializable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "42704" && strings.Contains(e.Message, notSerializable) // undefined_object
}

// isFatal reports whether the server ends the connection with an error.
func isFatal(e *pgconn.PgError) bool {
	switch cmp.Or(e.SeverityUnlocalized, e.Severity) { // the first is in English, whatever the server's language
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
