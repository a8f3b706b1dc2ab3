package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction"
)

// try makes attempts that all fail with err, and returns when each began.
func try(ctx context.Context, p transaction.Policy, err error) (began []time.Duration) {
	start := time.Now()
	attempts := p.Attempts(ctx)
	defer attempts.End()
	for {
		began = append(began, time.Since(start))
		if !attempts.Again(err) {
			return began
		}
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	const s = time.Second
	tests := []struct {
		name   string
		policy transaction.Policy
		want   []time.Duration
	}{
		{"zero", transaction.Policy{}, []time.Duration{0, 0, 0}},
		{"one try", transaction.Policy{Tries: 1, Delay: s}, []time.Duration{0}},
		{
			"doubling",
			transaction.Policy{Tries: 5, Delay: s},
			[]time.Duration{0, s, 3 * s, 7 * s, 15 * s},
		},
		{
			"limit",
			transaction.Policy{Tries: 5, Delay: s, MaxDelay: 3 * s},
			[]time.Duration{0, s, 3 * s, 6 * s, 9 * s},
		},
		{
			"constant",
			transaction.Policy{Tries: 4, Delay: s, Factor: 1},
			[]time.Duration{0, s, 2 * s, 3 * s},
		},
		{
			"factor",
			transaction.Policy{Tries: 4, Delay: s, Factor: 1.5},
			[]time.Duration{0, s, 2500 * time.Millisecond, 4750 * time.Millisecond},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(tt.want, try(t.Context(), tt.policy,
					luckless("x"))); diff != "" {
					t.Errorf("attempts began (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, jitter := range []float64{0.25, 1} {
			p := transaction.Policy{Tries: 400, Delay: time.Second, Factor: 1, Jitter: jitter}
			shortest, longest := time.Hour, time.Duration(0)
			began := try(t.Context(), p, luckless("x"))
			for i, when := range began[1:] {
				shortest, longest = min(shortest, when-began[i]), max(longest, when-began[i])
			}
			least := time.Duration(float64(time.Second) * (1 - jitter))
			if shortest < least || longest > time.Second ||
				longest-shortest < time.Duration(float64(time.Second)*jitter/2) {
				t.Errorf("jitter %g: delays from %s to %s", jitter, shortest, longest)
			}
		}
	})
}

// However long the delay grows, it ends with the context, at once.
func TestDelayEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Minute)
		defer cancel()
		start := time.Now()
		p := transaction.Policy{Tries: 1000, Delay: time.Hour, Factor: math.MaxFloat64}
		if began := try(ctx, p, luckless("x")); len(began) != 2 ||
			time.Since(start) != 90*time.Minute {
			t.Errorf("began %v, ended after %s", began, time.Since(start))
		}
		if began := try(ctx, transaction.Policy{}, luckless("x")); len(began) != 1 {
			t.Errorf("%d attempts with a context that was done", len(began))
		}
	})
}

func TestAgain(t *testing.T) {
	t.Parallel()
	retryable := func(err error) bool { return errors.Is(err, boom("x")) }
	tests := []struct {
		name   string
		policy transaction.Policy
		err    error
		want   int // attempts
	}{
		{"success", transaction.Policy{}, nil, 1},
		{"transient", transaction.Policy{}, luckless("x"), 3},
		{"not transient", transaction.Policy{}, boom("x"), 1},
		{"in doubt", transaction.Policy{}, errors.Join(transaction.ErrInDoubt, luckless("x")), 1},
		{
			"own predicate",
			transaction.Policy{Tries: 7, Retryable: retryable},
			fmt.Errorf("%w", boom("x")), 7,
		},
		{"own predicate only", transaction.Policy{Retryable: retryable}, luckless("x"), 1},
		{
			"own predicate isn't asked about nil",
			transaction.Policy{Retryable: func(err error) bool { return err.Error() != "" }},
			nil, 1,
		},
		{"less than one try", transaction.Policy{Tries: -1}, luckless("x"), 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := len(try(t.Context(), tt.policy, tt.err)); got != tt.want {
				t.Errorf("got %d attempts, want %d", got, tt.want)
			}
			if got := tt.policy.Attempts(t.Context()).Retryable(tt.err); got != (tt.want > 1) {
				t.Errorf("retryable is %t", got)
			}
		})
	}
}

func TestAttemptFromContext(t *testing.T) {
	t.Parallel()
	if _, ok := transaction.AttemptFromContext(t.Context()); ok {
		t.Error("an attempt in an empty context")
	}
	type key struct{}
	attempts := transaction.Policy{Tries: 2}.Attempts(context.WithValue(t.Context(), key{}, 5))
	first := attempts.Context()
	if !attempts.Again(luckless("x")) {
		t.Fatal("no second attempt")
	}
	// the first one's still says the same
	for i, ctx := range []context.Context{first, attempts.Context()} {
		got, ok := transaction.AttemptFromContext(ctx)
		want := transaction.Attempt{Number: i + 1, Tries: 2}
		if !ok || got != want || got.Last() != (i == 1) || ctx.Value(key{}) != 5 {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if text := fmt.Sprint(attempts.Context()); text != "transaction.Attempt(2 of 2)" {
		t.Errorf("context prints as %q", text)
	}
	if attempts.Attempt().Number != 2 {
		t.Errorf("got %v", attempts.Attempt())
	}
}

// turn is an error that makes the next attempt wait for a turn.
type turn struct {
	luckless
	log  *[]string
	wait time.Duration
	deaf bool // doesn't notice that the context is done
	fail bool
}

type turnKey struct{}

func (e turn) Wait(ctx context.Context) (context.Context, func(), error) {
	*e.log = append(*e.log, "wait")
	done := ctx.Done()
	if e.deaf {
		done = nil
	}
	select {
	case <-time.After(e.wait):
	case <-done:
		return nil, nil, ctx.Err()
	}
	if e.fail {
		return nil, nil, errors.New("no turns today")
	}
	release := func() { *e.log = append(*e.log, "release") }
	return context.WithValue(ctx, turnKey{}, "mine"), release, nil
}

func TestWaiter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		err     turn
		timeout time.Duration
		want    string
		took    time.Duration
	}{
		{
			"turns",
			turn{wait: time.Minute},
			time.Hour, "1 wait 2 mine release wait 3 mine release",
			2*time.Minute + 3*time.Second,
		},
		{"context ends the waiting", turn{wait: time.Hour}, time.Minute, "1 wait", time.Minute},
		{
			"context ends the delay",
			turn{wait: time.Second},
			3500 * time.Millisecond,
			"1 wait 2 mine release", 3500 * time.Millisecond,
		},
		{
			"context is done after the waiting",
			turn{wait: time.Hour, deaf: true},
			time.Minute,
			"1 wait release", time.Hour + time.Second,
		},
		{"waiting fails", turn{fail: true}, time.Hour, "1 wait", time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				var log []string
				tt.err.log = &log
				start := time.Now()
				err := transaction.Run(ctx, func(ctx context.Context) error {
					attempt, _ := transaction.AttemptFromContext(ctx)
					log = append(log, fmt.Sprint(attempt.Number))
					if mine, ok := ctx.Value(turnKey{}).(string); ok {
						log = append(log, mine)
					}
					return fmt.Errorf("conflict: %w", tt.err)
				}, transaction.Policy{Delay: time.Second})
				if err == nil {
					t.Error("no error")
				}
				if got := strings.Join(log, " "); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
			})
		})
	}
}

// The turn is given back after a success and after a panic, too.
func TestWaiterRelease(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		var log []string
		func() {
			defer func() { _ = recover() }()
			_ = transaction.Run(t.Context(), func(ctx context.Context) error {
				if ctx.Value(turnKey{}) == nil {
					return turn{log: &log}
				}
				if panics {
					panic("handler")
				}
				return nil
			})
		}()
		if got := strings.Join(log, " "); got != "wait release" {
			t.Errorf("panics %t: got %q", panics, got)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	t.Parallel()
	bad := transaction.Policy{Tries: -1, Delay: -1, Factor: math.NaN(), Jitter: 1.5}
	err := bad.Validate()
	for _, want := range []string{
		"tries = -1", "delay = -1ns",
		"delay factor = NaN", "jitter = 1.5",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	good := transaction.Policy{Tries: 1, Delay: 1, MaxDelay: -1, Factor: 0.5, Jitter: 1}
	if err := errors.Join(good.Validate(), transaction.Policy{}.Validate()); err != nil {
		t.Error(err)
	}
	if err := (transaction.Policy{Jitter: math.NaN()}).Validate(); err == nil {
		t.Error("not a number is a jitter")
	}
}
