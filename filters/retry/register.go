package retry

import (
	"math"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
	"github.com/pasteline/pasteline/transaction"
)

// settings declares the settings of an .ini section.
type settings struct {
	Tries            int            `default:"3" min:"0" help:"maximum number of attempts per request, the first included; 0 means 1"`
	Retryable        []string       `help:"names of predicates for the errors that lead to another attempt: transient, and those that a program registers; if it is empty, no error does"`
	HighWater        pipeline.Bytes `ini:"highwater" default:"2MB" help:"bytes of a request body or response that are kept in memory before a temporary file is used (up to four times as many while memory is not short); 0 means as few as possible"`
	Delay            time.Duration  `default:"0" min:"0" help:"time to wait before the second attempt"`
	DelayFactor      float64        `default:"2" min:"0" help:"factor by which each further delay is longer"`
	MaxDelay         time.Duration  `default:"0" min:"0" help:"longest delay; 0 is no limit"`
	Jitter           float64        `default:"0" min:"0" max:"1" help:"random fraction of each delay"`
	LogAfterTryCount int            `default:"1" min:"0" help:"number of the first failed attempt that is logged even if another follows"`
	MaxBody          pipeline.Bytes `default:"1GB" help:"maximum size of a request body; a longer one is answered with 413; 0 is no limit"`
	StreamBody       bool           `default:"false" help:"pass the request body to the app while the client sends it; otherwise the whole body is received before the first attempt, so that no transaction waits for a slow client"`
	MaxResponse      pipeline.Bytes `default:"1GB" help:"maximum size of a response that is buffered; a longer one is replaced by 500; 0 is no limit"`
	OnRetry          string         `nonempty:"true" help:"name of a hook that is called before each further attempt"`
}

// Register adds the filter to r as "egg:pasteline#retry", and under the name of the Python package,
// "egg:repoze.retry#retry".
//
// Predicates for the setting retryable are registered with pipeline.Value(r, name,
// retry.Predicate(f)). Predefined are "transient" and, as its synonyms, the names of the errors of
// Python's transaction, ZODB and ZPublisher packages that repoze.retry retries by default.
func Register(r *pipeline.Registry) {
	pipeline.Filter(r, "egg:pasteline#retry", newFromSettings)
	r.Alias("egg:repoze.retry#retry", "egg:pasteline#retry")
	r.Alias("call:repoze.retry:make_retry", "egg:pasteline#retry")
	for _, name := range []string{
		"transient", "transaction.interfaces:TransientError",
		"ZODB.POSException:ConflictError", "ZODB.POSException:ReadConflictError",
		"ZPublisher:Retry",
	} {
		pipeline.Value(r, name, Predicate(transaction.IsTransient))
	}
}

func newFromSettings(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	b.Offer(order.Retry, nil)
	b.Require(
		order.Requirement{
			Filter: order.TM, Place: order.NotInFront, Broken: true,
			Else: "no request is run again, since a conflict is known only when the transaction " +
				"around it commits; write it in front of that",
		},
		order.Requirement{
			Filter: order.Retry, Place: order.NotInFront,
			Else: "this one does nothing, whatever its settings say; leave one of them out",
		},
		order.Requirement{
			Filter: order.TM, Place: order.Behind,
			Else: "without a transaction no conflict can occur, so no request is run again; " +
				"write egg:repoze.tm2#tm behind it",
		},
	)
	config := Config{
		Tries:            max(s.Tries, 1),
		Delay:            s.Delay,
		DelayFactor:      s.DelayFactor,
		MaxDelay:         s.MaxDelay,
		Jitter:           s.Jitter,
		HighWater:        s.HighWater.Limit(),
		MaxBody:          s.MaxBody.Limit(),
		StreamBody:       s.StreamBody,
		MaxResponse:      s.MaxResponse.Limit(),
		LogAfterTryCount: s.LogAfterTryCount,
		Logger:           b.Logger(),
	}
	if s.DelayFactor == 0 { // the file says 0; in a Config zero means the default
		config.DelayFactor = math.SmallestNonzeroFloat64
	}
	var predicates []Predicate
	for _, name := range s.Retryable {
		predicate, err := pipeline.Lookup[Predicate](b, name)
		if err != nil {
			return nil, &pipeline.Error{Key: "retryable", Err: err}
		}
		predicates = append(predicates, predicate)
	}
	if s.Retryable != nil {
		config.Retryable = func(err error) bool {
			for _, predicate := range predicates {
				if predicate(err) {
					return true
				}
			}
			return false
		}
	}
	if s.OnRetry != "" {
		hook, err := pipeline.Lookup[Hook](b, s.OnRetry)
		if err != nil {
			return nil, &pipeline.Error{Key: "on_retry", Err: err}
		}
		config.OnRetry = hook
	}
	return New(config)
}
