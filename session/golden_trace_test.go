package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

type goldenTrace struct {
	ID              string
	Timeout, Period float64
	Start           float64
	NonLazy         bool
	Trace           []struct {
		Step   goldenStep
		Expect goldenExpect
	}
}

type goldenStep struct {
	Op      string
	Key     string
	Session string
	K       string
	V       any
	Default any
	Data    map[string]any
	Now     *float64
	When    *float64
}

type goldenExpect struct {
	Result  any
	Error   string
	Events  [][2]string
	Buckets []goldenBucket
}

// A goldenBucket is the start of a slice and the sessions in it, by key.
type goldenBucket struct {
	slice    float64
	sessions map[string]string
}

func (b *goldenBucket) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[2]any{&b.slice, &b.sessions})
}

// The original's state is changed at once, without a database: here each step on a stored session
// is a separate transaction. New sessions wait for commit or abort: each key has a transaction
// until then.
type tracer struct {
	*testing.T
	*fixture
	trace  goldenTrace
	needed tally

	pending map[string]*pendingSession // by key
	names   map[string]string          // the key of every session of the trace
	stored  map[string]string          // the stored session of each key
	gone    map[string]bool            // sessions that were invalidated
	twice   map[string]bool            // keys with two new sessions
	// sessions and keys that the trace changed without the API
	byHand  map[string]bool
	dated   map[string]time.Time // when sessions were first written to
	entered map[string]float64   // the slice that sessions were stored in first
	// the slices of sessions that were dated too far ahead, by key
	redated map[string]time.Time
	maxNow  float64
}

type pendingSession struct {
	ctx     context.Context
	txn     *transaction.Txn
	session *session.Session
	names   []string // all names of the session in the original
}

func TestGoldenTraces(t *testing.T) {
	needed := tally{}
	for _, trace := range readGolden(t).Traces {
		t.Run(trace.ID, func(t *testing.T) {
			if trace.NonLazy {
				needed.use(t, "not-here")
				return
			}
			config := session.Config{Timeout: seconds(trace.Timeout), Period: seconds(trace.Period)}
			if trace.Timeout == 0 {
				needed.use(t, "no-zero-timeout")
				config.Timeout = time.Millisecond
			}
			tr := &tracer{
				T: t, fixture: newFixture(t, config), trace: trace, needed: needed,
				pending: map[string]*pendingSession{}, names: map[string]string{},
				stored: map[string]string{},
				gone:   map[string]bool{}, twice: map[string]bool{}, byHand: map[string]bool{},
				dated: map[string]time.Time{}, entered: map[string]float64{},
				redated: map[string]time.Time{},
			}
			tr.set(trace.Start)
			for i, s := range trace.Trace {
				tr.step(fmt.Sprintf("step %d (%s)", i, s.Step.Op), s.Step, s.Expect)
			}
		})
	}
	if !t.Failed() {
		wantTally(t, needed, tally{
			"begin-later": 122, "same-session": 21, "dated-by-write": 8, "dated-ahead": 6,
			"gone": 10, "finished": 8,
			"no-change": 3, "no-key-error": 2, "not-here": 36, "no-zero-timeout": 11,
		})
	}
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s*1000)) * time.Millisecond }

func moment(s float64) time.Time { return time.UnixMilli(int64(math.Round(s * 1000))) }

// set moves the clocks. The monotonic clock moves only if the wall clock is later than ever before,
// so that an earlier move counts as a wrong setting.
func (tr *tracer) set(now float64) {
	c := tr.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mono == 0 {
		c.mono = time.Hour
		tr.maxNow = now
	}
	if now > tr.maxNow {
		c.mono += seconds(now - tr.maxNow)
		tr.maxNow = now
	}
	c.wall = moment(now)
}

func (tr *tracer) step(name string, step goldenStep, want goldenExpect) {
	tr.Helper()
	for _, at := range []*float64{step.Now, step.When} {
		if at != nil {
			tr.set(*at)
		}
	}
	// The original ends expired sessions during other calls; here a sweep does.
	var ended []string
	for _, e := range want.Events {
		key, known := tr.names[e[1]]
		switch {
		case e[0] != "end":
		case tr.gone[e[1]]:
			tr.needed.use(tr.T, "gone")
		case known:
			ended = append(ended, "expired", key)
			delete(tr.stored, key)
		}
	}
	if ended != nil {
		n, err := tr.Sweep(tr.Context())
		must(tr.T, err)
		if got := tr.events.take(); n != len(ended)/2 || !cmp.Equal(got, told(ended...)) {
			tr.Errorf("%s: the sweep ended %v, want %v", name, got, told(ended...))
		}
	}
	got, err := tr.do(step, want)
	if errors.Is(err, errNotHere) {
		tr.needed.use(tr.T, "not-here")
		return
	}
	if err != nil {
		tr.Fatalf("%s: %v", name, err)
	}
	switch {
	case cmp.Equal(got, want.Result):
	case step.Op == "items" && tr.twice[tr.names[step.Session]]:
		tr.needed.use(tr.T, "same-session")
	default:
		tr.Errorf("%s: got %v, want %v", name, got, want.Result)
	}
	if got := tr.events.take(); got != nil {
		tr.Errorf("%s: events %v", name, got)
	}
	tr.compare(name, want.Buckets)
}

var errNotHere = errors.New("no such thing here")

// do runs one step and returns its result in the terms of the original.
func (tr *tracer) do(step goldenStep, want goldenExpect) (any, error) {
	switch step.Op {
	case "get":
		name, _ := want.Result.(string)
		return tr.getSession(step.Key, name)
	case "query", "has_key":
		if tr.byHand[step.Key] {
			return nil, errNotHere
		}
		var found bool
		do(tr.T, func(ctx context.Context) {
			s, err := tr.Lookup(session.WithID(ctx, step.Key))
			must(tr.T, err)
			has, err := tr.Has(session.WithID(ctx, step.Key))
			must(tr.T, err)
			if found = s != nil; found != has {
				tr.Errorf("Query gives %v, Has %t", s, has)
			}
		})
		was, _ := want.Result.(string)
		if tr.gone[was] || tr.gone[tr.lastOf(step.Key)] && want.Result == true {
			tr.needed.use(tr.T, "gone")
			if found {
				return nil, errors.New("the invalidated session is still there")
			}
			return want.Result, nil
		}
		switch {
		case step.Op == "has_key":
			return found, nil
		case found:
			return tr.stored[step.Key], nil
		case step.Default != nil:
			return step.Default, nil
		}
		return nil, nil
	case "commit":
		return nil, tr.commit(want)
	case "abort":
		for _, p := range tr.pending {
			must(tr.T, p.txn.Abort(p.ctx))
		}
		clear(tr.pending)
		return nil, nil
	case "set", "set_last_modified":
		tr.byHand[step.Key+step.Session] = true
		return nil, errNotHere
	case "get_head", "copy":
		return nil, errNotHere
	}
	return tr.sessionStep(step, want)
}

// lastOf returns the session that was stored last under key.
func (tr *tracer) lastOf(key string) string {
	last := ""
	for name, k := range tr.names {
		if k == key && tr.gone[name] && name > last {
			last = name
		}
	}
	return last
}

func (tr *tracer) getSession(key, name string) (any, error) {
	if name == "" {
		return nil, errNotHere // the trace stored an object without the API
	}
	tr.names[name] = key
	if p := tr.pending[key]; p != nil {
		again, err := tr.Get(session.WithID(p.ctx, key))
		if err != nil || again != p.session {
			return nil, fmt.Errorf("got another session, %w", err)
		}
		tr.needed.use(tr.T, "same-session")
		tr.twice[key] = true
		p.names = append(p.names, name)
		return name, nil
	}
	ctx, txn := transaction.Begin(tr.Context())
	tr.Cleanup(func() { txn.Abort(ctx) })
	s, err := tr.Get(session.WithID(ctx, key))
	if err != nil {
		return nil, err
	}
	if s.IsNew() {
		tr.pending[key] = &pendingSession{ctx, txn, s, []string{name}}
		return name, nil
	}
	return tr.stored[key], txn.Commit(ctx)
}

func (tr *tracer) commit(want goldenExpect) error {
	var begun []string
	for _, key := range slices.Sorted(maps.Keys(tr.pending)) {
		p := tr.pending[key]
		if err := p.txn.Commit(p.ctx); err != nil {
			return err
		}
		for _, b := range want.Buckets {
			name := b.sessions[key]
			if tr.gone[name] {
				tr.needed.use(tr.T, "gone")
			} else if slices.Contains(p.names, name) && tr.stored[key] != name {
				tr.needed.use(tr.T, "begin-later")
				tr.stored[key] = name
				begun = append(begun, "begun", key)
			}
		}
	}
	clear(tr.pending)
	if got := tr.events.take(); !cmp.Equal(got, told(begun...)) {
		return fmt.Errorf("events %v, want %v", got, told(begun...))
	}
	return nil
}

// sessionStep runs one step on a session.
func (tr *tracer) sessionStep(step goldenStep, want goldenExpect) (result any, err error) {
	key := tr.names[step.Session]
	if p := tr.pending[key]; p != nil && slices.Contains(p.names, step.Session) {
		return tr.act(p.session, step, want)
	}
	if tr.gone[step.Session] {
		tr.needed.use(tr.T, "gone")
		return want.Result, nil
	}
	if tr.stored[key] != step.Session {
		tr.needed.use(tr.T, "finished")
		return want.Result, nil
	}
	do(tr.T, func(ctx context.Context) { result, err = tr.act(tr.get(ctx, tr.T, key), step, want) })
	if step.Op == "invalidate" {
		delete(tr.stored, key)
		if got := tr.events.take(); !cmp.Equal(got, told("invalidated", key)) {
			return nil, fmt.Errorf("events %v", got)
		}
	}
	return result, err
}

func (tr *tracer) act(s *session.Session, step goldenStep, want goldenExpect) (any, error) {
	write := func(err error) (any, error) {
		if _, ok := tr.dated[step.Session]; !ok {
			for _, name := range tr.aliases(step.Session) {
				tr.dated[name], _ = tr.clock.read()
			}
		}
		return nil, err
	}
	if !s.Valid() { // invalidated before
		tr.needed.use(tr.T, "gone")
		return want.Result, nil
	}
	keyError := func() (any, error) {
		tr.needed.use(tr.T, "no-key-error")
		if want.Error != "KeyError" {
			return nil, fmt.Errorf("no value under %q", step.K)
		}
		return nil, nil
	}
	switch step.Op {
	case "setitem":
		return write(s.Set(step.K, step.V))
	case "update":
		return write(s.Update(step.Data))
	case "setdefault":
		v, err := session.SetDefault(s, step.K, step.Default)
		_, _ = write(nil)
		return v, err
	case "clear":
		return write(s.Clear())
	case "delitem":
		if ok, err := s.Has(step.K); err != nil || !ok {
			return keyError()
		}
		return write(s.Delete(step.K))
	case "getitem", "dget", "pop":
		v, ok, err := session.Get[any](s, step.K)
		if step.Op == "pop" {
			v, ok, err = session.Pop[any](s, step.K)
		}
		switch {
		case err != nil:
			return nil, err
		case ok:
			return v, nil
		case step.Default != nil:
			return step.Default, nil
		}
		return keyError()
	case "items":
		return s.All()
	case "created":
		return float64(s.Created().UnixMilli()) / 1000, nil
	case "last_modified":
		if tr.byHand[step.Session] {
			return nil, errNotHere
		}
		at, err := s.LastModified()
		if err != nil || at.IsZero() {
			return nil, err
		}
		got := float64(at.UnixMilli()) / 1000
		if w, ok := want.Result.(float64); ok && w > got && w-got < 10 {
			tr.needed.use(tr.T, "no-change")
			return w, nil
		}
		return got, nil
	case "is_valid":
		return s.Valid(), nil
	case "invalidate":
		tr.gone[step.Session] = true
		return nil, s.Invalidate()
	}
	return nil, fmt.Errorf("unknown step %q", step.Op)
}

// aliases returns all names that the original has for one session of this package.
func (tr *tracer) aliases(name string) []string {
	if p := tr.pending[tr.names[name]]; p != nil {
		return p.names
	}
	return []string{name}
}

// compare compares the index with the newest slice of each session.
func (tr *tracer) compare(name string, buckets []goldenBucket) {
	tr.Helper()
	want := map[string]goldenBucket{} // the newest slice of each key
	for _, b := range slices.Backward(buckets) {
		for key, s := range b.sessions {
			want[key] = b
			if _, ok := tr.entered[s]; !ok {
				tr.entered[s] = b.slice
			}
		}
	}
	must(tr.T, tr.Flush(tr.Context()))
	do(tr.T, func(ctx context.Context) {
		for _, key := range tr.names {
			used, err := tr.Used(ctx, key)
			must(tr.T, err)
			b, ok := want[key]
			if s := b.sessions[key]; !ok || tr.gone[s] {
				if len(used) != 0 {
					tr.Errorf("%s: %q is stored", name, key)
				}
				continue
			} else if len(used) != 1 {
				tr.Errorf("%s: %q is in the slices %v, want one", name, key, used)
				// the first slice of the original begins with its session
			} else if at := moment(b.slice - math.Mod(b.slice,
				tr.trace.Period)); !used[0].Equal(at) {
				if now, _ := tr.clock.read(); at.Sub(now) > seconds(tr.trace.Timeout) {
					tr.redated[key] = used[0]
				}
				if used[0].Equal(tr.redated[key]) {
					tr.needed.use(tr.T, "dated-ahead")
					continue
				}
				tr.needed.use(tr.T, "dated-by-write")
				if written := tr.dated[s].Truncate(seconds(tr.trace.Period)); tr.entered[s] !=
					b.slice || !used[0].Equal(written) {
					tr.Errorf("%s: %q was used in %v, want %v, or when it was first written to, %v",
						name, key, used[0], at, written)
				}
			}
		}
	})
}
