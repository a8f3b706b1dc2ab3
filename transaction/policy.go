package transaction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pasteline/pasteline/transaction/resource"
)

// A Policy says how often and how soon to run failed work again. The zero Policy makes three
// attempts without delay. A Policy must not be changed once in use, and may be shared by
// goroutines.
type Policy struct {
	// Tries is the number of attempts in all, from 1. Zero means 3.
	Tries int

	// Delay is the time to wait before the second attempt. Before each further one it is multiplied
	// by Factor (zero means 2, 1 keeps it the same), up to MaxDelay (zero or negative: no limit).
	Delay    time.Duration
	Factor   float64
	MaxDelay time.Duration

	// Jitter is the fraction of each delay that is random, 0 to 1, so that transactions that have
	// collided don't collide again: with 1 the delay is anything from zero to the full delay.
	Jitter float64

	// Retryable reports whether an error is worth another attempt. Nil means IsTransient. It isn't
	// called for an error that wraps ErrInDoubt or ErrPartlyKept, because another attempt might do
	// the work twice, nor for one marked by [Permanent].
	Retryable func(error) bool
}

// Validate returns all faults of the policy, joined with [errors.Join], or nil.
func (p Policy) Validate() error {
	var errs []error
	if p.Tries < 0 {
		errs = append(errs, fmt.Errorf("tries = %d: want a whole number of 1 or more, or 0 for 3",
			p.Tries))
	}
	if p.Delay < 0 {
		errs = append(errs, fmt.Errorf("delay = %s: want 0 or more", p.Delay))
	}
	if p.Factor < 0 || math.IsNaN(p.Factor) || math.IsInf(p.Factor, 0) {
		errs = append(errs, fmt.Errorf("delay factor = %g: want a number above 0, or 0 for 2",
			p.Factor))
	}
	if p.Jitter < 0 || p.Jitter > 1 || math.IsNaN(p.Jitter) {
		errs = append(errs, fmt.Errorf("jitter = %g: want a fraction from 0 to 1", p.Jitter))
	}
	return errors.Join(errs...)
}

// delay returns the time to wait after attempt number, counted from 1.
func (p Policy) delay(number int) time.Duration {
	if p.Delay <= 0 {
		return 0
	}
	factor, longest := p.Factor, p.MaxDelay
	if factor <= 0 {
		factor = 2
	}
	if longest <= 0 {
		longest = math.MaxInt64
	}
	d := float64(p.Delay) * math.Pow(factor, float64(number-1))
	d = min(d, float64(longest))
	d -= d * p.Jitter * rand.Float64()
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}

// Attempts counts the attempts of one piece of work:
//
//	attempts := policy.Attempts(ctx)
//	defer attempts.End()
//	for {
//		err := work(attempts.Context())
//		if !attempts.Again(err) {
//			return err
//		}
//	}
//
// It is for one goroutine, and must not be copied after first use. The work may run more than once,
// so its effects outside the transaction have to be repeatable.
type Attempts struct {
	policy Policy
	// a field, so that a first attempt costs one allocation; wraps the caller's context
	first attemptContext
	later *laterAttempt // the current attempt, unless it is the first
}

type laterAttempt struct {
	attemptContext
	release func() // of Waiter.Wait; nil if there is nothing to release
}

// Attempts starts the count with the first attempt. Out-of-range fields of the policy fall back to
// their defaults.
func (p Policy) Attempts(ctx context.Context) *Attempts {
	if p.Tries < 1 {
		p.Tries = defaultTries
	}
	return &Attempts{policy: p, first: attemptContext{ctx, Attempt{Number: 1, Tries: p.Tries}}}
}

const defaultTries = 3

func (a *Attempts) current() *attemptContext {
	if a.later != nil {
		return &a.later.attemptContext
	}
	return &a.first
}

// Context returns the context of the current attempt. It carries the [Attempt], and the values that
// a [resource.Waiter] has added.
func (a *Attempts) Context() context.Context { return a.current() }

// Attempt returns the current attempt.
func (a *Attempts) Attempt() Attempt { return a.current().attempt }

// Retryable reports whether err is worth another attempt, leaving aside the number of tries and the
// context.
func (a *Attempts) Retryable(err error) bool {
	switch {
	case err == nil, final(err):
		return false
	case a.policy.Retryable != nil:
		return a.policy.Retryable(err)
	default:
		return IsTransient(err)
	}
}

// Again ends the current attempt, and reports whether to make another one after err. Before it
// returns true, it waits for the delay of the policy and for a [resource.Waiter] in err's tree. It
// returns false at once if err is nil or not retryable, or no tries are left; and as soon as the
// context of all attempts is done.
func (a *Attempts) Again(err error) bool {
	a.End()
	if err == nil || a.Attempt().Last() || !a.Retryable(err) ||
		!sleep(a.first.Context, a.policy.delay(a.Attempt().Number)) {
		return false
	}
	// Wait after the delay: sleeping while holding a ticket would block all other transactions in
	// that queue.
	next := Attempt{Number: a.Attempt().Number + 1, Tries: a.policy.Tries}
	later := &laterAttempt{attemptContext{a.first.Context, next}, nil}
	if w, ok := errors.AsType[resource.Waiter](err); ok {
		waited, release, err := w.Wait(later.Context)
		if err != nil {
			return false
		}
		later.Context, later.release = waited, release
		if a.first.Err() != nil {
			later.end()
			return false
		}
	}
	a.later = later
	return true
}

// End releases what the [resource.Waiter] before the current attempt has acquired, if anything. It
// may be called more than once.
func (a *Attempts) End() {
	if a.later != nil {
		a.later.end()
	}
}

func (a *laterAttempt) end() {
	if a.release != nil {
		a.release()
		a.release = nil
	}
}

// sleep waits for d, and reports false as soon as ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// An Attempt is the number of an attempt, from 1, and the number of tries.
type Attempt struct{ Number, Tries int }

// Last reports whether no other attempt will follow.
func (a Attempt) Last() bool { return a.Number >= a.Tries }

// AttemptFromContext returns the attempt that ctx belongs to.
func AttemptFromContext(ctx context.Context) (Attempt, bool) {
	if a, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		return *a, true
	}
	return Attempt{}, false
}

type attemptKey struct{}

type attemptContext struct {
	context.Context
	attempt Attempt
}

func (c *attemptContext) Value(key any) any {
	if key == (attemptKey{}) {
		return &c.attempt
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *attemptContext) String() string {
	return fmt.Sprintf("transaction.Attempt(%d of %d)", c.attempt.Number, c.attempt.Tries)
}
