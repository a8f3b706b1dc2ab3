package transaction_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// The golden traces were recorded from Python's transaction package. This file replays their steps;
// golden_map_test.go derives from each recorded outcome what is expected here, and
// golden_differences_test.go is the table of what differs.

type goldenCase struct {
	ID            string
	Explicit      bool
	Managers      map[string]goldenManager
	Hooks         map[string]goldenHook
	Synchronizers map[string]goldenSynchronizer
	Trace         []struct {
		Step   goldenStep
		Expect goldenOutcome
	}
}

type goldenManager struct {
	SortKey     *string `json:"sort_key"`
	Savepoint   bool
	ShouldRetry *bool `json:"should_retry"`
	Fail        map[string]string
}

type goldenHook struct {
	Raise   string
	Actions []goldenStep
}

type goldenSynchronizer struct {
	Fail         map[string]string
	JoinInBefore string `json:"join_in_before"`
}

type goldenStep struct {
	Op, On                               string
	Name, Kind, Manager, Key, Text, Path string
	Error                                string
	Args                                 []any
	Value                                any
	Optimistic                           bool
	Number, Tries                        int
	Outcomes, Join                       []string
}

type goldenOutcome struct {
	Result any
	Error  *struct{ Class, Message string }
	Log    []string
	Status *string
	Joined []string

	OldStatus    string `json:"old_status"`
	OldIsCurrent bool   `json:"old_is_current"`
}

func TestGolden(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/transaction.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []goldenCase }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) != 155 {
		t.Errorf("got %d golden cases, want 155", len(golden.Cases))
	}
	used := map[string]bool{}
	for _, c := range golden.Cases {
		used[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			want := expected(t, c)
			var got []string
			r := newReplay(t.Context(), c)
			for _, step := range c.Trace {
				got = append(got, r.run(step.Step))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("trace differs (-want +got):\n%s", diff)
			}
		})
	}
	for _, d := range differences {
		for id := range d.steps {
			if !used[id] {
				t.Errorf("the table of differences names %s, which is not there", id)
			}
		}
	}
}

// replay plays the original's transaction manager, which knows a current transaction, begins one
// when there is none, and aborts it when another begins. Here all that is the caller's affair, so
// it is done by this adapter.
type replay struct {
	c        goldenCase
	ctx      context.Context // of the test
	manager  transaction.Manager
	managers map[string]resource.DataManager
	synchs   map[string]*synchronizer
	points   map[string]*transaction.Savepoint
	current  *transaction.Txn
	txnCtx   context.Context // carries current
	old      *transaction.Txn
	log      []string
}

func newReplay(ctx context.Context, c goldenCase) *replay {
	r := &replay{
		c: c, ctx: ctx,
		managers: map[string]resource.DataManager{},
		synchs:   map[string]*synchronizer{},
		points:   map[string]*transaction.Savepoint{},
	}
	for name, m := range c.Managers {
		fake := &manager{r: r, name: name, goldenManager: m}
		r.managers[name] = fake
		if m.Savepoint {
			r.managers[name] = &savingManager{manager: fake}
		}
	}
	for name, s := range c.Synchronizers {
		r.synchs[name] = &synchronizer{r: r, name: name, goldenSynchronizer: s}
	}
	return r
}

// run returns the step's outcome as text.
func (r *replay) run(s goldenStep) string {
	r.log = nil
	result, err := r.do(s)
	if r.current != nil && (r.current.Status() == transaction.Committed ||
		r.current.Status() == transaction.Aborted) {
		r.current, r.txnCtx = nil, nil
	}
	o := outcome{op: s.Op, log: r.log, status: "none"}
	if err != nil {
		o.result = describe(err)
	} else {
		o.result = render(result)
	}
	if r.current != nil {
		o.status = r.current.Status().String()
		for _, dm := range r.current.Managers() {
			o.joined = append(o.joined, nameOf(dm))
		}
	}
	if r.old != nil {
		o.old = r.old.Status().String()
		o.oldIsCurrent = r.old == r.current
	}
	return o.String()
}

var (
	errNoTransaction = errors.New("no transaction in the context")
	errBegun         = errors.New("cannot begin")
)

func (r *replay) begin(announce bool) error {
	if r.current != nil && !r.c.Explicit {
		err := r.current.Abort(r.txnCtx)
		r.current = nil
		if err != nil {
			return err
		}
	}
	log := r.log
	ctx, t, err := r.manager.Begin(r.ctx)
	if !announce && err == nil {
		r.log = log // the original doesn't tell of a transaction that is begun implicitly
	}
	if err != nil {
		return err
	}
	r.txnCtx, r.current = ctx, t
	return nil
}

// get returns the transaction that the step is about.
func (r *replay) get(s goldenStep) (*transaction.Txn, error) {
	if s.On == "old" {
		return r.old, nil
	}
	if r.current == nil {
		if _, ok := transaction.FromContext(r.ctx); r.c.Explicit && !ok {
			return nil, errNoTransaction
		}
		if err := r.begin(false); err != nil {
			return nil, fmt.Errorf("%w: %w", errBegun, err)
		}
	}
	return r.current, nil
}

func (r *replay) do(s goldenStep) (any, error) {
	switch s.Op {
	case "begin":
		return nil, r.begin(true)
	case "register_synch":
		r.manager.Register(r.synchs[s.Name])
		return nil, nil
	case "unregister_synch":
		r.manager.Unregister(r.synchs[s.Name])
		return nil, nil
	case "clear_synchs":
		r.manager.UnregisterAll()
		return nil, nil
	case "savepoint_valid":
		return r.points[s.Name].Valid(), nil
	case "rollback":
		return nil, r.points[s.Name].Rollback()
	case "run", "attempts":
		return r.attempts(s)
	}
	t, err := r.get(s)
	if err != nil {
		return nil, err
	}
	ctx := r.txnCtx
	if s.On == "old" {
		ctx = r.ctx
	}
	switch s.Op {
	case "get":
		r.old = t
		return nil, nil
	case "join":
		return nil, t.Join(r.managers[s.Manager])
	case "commit":
		return nil, t.Commit(ctx)
	case "abort":
		return nil, t.Abort(ctx)
	case "doom":
		return nil, t.Doom()
	case "is_doomed":
		return t.IsDoomed(), nil
	case "savepoint":
		save := t.Savepoint
		if s.Optimistic {
			save = t.OptimisticSavepoint
		}
		r.points[s.Name], err = save()
		return nil, err
	case "hook":
		r.hook(t, s)
		return nil, nil
	case "note":
		t.Note(s.Text)
		return nil, nil
	case "description":
		return t.Description(), nil
	case "set_user": // the original prefixes the user with a path
		path := s.Path
		if path == "" {
			path = "/"
		}
		t.SetUser(path + " " + s.Name)
		return nil, nil
	case "user":
		return t.User(), nil
	case "set_data":
		t.SetData(s.Key, s.Value)
		return nil, nil
	case "data":
		return t.Data(s.Key), nil
	case "is_retryable":
		return t.IsTransient(fault(s.Error, "asked")), nil
	default:
		panic("no such step: " + s.Op)
	}
}

// attempts runs the loop; the two forms of the original, a decorator and a with statement, are one
// here.
func (r *replay) attempts(s goldenStep) (result any, err error) {
	defer func() {
		if v := recover(); v != nil { // Run passes on the panics of what it runs
			err = &transaction.PanicError{Value: v}
		}
	}()
	name, tries := "try", s.Tries
	if s.Op == "attempts" {
		name, tries = "attempt", s.Number
	}
	n := 0
	err = r.manager.Run(r.ctx, func(ctx context.Context) error {
		n++
		r.log = append(r.log, fmt.Sprintf("%s %d", name, n))
		t, _ := transaction.FromContext(ctx)
		for _, m := range s.Join {
			if err := t.Join(r.managers[m]); err != nil {
				return err
			}
		}
		if n <= len(s.Outcomes) {
			return fault(s.Outcomes[n-1], fmt.Sprintf("%s %d", name, n))
		}
		return nil
	}, transaction.Policy{Tries: tries})
	if s.Op == "run" {
		return fmt.Sprintf("result %d", n), err
	}
	return n, err
}

func (r *replay) hook(t *transaction.Txn, s goldenStep) {
	call := func(ctx context.Context, args []any) error {
		current, _ := transaction.FromContext(ctx)
		r.log = append(r.log, fmt.Sprintf("hook %s args=%s current_txn_status=%s", s.Name,
			renderList(args), current.Status()))
		for _, action := range r.c.Hooks[s.Name].Actions {
			if _, err := r.do(action); err != nil {
				return err
			}
		}
		return fault(r.c.Hooks[s.Name].Raise, "hook "+s.Name)
	}
	must := func(err error) { // hooks without an error result have panics only
		if err != nil {
			panic(err)
		}
	}
	switch s.Kind {
	case "before_commit":
		t.BeforeCommit(func(ctx context.Context) error { return call(ctx, s.Args) })
	case "after_commit":
		t.AfterCommit(func(ctx context.Context,
			ok bool,
		) {
			must(call(ctx, append([]any{ok}, s.Args...)))
		})
	case "before_abort":
		t.BeforeAbort(func(ctx context.Context) { must(call(ctx, s.Args)) })
	case "after_abort":
		t.AfterAbort(func(ctx context.Context) { must(call(ctx, s.Args)) })
	}
}

// outcome is what a step did. It is compared as text, so that the table of differences can be read.
type outcome struct {
	op, result, status, old string
	log, joined             []string
	oldIsCurrent            bool
}

func (o outcome) String() string {
	text := fmt.Sprintf("%s: %s | %s | %s [%s]", o.op, o.result, strings.Join(o.log, ", "),
		o.status, strings.Join(o.joined, " "))
	if o.old != "" {
		text += " | old " + o.old
		if o.oldIsCurrent {
			text += ", current"
		}
	}
	return text
}

func render(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func renderList(values []any) string {
	items := make([]string, len(values))
	for i, v := range values {
		items[i] = render(v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// describe returns an error as text: which sentinels it is, and the faults in its tree.
func describe(err error) string {
	var parts []string
	for _, s := range []struct {
		err  error
		name string
	}{
		{transaction.ErrEnded, "ended"},
		{transaction.ErrDoomed, "doomed"},
		{transaction.ErrNoSavepoint, "no savepoint"},
		{transaction.ErrInDoubt, "in doubt"},
		{errNoTransaction, "no transaction"},
		{errBegun, "cannot begin"},
	} {
		if errors.Is(err, s.err) {
			parts = append(parts, s.name)
		}
	}
	if errors.Is(err, transaction.ErrInvalidSavepoint) {
		return "error invalid savepoint" // why does not matter here
	}
	if errors.Is(err, transaction.ErrCommitFailed) {
		parts = []string{"failed before"} // whatever that was
	} else {
		parts = append(parts, faults(err)...)
	}
	return "error " + strings.Join(parts, ", ")
}

// faults lists the injected errors and panics in err's tree.
func faults(err error) []string {
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case boom:
		return []string{string(e)}
	case luckless:
		return []string{"transient " + string(e)}
	case *transaction.PanicError:
		if cause, ok := e.Value.(error); ok {
			if list := faults(cause); len(list) > 0 {
				return list
			}
		}
		return []string{fmt.Sprintf("panic %v", e.Value)}
	case interface{ Unwrap() error }:
		return faults(e.Unwrap())
	case interface{ Unwrap() []error }:
		var list []string
		for _, child := range e.Unwrap() {
			list = append(list, faults(child)...)
		}
		return slices.Compact(list)
	default:
		return nil
	}
}
