package tm

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/pasteline/pasteline/transaction"
)

// DefaultMaxResponse is how many bytes of a response can be held back unless told otherwise.
const DefaultMaxResponse = 1 << 30

// DefaultMaxBody is how many bytes a request body may have unless told otherwise.
const DefaultMaxBody = 1 << 30

// An Activate says whether a request gets a transaction.
type Activate func(r *http.Request) bool

// A User names who makes a request, for the annotation of its transaction; "" is nobody in particular.
type User func(r *http.Request) string

// Config is what the filter can be told. The zero Config is the default.
type Config struct {
	// Veto says which responses abort the transaction (the original's commit_veto). Nil is the default, every status from
	// 500 on. See [NoVeto] and [RepozeVeto]. Returned errors, panics and doomed transactions abort without a veto.
	Veto Veto

	// Activate says which requests get a transaction. Nil means all.
	Activate Activate

	// User annotates the transaction with a user. Nil leaves that to whoever knows: an authentication filter further in
	// calls transaction.FromContext and then SetUser. The path is always noted.
	User User

	// Manager begins the transactions. Nil makes one that logs to Logger.
	Manager *transaction.Manager

	// HighWater is how many bytes of a held response are kept in memory before a temporary file is used, or more, as for retry.
	// Zero means 2 MiB.
	// It applies if tm holds the response itself; if retry is directly around it, retry does, with its own settings.
	HighWater int64

	// MaxResponse is how many bytes of a response can be held back; more is answered with 500, and aborts. Zero means
	// DefaultMaxResponse, a negative number no limit. As for HighWater, directly behind retry its setting is what counts.
	MaxResponse int64

	// StreamBody hands a request's body on while the client sends it, in the transaction. Otherwise all of it is received before that
	// begins, so that no transaction waits for a slow client: in memory up to HighWater, then in a temporary file.
	// It applies if there is no retry around, whose setting of that name is what counts then; so does MaxBody.
	StreamBody bool

	// MaxBody is how many bytes a request body may have; more is answered with 413, and no transaction. Zero means DefaultMaxBody, a
	// negative number no limit.
	MaxBody int64

	// Logger is told of failed requests, if there is no retry around that tells. Nil discards.
	Logger *slog.Logger
}

// Validate returns what is wrong with the config, or nil.
func (c Config) Validate() error {
	if c.HighWater < 0 {
		return fmt.Errorf("highwater = %d: want a number of bytes, or 0 for 2 MiB", c.HighWater)
	}
	return nil
}
