package transaction

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// A Policy says how often and how soon work is attempted again. The zero Policy makes three attempts without delay.
// It is read-only once in use, and may be shared by goroutines.
type Policy struct {
	// Tries is how many attempts there are in all, from 1. Zero means 3.
	Tries int

	// Delay is how long to wait before the second attempt. Before each further one it is longer by Factor (zero means 2,
	// 1 keeps it the same), up to MaxDelay (zero means no limit).
	Delay    time.Duration
	Factor   float64
	MaxDelay time.Duration

	// Jitter is the fraction of each delay that is left to chance, 0 to 1, so that those who collided don't do so again:
	// with 1 the delay is anything between nothing and the whole.
	Jitter float64

	// Retryable says which errors are worth another attempt. Nil means IsTransient. It isn't asked about what wraps
	// ErrInDoubt or ErrPartlyKept, as another attempt might do the work twice, nor about what is [Permanent].
	Retryable func(error) bool
}

// Validate returns what is wrong with the policy, all of it, or nil.
func (p Policy) Validate() error {
	var errs []error
	if p.Tries < 0 {
		errs = append(errs, fmt.Errorf("tries = %d: want a whole number of 1 or more, or 0 for 3", p.Tries))
	}
	if p.Delay < 0 {
		errs = append(errs, fmt.Errorf("delay = %s: want 0 or more", p.Delay))
	}
	if p.MaxDelay < 0 {
		errs = append(errs, fmt.Errorf("max delay = %s: want 0 or more", p.MaxDelay))
	}
	if p.Factor < 0 || math.IsNaN(p.Factor) || math.IsInf(p.Factor, 0) {
		errs = append(errs, fmt.Errorf("delay factor = %g: want a number above 0, or 0 for 2", p.Factor))
	}
	if p.Jitter < 0 || p.Jitter > 1 || math.IsNaN(p.Jitter) {
		errs = append(errs, fmt.Errorf("jitter = %g: want a fraction from 0 to 1", p.Jitter))
	}
	return errors.Join(errs...)
}

// delay returns how long to wait after the attempt of that number, from 1.
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
	d -= d * p.Jitter * rand.Float64() //nolint:gosec // spreads load, keeps no secret
	if d >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d)
}

// A Waiter is a transient error that knows what the next attempt should wait for, such as its turn on what was
// conflicted over. The context that Wait returns is the parent of the next attempt's; release is called when that attempt
// has ended. Wait ends, at the latest, when ctx is done; with an error there is no further attempt.
type Waiter interface {
	error
	Wait(ctx context.Context) (next context.Context, release func(), err error)
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
// It is for one goroutine, and must not be copied after first use. The work may run more than once, so whatever it does besides its
// transaction has to bear that.
type Attempts struct {
	policy Policy
	first  attemptContext // a field, so that one attempt costs one allocation at most; its parent is that of all
	later  *laterAttempt  // the current one, unless it is the first
}

type laterAttempt struct {
	attemptContext
	release func() // of the turn that it holds, if any
}

// Attempts starts the count. The first attempt is due; a policy that is not valid is taken as far as it makes sense.
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

// Context returns the context of the current attempt; it carries the [Attempt], and any turn that was waited for.
func (a *Attempts) Context() context.Context { return a.current() }

// Attempt returns the current attempt.
func (a *Attempts) Attempt() Attempt { return a.current().attempt }

// Retryable reports whether the policy would try again after err, tries and context aside.
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

// Again ends the current attempt, and reports whether to make another one after err, having waited for as long as the
// policy and a [Waiter] in err's tree ask. It is false at once when err is nil or not retryable, or the tries are used
// up; and as soon as the context of all attempts is done.
func (a *Attempts) Again(err error) bool {
	a.End()
	if err == nil || a.Attempt().Last() || !a.Retryable(err) || !sleep(a.first.Context, a.policy.delay(a.Attempt().Number)) {
		return false
	}
	// The turn comes after the delay: to sleep while holding it would keep everybody else waiting.
	later := &laterAttempt{attemptContext{a.first.Context, Attempt{Number: a.Attempt().Number + 1, Tries: a.policy.Tries}}, nil}
	if w, ok := errors.AsType[Waiter](err); ok {
		turn, release, err := w.Wait(later.Context)
		if err != nil {
			return false
		}
		later.Context, later.release = turn, release
		if a.first.Err() != nil {
			later.end()
			return false
		}
	}
	a.later = later
	return true
}

// End gives back the turn that the current attempt holds, if any. It may be called more than once.
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

// An Attempt says which attempt this is (from 1), of how many.
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
