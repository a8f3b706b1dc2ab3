package observe_test

import (
	"context"
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
		"":         "",
		"count":    "count",
		"\x00\xff": `\x00\xff`,
		`a"b\c`:    `a"b\\c`,
		"12345678": "12345678",
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
