package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// A dataConflict is two states of one session that concurrent transactions made. The original
// compares the states as a whole; here two transactions make them by setting every key of the
// state.
type dataConflict struct {
	Committed, New, Resolved sessionState
	Error                    string
}

type sessionState struct {
	LastModified json.RawMessage `json:"_lm"`
	Invalid      json.RawMessage `json:"_iv"` // absent, false, true or 1
	Data         map[string]any
	Extra        string
}

func (s sessionState) invalid() bool { return s.Invalid != nil && string(s.Invalid) != "false" }

func (s sessionState) apply(x *session.Session) error {
	if err := x.Update(s.Data); err != nil || !s.invalid() {
		return err
	}
	return x.Invalidate()
}

func TestGoldenDataConflicts(t *testing.T) {
	needed := tally{}
	for i, c := range readGolden(t).DataConflicts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if lm := string(c.New.LastModified); c.New.Extra != "" || lm == "" || lm == "null" ||
				string(c.Committed.LastModified) == "null" {
				needed.use(t, "states-are-whole")
				return
			}
			f := newFixture(t, session.Config{})
			f.set(t, "u", map[string]any{"other": true})
			ctxA, commitA := begin(t)
			ctxB, commitB := begin(t)
			must(t, c.Committed.apply(f.get(ctxA, t, "u")))
			must(t, c.New.apply(f.get(ctxB, t, "u")))
			must(t, commitA())
			err := commitB()
			if err != nil {
				wantConflict(t, err)
			}

			// The expected result of this package.
			both := maps.Clone(c.Committed.Data)
			same := false
			for key, value := range c.New.Data {
				_, ok := both[key]
				same = same || ok
				both[key] = value
			}
			ended := c.Committed.invalid() || c.New.invalid()
			// A transaction that only read the session conflicts with a log-out as soon as it
			// writes anything.
			writes := len(c.New.Data) > 0 || c.New.invalid()
			conflict := same || ended && writes &&
				(c.Committed.invalid() || len(c.Committed.Data) > 0)
			if got := err != nil; got != conflict {
				t.Fatalf("conflict: got %t, want %t", got, conflict)
			}
			var want map[string]any
			switch {
			case c.Committed.invalid() || c.New.invalid() && !conflict: // nothing
			case conflict:
				want = floats(c.Committed.Data)
				want["other"] = true
			default:
				want = floats(both)
				want["other"] = true
			}
			if got := f.stored(t, "u"); !cmp.Equal(got, want) {
				t.Errorf("stored: got %v, want %v", got, want)
			}

			// Differences from the original.
			switch {
			case (c.Error != "") == conflict && (conflict || cmp.Equal(both, c.Resolved.Data)):
			case ended:
				needed.use(t, "log-out-wins")
			case conflict:
				needed.use(t, "same-key-conflicts")
			default:
				needed.use(t, "other-keys-merge")
			}
		})
	}
	if !t.Failed() {
		wantTally(t, needed, tally{
			"same-key-conflicts": 40, "other-keys-merge": 22,
			"log-out-wins": 24, "states-are-whole": 6,
		})
	}
}

// floats returns a copy; JSON's numbers are floats and stay so.
func floats(m map[string]any) map[string]any {
	c := map[string]any{}
	maps.Copy(c, m)
	return c
}

// A managerConflict is two lists of slices that concurrent transactions made of one list. Here each
// slice has one session, which is stored when the slice is added and ended when the slice is
// dropped.
type managerConflict struct {
	Old, Committed, New []float64
	Error               string
	Resolved            [][2]any // slice, "owner@slice"
}

func TestGoldenManagerConflicts(t *testing.T) {
	needed := tally{}
	for i, c := range readGolden(t).ManagerConflicts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			f := newFixture(t, session.Config{Timeout: time.Hour, Period: time.Second})
			id := func(owner string, slice float64) string {
				return fmt.Sprintf("%s@%v",
					owner, slice)
			}
			clock := func(slice float64) {
				f.clock.mu.Lock()
				defer f.clock.mu.Unlock()
				f.clock.wall = moment(slice)
			}
			for _, slice := range c.Old {
				clock(slice)
				f.set(t, id("shared", slice), map[string]any{"n": 1})
			}
			change := func(ctx context.Context, owner string, to []float64) error {
				for _, slice := range to {
					if !slices.Contains(c.Old, slice) {
						clock(slice)
						s, err := f.Get(session.WithID(ctx, id(owner, slice)))
						if err != nil {
							return err
						}
						must(t, s.Set("n", 1))
					}
				}
				clock(0) // marks nothing as used
				for _, slice := range c.Old {
					if slices.Contains(to, slice) {
						continue
					}
					s, err := f.Lookup(session.WithID(ctx, id("shared", slice)))
					if err != nil {
						return err
					}
					if s != nil {
						must(t, s.Invalidate())
					}
				}
				return nil
			}
			ctxA, commitA := begin(t)
			ctxB, commitB := begin(t)
			must(t, change(ctxA, "committed", c.Committed))
			must(t, change(ctxB, "new", c.New))
			must(t, commitA())
			// both dropped the same slice: the second attempt has less to do
			if err := commitB(); err != nil {
				wantConflict(t, err)
				do(t, func(ctx context.Context) { must(t, change(ctx, "new", c.New)) })
			}

			want := map[string]bool{}
			if c.Error == "" {
				for _, r := range c.Resolved {
					want[fmt.Sprint(r[1])] = true
				}
			} else {
				needed.use(t, "slices-never-conflict")
				for _, slice := range c.Committed {
					owner := "committed"
					if slices.Contains(c.Old, slice) {
						owner = "shared"
					}
					want[id(owner, slice)] = owner == "committed" || slices.Contains(c.New, slice)
				}
				for _, slice := range c.New {
					if !slices.Contains(c.Old, slice) {
						want[id("new", slice)] = true
					}
				}
			}
			do(t, func(ctx context.Context) {
				for _, owner := range []string{"shared", "committed", "new"} {
					for _, slice := range slices.Concat(c.Old, c.Committed, c.New) {
						used, err := f.Used(ctx, id(owner, slice))
						must(t, err)
						if got := len(used) == 1 && used[0].Equal(moment(slice)); got !=
							want[id(owner, slice)] {
							t.Errorf("%s: got %v, want it stored: %t", id(owner, slice), used,
								want[id(owner, slice)])
						}
					}
				}
			})
		})
	}
	if !t.Failed() {
		wantTally(t, needed, tally{"slices-never-conflict": 11})
	}
}

// A goldenConcurrent is the concurrent steps of two or three clients.
type goldenConcurrent struct {
	ID              string
	Timeout, Period float64
	Trace           []struct {
		Step struct {
			Op, Actor, Key, K string
			V                 any
			Now               *float64
		}
		Expect struct {
			Result any
			Error  string
		}
	}
	Final map[string]struct {
		Data  map[string]any
		Valid bool
	}
}

func TestGoldenConcurrent(t *testing.T) {
	t.Parallel()
	for _, c := range readGolden(t).Concurrent {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{
				Timeout: seconds(c.Timeout),
				Period:  seconds(c.Period),
			})
			type actor struct {
				ctx context.Context
				txn *transaction.Txn
			}
			ours, differ := concurrentDifferences[c.ID]
			different := map[int]string{}
			actors := map[string]*actor{}
			now := 10_000.0
			for i, s := range c.Trace {
				step := s.Step
				if now += 0.001; step.Now != nil {
					now = *step.Now
				}
				f.clock.pass(moment(now).Sub(f.clock.wall))
				a := actors[step.Actor]
				if a == nil || step.Op == "begin" {
					ctx, txn := transaction.Begin(t.Context())
					a = &actor{ctx, txn}
					actors[step.Actor] = a
					t.Cleanup(func() { a.txn.Abort(a.ctx) })
				}
				if step.Op == "heads" {
					continue // the links between slices have no counterpart
				}
				result, err := concurrentStep(a.ctx, t, f, a.txn, step.Op, step.Key, step.K, step.V)
				got, want := outcome(t, result, err), outcome(t, s.Expect.Result, nil)
				if s.Expect.Error == "ConflictError" {
					want = "conflict"
				}
				if got != want {
					different[i] = got
				}
			}
			final := map[string]map[string]any{}
			for _, key := range []string{"p", "q", "u", "v", "w"} {
				if data := f.stored(t, key); data != nil {
					final[key] = data
				}
			}
			want := ours.final
			if want == nil {
				want = map[string]map[string]any{}
				for key, s := range c.Final {
					if s.Valid {
						want[key] = s.Data
					}
				}
			}
			if diff := cmp.Diff(want, final); diff != "" {
				t.Errorf("final (-want +got): %s", diff)
			}
			if diff := cmp.Diff(ours.steps, different); diff != "" &&
				(differ || len(different) > 0) {
				t.Errorf("steps that differ from the original (-listed +got): %s", diff)
			}
		})
	}
}

// outcome returns a result, or "conflict", as text.
func outcome(t *testing.T, result any, err error) string {
	t.Helper()
	if err != nil {
		wantConflict(t, err)
		return "conflict"
	}
	text, err := json.Marshal(result)
	must(t, err)
	return string(text)
}

func concurrentStep(ctx context.Context, t *testing.T, f *fixture, txn *transaction.Txn, op, key,
	k string, v any,
) (any, error) {
	t.Helper()
	switch op {
	case "begin":
		return nil, nil
	case "commit":
		return nil, txn.Commit(ctx)
	case "abort":
		if err := txn.Abort(ctx); err != nil && !errors.Is(err, transaction.ErrEnded) {
			return nil, err
		}
		return nil, nil
	case "peek", "invalidate":
		s, err := f.Lookup(session.WithID(ctx, key))
		if err != nil || s == nil {
			return nil, err
		}
		if op == "invalidate" {
			return nil, s.Invalidate()
		}
		data, err := s.All()
		return map[string]any{"data": data, "valid": true}, err
	}
	s, err := f.Get(session.WithID(ctx, key))
	if err != nil {
		return nil, err
	}
	switch op {
	case "touch":
		return s.All()
	case "setitem":
		return nil, s.Set(k, v)
	case "incr":
		n, _, err := session.Get[float64](s, "n")
		if err != nil {
			return nil, err
		}
		return n + 1, s.Set("n", n+1)
	}
	return nil, fmt.Errorf("unknown step %q", op)
}
