package retry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/internal/request/replay"
	"github.com/pasteline/pasteline/transaction"
)

// A Predicate reports whether a request that failed with err should be run again.
type Predicate func(err error) bool

// A Hook is called before each further attempt, with the error of the previous one. The context of
// r carries the [transaction.Attempt] that is about to begin. The hook runs in the request's
// goroutine.
type Hook func(r *http.Request, err error)

// Config configures the filter. The zero Config is the default.
type Config struct {
	// Tries is the maximum number of attempts per request. Zero means 3.
	Tries int

	// Retryable reports which errors lead to another attempt. Nil means transaction.IsTransient:
	// errors that declare themselves transient, anywhere in the tree of wrapped errors.
	Retryable Predicate

	// Delay is the time to wait before the second attempt. Each further delay is multiplied by
	// DelayFactor (zero means 2), up to MaxDelay (zero or negative: no limit). The default is no
	// delay, as in repoze.retry: after a conflict in a database of this project, the next attempt
	// waits in a queue for the contended data anyway. A delay ends when the client disconnects.
	Delay       time.Duration
	DelayFactor float64
	MaxDelay    time.Duration

	// Jitter is the random fraction of each delay, from 0 to 1, so that requests which conflicted
	// don't conflict again. It has no effect without a Delay.
	Jitter float64

	// HighWater is how many bytes of a request body, and of a response, are kept in memory before a
	// temporary file is used. Zero means 2 MiB, a negative number as few as possible. A body may
	// use up to four times HighWater, as long as all requests together use at most 4 MiB beyond
	// their HighWater.
	HighWater int64

	// StreamBody passes the request's body on while the client sends it. Otherwise the whole body
	// is received before the first attempt, so that no transaction waits for a slow client.
	StreamBody bool

	// MaxBody limits the size of a request body in bytes; a longer one is answered with 413. Zero
	// means 1 GiB, a negative number no limit.
	MaxBody int64

	// MaxResponse limits how many bytes of a response can be buffered; a longer one is answered
	// with 500. Zero means 1 GiB, a negative number no limit. Output after a flush, and files that
	// are served on Linux, are not buffered and not counted.
	MaxResponse int64

	// LogAfterTryCount is the number of the first failed attempt that is logged even if another
	// follows. Zero means 1. A failure of the last attempt is always logged.
	LogAfterTryCount int

	// OnRetry, if not nil, is called before each further attempt.
	OnRetry Hook

	// Logger receives records about further attempts and failed requests. Nil discards them.
	Logger *slog.Logger
}

// Validate returns an error that joins an error for each invalid field, or nil.
func (c Config) Validate() error {
	errs := []error{c.policy().Validate()}
	if c.LogAfterTryCount < 0 {
		errs = append(errs, fmt.Errorf("log_after_try_count = %d: "+
			"want the number of an attempt, 1 or more",
			c.LogAfterTryCount))
	}
	return errors.Join(errs...)
}

// body returns the limits of a request body.
func (c Config) body() replay.Options {
	return replay.Options{HighWater: c.HighWater, Max: c.MaxBody}
}

func (c Config) policy() transaction.Policy {
	return transaction.Policy{
		Tries:     c.Tries,
		Delay:     c.Delay,
		Factor:    c.DelayFactor,
		MaxDelay:  c.MaxDelay,
		Jitter:    c.Jitter,
		Retryable: c.Retryable,
	}
}
