package tm

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/transaction"
)

// An Activate reports whether a request gets a transaction.
type Activate func(r *http.Request) bool

// A User returns the name of the user of a request; "" means unknown.
type User func(r *http.Request) string

// Config configures the filter. The zero Config is the default.
type Config struct {
	// Veto reports which responses abort the transaction (commit_veto of repoze.tm). Nil means
	// every status from 500 on. See [NoVeto] and [RepozeVeto]. Returned errors and panics abort
	// regardless of the veto, and so does a transaction that was doomed (marked to be aborted).
	Veto Veto

	// Activate reports which requests get a transaction. Nil means all.
	Activate Activate

	// User provides the user's name, which is added to the transaction's description. If it is nil,
	// an authentication filter behind this one can set it: transaction.FromContext, then SetUser.
	// The path of the request is always added.
	User User

	// Manager begins the transactions. Nil means a new one that logs to Logger.
	Manager *transaction.Manager

	// HighWater is how many bytes of a buffered response are kept in memory before a temporary file
	// is used; it may be exceeded as in retry. Zero means 2 MiB, a negative number as few as
	// possible. It applies if tm buffers the response itself; directly behind retry, the setting of
	// retry applies.
	HighWater int64

	// MaxResponse limits how many bytes of a response can be buffered; a longer one is answered
	// with 500, and the transaction aborted. Zero means 1 GiB, a negative number no limit. As for
	// HighWater, directly behind retry the setting of retry applies.
	MaxResponse int64

	// StreamBody passes the request's body on while the client sends it, within the transaction.
	// Otherwise the whole body is received before the transaction begins, so that it does not wait
	// for a slow client: in memory up to HighWater, then in a temporary file. Behind retry, the
	// settings of retry apply instead of StreamBody and MaxBody.
	StreamBody bool

	// MaxBody limits the size of a request body in bytes; a longer one is answered with 413,
	// without a transaction. Zero means 1 GiB, a negative number no limit.
	MaxBody int64

	// SlowCommit is the duration from which a commit is logged as a warning. Zero means one second, a
	// negative value no warnings. A Manager has its own.
	SlowCommit time.Duration

	// Logger receives records about failed requests, unless a retry around this filter logs them.
	// Nil discards them.
	Logger *slog.Logger
}
