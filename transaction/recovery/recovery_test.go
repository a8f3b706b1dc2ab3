package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction/recovery"
)

// A fake is a database that holds what a test wants, and writes down what is done.
type fake struct {
	name     string
	prepared []recovery.Prepared
	id       string
	records  map[string]bool
	fails    map[string]error // of an operation; errHang hangs, errPanic panics

	mu  sync.Mutex // guards log
	log []string
}

// done returns what was done, but for looking.
func (f *fake) done() string {
	return strings.Join(slices.DeleteFunc(f.log, func(s string) bool { return s == "prepared" }),
		", ")
}

var (
	errHang  = errors.New("hang")
	errPanic = errors.New("panic")
)

func (f *fake) do(ctx context.Context, operation string, on string) error {
	f.mu.Lock()
	f.log = append(f.log, strings.TrimSpace(operation+" "+on))
	f.mu.Unlock()
	err := f.fails[operation]
	switch {
	case errors.Is(err, errHang):
		<-ctx.Done()
		return ctx.Err()
	case errors.Is(err, errPanic):
		panic("oh no")
	}
	return err
}

func (f *fake) Name() string { return f.name }

func (f *fake) Prepared(ctx context.Context) ([]recovery.Prepared, error) {
	return slices.Clone(f.prepared), f.do(ctx, "prepared", "")
}

func (f *fake) end(ctx context.Context, operation string, p recovery.Prepared) error {
	err := f.do(ctx, operation, p.Name)
	if err == nil {
		f.prepared = slices.DeleteFunc(f.prepared,
			func(other recovery.Prepared) bool { return other == p })
	}
	return err
}

func (f *fake) Finish(ctx context.Context, p recovery.Prepared) error {
	return f.end(ctx, "finish", p)
}

func (f *fake) Abort(ctx context.Context, p recovery.Prepared) error {
	return f.end(ctx, "abort", p)
}

func (f *fake) RecorderID() string { return f.id }

func (f *fake) Decided(ctx context.Context, t string) (bool, error) {
	return f.records[t], f.do(ctx, "decided", t)
}

func (f *fake) Settle(ctx context.Context, t string) (bool, error) {
	return f.records[t], f.do(ctx, "settle", t)
}

var morning = time.Date(2026, time.May, 1, 8, 0, 0, 0, time.UTC)

// orphan is prepared under a name that says of which transaction.
func orphan(txn, recorder string, minute int) recovery.Prepared {
	return recovery.Prepared{
		Name: "p-" +
			txn, Transaction: txn, Recorder: recorder, Since: morning.Add(time.Duration(minute) * time.Minute), Orphan: true,
	}
}

// lines are findings as text.
func lines(found []recovery.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s %s %v", f.Participant, f.Prepared.Name, f.Verdict)
		if f.Settled {
			b.WriteString(" settled")
		}
		if f.InDoubt() {
			b.WriteString(" in doubt")
		}
		if f.Err != nil {
			fmt.Fprintf(&b, ": %v", f.Err)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func set(databases ...*fake) *recovery.Set {
	var s recovery.Set
	for _, f := range databases {
		s.Add(f)
	}
	return &s
}

func TestRecover(t *testing.T) {
	t.Parallel()
	living := orphan("T4", "D1", 4)
	living.Orphan = false
	everything := []recovery.Prepared{
		orphan("T1", "D1", 1), orphan("T2", "D1", 2), orphan("T3", "", 3), living, orphan("T5",
			"D9", 5),
	}
	for _, tt := range []struct {
		name           string
		b              *fake
		dry            bool
		want, wantDone string
	}{
		{
			"everything", &fake{prepared: everything}, false, `
b p-T1 finish settled
b p-T2 abort settled
b p-T3 abort settled
b p-T4 leave
b p-T5 unknown in doubt: decided by D9, which is no database of this configuration
`, "finish p-T1, abort p-T2, abort p-T3; settle T1, settle T2",
		},
		{
			"dry run", &fake{prepared: everything}, true, `
b p-T1 finish in doubt
b p-T2 abort in doubt
b p-T3 abort in doubt
b p-T4 leave
b p-T5 unknown in doubt: decided by D9, which is no database of this configuration
`, "; decided T1, decided T2",
		},
		{
			"it can't be asked", &fake{fails: map[string]error{"prepared": errors.New("no route")}}, false,
			"\nb  unknown in doubt: no route\n", "; ",
		},
		{
			"it panics", &fake{
				prepared: everything[:1],
				fails:    map[string]error{"finish": errPanic},
			}, false,
			"\nb p-T1 finish in doubt: panic: oh no\n", "finish p-T1; settle T1",
		},
		{
			"it can't finish", &fake{prepared: everything[:3], fails: map[string]error{"finish": errors.New("disk full")}}, false, `
b p-T1 finish in doubt: disk full
b p-T2 abort settled
b p-T3 abort settled
`, "finish p-T1, abort p-T2, abort p-T3; settle T1, settle T2",
		},
		{
			"the recorder can't be asked", &fake{prepared: everything[:2], fails: map[string]error{}}, false, `
b p-T1 unknown in doubt: D1, which decides, can't be asked: closed
b p-T2 unknown in doubt: D1, which decides, can't be asked: closed
`, "; settle T1, settle T2",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.b.name, tt.b.prepared = "b", slices.Clone(tt.b.prepared)
			d := &fake{
				name: "d", id: "D1", records: map[string]bool{"T1": true},
				fails: map[string]error{},
			}
			if tt.name == "the recorder can't be asked" {
				d.fails["settle"] = errors.New("closed")
			}
			found := set(d, tt.b).Recover(t.Context(), recovery.Options{DryRun: tt.dry})
			if diff := cmp.Diff(tt.want, "\n"+lines(found)); diff != "" {
				t.Error(diff)
			}
			if got := tt.b.done() + "; " + d.done(); got != tt.wantDone {
				t.Errorf("done: got %s, want %s", got, tt.wantDone)
			}
		})
	}
}

// A database that does not answer costs its time-out once, at the same time as others, and stops no
// other.
func TestRecoverWithoutAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := map[string]error{"prepared": errHang, "finish": errHang, "settle": errHang}
		a := &fake{name: "a", fails: hangs}
		b := &fake{name: "b", prepared: []recovery.Prepared{
			orphan("T1", "D1", 1),
			orphan("T2", "D2", 2), orphan("T3", "D2", 3), orphan("T4", "D1", 4),
		}}
		c := &fake{name: "c", prepared: []recovery.Prepared{
			orphan("T1", "D1", 1),
			orphan("T4", "D1", 4),
		}, fails: map[string]error{"finish": errHang}}
		d1 := &fake{name: "d1", id: "D1", records: map[string]bool{"T1": true, "T4": true}}
		d2 := &fake{name: "d2", id: "D2", fails: map[string]error{"settle": errHang}}
		began := time.Now()
		found := set(a, b, c, d1, d2).Recover(t.Context(),
			recovery.Options{Timeout: 3 * time.Second})
		want := `
a  unknown in doubt: no answer within 3s: context deadline exceeded
b p-T1 finish settled
b p-T2 unknown in doubt: D2, which decides, can't be asked: no answer within 3s: context deadline exceeded
b p-T3 unknown in doubt: D2, which decides, can't be asked: no answer within 3s: context deadline exceeded
b p-T4 finish settled
c p-T1 finish in doubt: no answer within 3s: context deadline exceeded
c p-T4 finish in doubt: no answer within 3s: context deadline exceeded
`
		if diff := cmp.Diff(want, "\n"+lines(found)); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestRecoverWithoutTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		a := &fake{name: "a", fails: map[string]error{"prepared": errHang}}
		found := set(a).Recover(ctx, recovery.Options{Timeout: -1})
		if len(found) != 1 || !errors.Is(found[0].Err, context.DeadlineExceeded) ||
			strings.Contains(found[0].Err.Error(), "no answer within") {
			t.Errorf("got %+v, want the error of the caller's context", found)
		}
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	var s recovery.Set
	a := &fake{name: "a", prepared: []recovery.Prepared{orphan("T1", "D1", 1)}, id: "D0"}
	s.Add("anything else")()
	s.Add(a)
	remove := s.Add(a)
	if got := lines(s.Recover(t.Context(), recovery.Options{DryRun: true})); !strings.HasPrefix(got,
		"a p-T1 unknown") || strings.Count(got, "\n") != 1 {
		t.Errorf("added twice, found\n%s", got)
	}
	remove()
	remove() // has no effect
	if got := len(s.Recover(t.Context(), recovery.Options{DryRun: true})); got != 1 {
		t.Errorf("added twice and removed once: %d findings", got)
	}
	closed := &closing{fake: &fake{name: "b"}}
	closed.remove = s.Add(closed)
	if got := lines(s.Recover(t.Context(), recovery.Options{})); strings.Contains(got, "b ") {
		t.Errorf("what was closed meanwhile is none of ours, got\n%s", got)
	}
}

// closing is a database that is closed while it is asked.
type closing struct {
	*fake
	remove func()
}

func (c *closing) Prepared(context.Context) ([]recovery.Prepared, error) {
	c.remove()
	return nil, errors.New("closed")
}

func TestForce(t *testing.T) {
	t.Parallel()
	living := orphan("T2", "D9", 2)
	living.Orphan = false
	for _, tt := range []struct {
		name, txn string
		commit    bool
		dry       bool
		want      string
		wantDone  string
	}{
		{
			"commit", "T1", true, false, "a p-T1 finish settled\nb p-T1 finish settled\n",
			"finish p-T1; finish p-T1",
		},
		{
			"abort", "T1", false, false, "a p-T1 abort settled\nb p-T1 abort settled\n",
			"abort p-T1; abort p-T1",
		},
		{"dry run", "T1", false, true, "a p-T1 abort in doubt\nb p-T1 abort in doubt\n", "; "},
		{
			"it lives", "T2", false, false,
			"transaction T2 is in progress: the process that prepared it in a is alive", "; ",
		},
		{
			"it has a recorder", "T3", true, false,
			"transaction T3 can't be settled by hand: D1, which decides it, is a database of this configuration", "; ",
		},
		{"there is none", "T9", true, false, `nothing is prepared of a transaction "T9"`, "; "},
		{"nobody decides", "T4", true, false, "b p-T4 finish settled\n", "; finish p-T4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := &fake{name: "a", prepared: []recovery.Prepared{orphan("T1", "D9", 1), living}}
			b := &fake{name: "b", id: "D1", prepared: []recovery.Prepared{
				orphan("T1", "D9", 1),
				orphan("T2", "D9", 2), orphan("T3", "D1", 3), orphan("T4", "", 4),
			}}
			found, err := set(a, b).Force(t.Context(), tt.txn, tt.commit,
				recovery.Options{DryRun: tt.dry})
			got := lines(found)
			if err != nil {
				got += err.Error()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := a.done() + "; " + b.done(); got != tt.wantDone {
				t.Errorf("done: got %s, want %s", got, tt.wantDone)
			}
		})
	}
}

// A journal is what a logger has written.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// take returns the lines since the last call.
func (j *journal) take() (list []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		list = append(list, strings.TrimSpace(line))
	}
	j.text.Reset()
	return list
}

func logger(log *journal) *slog.Logger {
	return slog.New(slog.NewTextHandler(log,
		&slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "since" {
				return slog.Attr{}
			}
			return a
		}}))
}

func TestWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		a := &fake{name: "a", prepared: []recovery.Prepared{
			orphan("T1", "D1", 1),
			orphan("T2", "D9", 2), orphan("T3", "", 3),
		}}
		b := &fake{name: "b", fails: map[string]error{"prepared": errors.New("no route")}}
		s := set(a, b, &fake{name: "d", id: "D1", records: map[string]bool{"T1": true}})
		w := recovery.Start(t.Context(), s, time.Minute, logger(&log))
		check := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, log.take()); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
		const inDoubt = `level=WARN msg="in doubt: a transaction is left prepared" database=a transaction=T2 name=p-T2 decider=D9 ` +
			`error="decided by D9, which is no database of this configuration"`
		const unreachable = `level=WARN msg="a database can't list its prepared transactions" database=b error="no route"`
		check(
			"the first pass",
			`level=WARN msg="finished prepared work of a committed transaction" database=a transaction=T1 name=p-T1 decider=D1`,
			`level=WARN msg="rolled back prepared work of a transaction that was not committed" database=a transaction=T3 name=p-T3`,
			inDoubt, unreachable,
		)
		want := recovery.Stats{
			InDoubt: 2, Finished: 1, Aborted: 1, Failures: 2, Passes: 1,
			LastPass: time.Now(),
		}
		if diff := cmp.Diff(want, w.Stats()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(59 * time.Minute)
		check("nothing has changed")
		time.Sleep(time.Minute)
		check("an hour later", inDoubt, unreachable)
		b.fails = nil
		s.Add(&fake{name: "late", id: "D9"})
		w.Ask()
		check(
			"all is well",
			`level=WARN msg="rolled back prepared work of a transaction that was not committed" database=a transaction=T2 name=p-T2 decider=D9`,
			`level=INFO msg="a database can list its prepared transactions again" database=b`,
		)
		if got := w.Stats(); got.InDoubt != 0 || got.Aborted != 2 || got.Passes != 62 {
			t.Errorf("got %+v", got)
		}
		w.Close()
		time.Sleep(time.Hour)
		check("closed")
	})
}

// Whoever ends while it recovers is not told of databases that could not be asked any more, but of
// what was done.
func TestWorkerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		a := &fake{name: "a", prepared: []recovery.Prepared{orphan("T1", "", 1)}}
		b := &fake{name: "b", fails: map[string]error{"prepared": errHang}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		w := recovery.Start(ctx, set(a, b), time.Minute, logger(&log))
		w.Close()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		want := []string{`level=WARN msg="rolled back prepared work of a transaction that was not committed" database=a transaction=T1 name=p-T1`}
		if diff := cmp.Diff(want, log.take()); diff != "" {
			t.Error(diff)
		}
		if got := w.Stats(); got.Passes != 0 || got.Failures != 0 || got.Aborted != 1 {
			t.Errorf("got %+v", got)
		}
	})
}

func ExampleSet() {
	// A database that was left with two prepared transactions, and one that was to decide over
	// both.
	accounts := &fake{
		name:     "accounts",
		prepared: []recovery.Prepared{orphan("T1", "D1", 1), orphan("T2", "D1", 2)},
	}
	orders := &fake{name: "orders", id: "D1", records: map[string]bool{"T1": true}}

	var databases recovery.Set
	databases.Add(accounts)
	databases.Add(orders)
	for _, f := range databases.Recover(context.Background(), recovery.Options{}) {
		fmt.Println(f.Participant, f.Prepared.Transaction, f.Verdict, f.Settled)
	}
	// Output:
	// accounts T1 finish true
	// accounts T2 abort true
}

// Progress is told of all prepared parts, those that can't be settled included.
func TestProgress(t *testing.T) {
	t.Parallel()
	var s recovery.Set
	s.Add(&fake{name: "a", prepared: []recovery.Prepared{orphan("T1", "D1", 1), orphan("T2", "D1", 2)}})
	s.Add(&fake{name: "b", prepared: []recovery.Prepared{orphan("T3", "D1", 1)}})
	done, total := -1, -1
	s.Recover(t.Context(), recovery.Options{Progress: func(d, n int) {
		if d < done || n < total || d > n {
			t.Errorf("%d of %d after %d of %d", d, n, done, total)
		}
		done, total = d, n
	}})
	if done != 3 || total != 3 {
		t.Errorf("got %d of %d, want 3 of 3", done, total)
	}
}
