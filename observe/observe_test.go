package observe_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/observe"
)

// A tally is a listener that counts what it is told, by name.
type tally map[string]int

func (c tally) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context {
	c["start"]++
	return ctx
}
func (c tally) RequestEnd(context.Context, observe.RequestEnd)        { c["end"]++ }
func (c tally) StatementEnd(context.Context, observe.Statement)       { c["statement"]++ }
func (c tally) Swept(context.Context, observe.Sweep)                  { c["swept"]++ }
func (c tally) SessionChanged(context.Context, observe.SessionChange) { c["session"]++ }

// Middlewares with listeners of their own can be nested: each is told of the begin and end once, and
// of everything in between.
func TestWith(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	outer, inner := tally{}, tally{}
	r := observe.NewRequest("", observe.NewListeners(outer))
	r.RequestStart(ctx, observe.RequestStart{})
	same := r.With(observe.NewListeners(inner))
	same.RequestStart(ctx, observe.RequestStart{})
	same.StatementEnd(ctx, observe.Statement{})
	same.SetRoute("app", "/route")
	same.RequestEnd(ctx, observe.RequestEnd{})
	r.RequestEnd(ctx, observe.RequestEnd{})
	for name, c := range map[string]tally{"outer": outer, "inner": inner} {
		if c["start"] != 1 || c["end"] != 1 || c["statement"] != 1 {
			t.Errorf("%s: %v, want each once", name, c)
		}
	}
	if same.ID() == "" || same.ID() != r.ID() || r.Summary().Route != "/route" {
		t.Errorf("got %q and %q, %v: want one request", same.ID(), r.ID(), r.Summary())
	}
	alone := observe.NewRequest("1", nil).With(nil)
	alone.RequestEnd(ctx, observe.RequestEnd{})
	if alone.Listening() || alone.ID() != "1" {
		t.Error("listeners out of nowhere")
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	if got := observe.ID(t.Context()); got != "" {
		t.Errorf("got %q without a request", got)
	}
	r := observe.NewRequest("", nil)
	r.SetID("of-a-proxy")
	r.SetID("too late")
	if got := observe.ID(observe.NewContext(t.Context(), r)); got != "of-a-proxy" {
		t.Errorf("got %q", got)
	}
	other := observe.NewRequest("", nil)
	if id := other.ID(); len(id) < 26 || id != other.ID() || id == observe.NewRequest("", nil).ID() {
		t.Errorf("got %q, want a random id that stays", id)
	}
	job := observe.NewJob("sweep", nil)
	if job.ID() != "" || job.Name() != "sweep" || job.Listening() {
		t.Errorf("got %q %q", job.ID(), job.Name())
	}
	c := tally{}
	job.Listen(observe.NewListeners(c))
	job.Swept(t.Context(), observe.Sweep{})
	if c["swept"] != 1 {
		t.Error("a job is not told to listeners that came later")
	}
}

// A nil Request is what code without listeners has.
func TestNil(t *testing.T) {
	var r *observe.Request
	ctx := t.Context()
	r.Accessed(ctx, observe.Access{})
	r.Decided(ctx, observe.Decision{})
	r.SetRoute("a", "b")
	if r.AttemptStart(ctx, observe.AttemptStart{}) != ctx || r.Summary() != (observe.Summary{}) ||
		r.Name() != "" || r.OnSpooled(ctx, true) != nil || r.OnReleased(ctx) != nil {
		t.Error("a nil Request does something")
	}
	if allocs := testing.AllocsPerRun(100, func() {
		r.Accessed(ctx, observe.Access{})
		r.Queued(ctx, observe.Queue{})
		r.StatementEnd(ctx, observe.Statement{})
	}); allocs > 0 {
		t.Errorf("%v allocations without listeners", allocs)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"":                                     "",
		"count":                                "count",
		"\x00\xff":                             "0x00ff",
		"\xd0\x67\x92\x83\x05\x06\x07\x08\x09": "0xd067928305060708…6b95",
		`a"b\c`:                                `a"b\\c`,
		"12345678":                             "12345678",
	} {
		if got := observe.Key(key); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
	const secret = "session/0123456789abcdef"
	got := observe.Key(secret)
	if !strings.HasPrefix(got, "session/…") || strings.Contains(got, "0123") ||
		got == observe.Key(secret+"x") || got != observe.Key(secret) {
		t.Errorf("got %q, want the beginning and a hash", got)
	}
}

// The attempts of a job are told to listeners of jobs only, which get the context of JobStart.
func TestJobListener(t *testing.T) {
	t.Parallel()
	type key struct{}
	var told []string
	job := observe.NewJob("app:main", observe.NewListeners(
		&jobListener{tell: func(ctx context.Context, what string) context.Context {
			told = append(told, fmt.Sprint(what, " ", ctx.Value(key{})))
			return context.WithValue(ctx, key{}, what)
		}},
		&attemptListener{t: t}))
	if !job.JobListening() {
		t.Fatal("no listener is told of the job")
	}
	ctx := job.JobStart(t.Context(), observe.JobStart{})
	ctx = job.JobAttemptStart(ctx, observe.AttemptStart{})
	job.JobAttemptEnd(ctx, observe.AttemptEnd{})
	job.JobEnd(ctx, observe.JobEnd{})
	want := []string{
		"start <nil>", "attempt start start", "attempt end attempt start", "end attempt start",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if observe.NewJob("app:main", observe.NewListeners(&attemptListener{t: t})).JobListening() {
		t.Error("a listener that knows no jobs is told of them")
	}
	if observe.NewRequest("", observe.NewListeners(&jobListener{})).JobListening() {
		t.Error("a request is taken for a job")
	}
}

// An attemptListener must not be told of attempts.
type attemptListener struct {
	observe.RequestListener

	t *testing.T
}

func (l *attemptListener) AttemptStart(ctx context.Context, _ observe.AttemptStart) context.Context {
	l.t.Error("told of the attempt of a job")
	return ctx
}

func (l *attemptListener) AttemptEnd(context.Context, observe.AttemptEnd) {}

type jobListener struct {
	observe.RequestListener

	tell func(ctx context.Context, what string) context.Context
}

func (l *jobListener) JobStart(ctx context.Context, _ observe.JobStart) context.Context {
	return l.tell(ctx, "start")
}
func (l *jobListener) JobEnd(ctx context.Context, _ observe.JobEnd) { l.tell(ctx, "end") }
func (l *jobListener) AttemptStart(ctx context.Context, _ observe.AttemptStart) context.Context {
	return l.tell(ctx, "attempt start")
}

func (l *jobListener) AttemptEnd(ctx context.Context, _ observe.AttemptEnd) {
	l.tell(ctx, "attempt end")
}
