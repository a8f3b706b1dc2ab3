package retry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/transaction"
)

// DefaultMax is how many bytes a request body, and a held response, may have unless told otherwise.
const DefaultMax = 1 << 30

// A Predicate says whether an error is worth another attempt.
type Predicate func(err error) bool

// A Hook is called before each further attempt at r, whose context carries the [transaction.Attempt] that is about to
// begin, with the error of the attempt before. It runs in the request's goroutine.
type Hook func(r *http.Request, err error)

// Config is what the filter can be told. The zero Config is the default.
type Config struct {
	// Tries is how many attempts a request gets in all. Zero means 3.
	Tries int

	// Retryable says which errors are worth another attempt. Nil means transaction.IsTransient: those that call themselves
	// transient, anywhere in the tree of errors.
	Retryable Predicate

	// Delay is how long to wait before the second attempt; each further wait is longer by DelayFactor (zero means 2), up to
	// MaxDelay (zero means no limit). The default is not to wait, as in the original: a conflict in one of this project's embedded
	// databases knows by itself what to wait for. Waiting ends at once when the client goes away.
	Delay       time.Duration
	DelayFactor float64
	MaxDelay    time.Duration

	// Jitter is the fraction of each delay that is left to chance, 0 to 1, so that requests which collided don't do so
	// again. Without a Delay it means nothing.
	Jitter float64

	// HighWater is how many bytes of a request body, and of a response, are kept in memory before a temporary file is used.
	// Zero means 2 MiB. Up to four times as much stays in memory as long as all requests together need no more than 4 MiB beyond
	// their marks.
	HighWater int64

	// StreamBody hands a request's body on while the client sends it. Otherwise all of it is received before the first attempt, so that
	// no transaction waits for a slow client.
	StreamBody bool

	// MaxBody is how many bytes a request body may have; more is answered with 413. Zero means DefaultMax, a negative
	// number no limit.
	MaxBody int64

	// MaxResponse is how many bytes of a response can be held back; more is answered with 500. Zero means DefaultMax,
	// a negative number no limit. What a handler writes after a flush is not held and does not count.
	MaxResponse int64

	// LogAfterTryCount is the number of the first failed attempt that is logged although another follows. Zero means 1.
	// The failure of the last attempt is always logged.
	LogAfterTryCount int

	// OnRetry, if not nil, is called before each further attempt.
	OnRetry Hook

	// Logger is told of further attempts and failed requests. Nil discards.
	Logger *slog.Logger
}

// Validate returns what is wrong with the config, all of it, or nil.
func (c Config) Validate() error {
	errs := []error{c.policy().Validate()}
	if c.HighWater < 0 {
		errs = append(errs, fmt.Errorf("highwater = %d: want a number of bytes, or 0 for 2 MiB", c.HighWater))
	}
	if c.LogAfterTryCount < 0 {
		errs = append(errs, fmt.Errorf("log_after_try_count = %d: want the number of an attempt, 1 or more", c.LogAfterTryCount))
	}
	return errors.Join(errs...)
}

func (c Config) policy() transaction.Policy {
	return transaction.Policy{
		Tries: c.Tries, Delay: c.Delay, Factor: c.DelayFactor, MaxDelay: c.MaxDelay, Jitter: c.Jitter, Retryable: c.Retryable,
	}
}

// bound turns a setting into the limit that hold and replay know: zero is none.
func bound(limit int64) int64 {
	switch {
	case limit == 0:
		return DefaultMax
	case limit < 0:
		return 0
	default:
		return limit
	}
}
