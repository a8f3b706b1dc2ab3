package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// A bank is a database that outlives the processes of a test.
type bank struct {
	name    string
	id      string
	records map[string]bool
	broken  error

	mu       sync.Mutex // guards prepared
	prepared []recovery.Prepared
}

func (b *bank) Name() string { return b.name }

func (b *bank) Prepared(context.Context) ([]recovery.Prepared, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.prepared), b.broken
}

func (b *bank) Finish(_ context.Context, p recovery.Prepared) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepared = slices.DeleteFunc(b.prepared,
		func(other recovery.Prepared) bool { return other == p })
	return nil
}

func (b *bank) Abort(ctx context.Context, p recovery.Prepared) error { return b.Finish(ctx, p) }
func (b *bank) RecorderID() string                                   { return b.id }

func (b *bank) Decided(_ context.Context, transaction string) (bool, error) {
	return b.records[transaction], nil
}

func (b *bank) Settle(_ context.Context, transaction string) (bool, error) {
	return b.records[transaction], nil
}

func (b *bank) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.prepared)
}

// newBank has prepared parts of four transactions: committed, given up, at work, and decided by
// nobody who is known.
func newBank(name string) *bank {
	b := &bank{name: name, id: "D1", records: map[string]bool{"T1": true}}
	for i, recorder := range []string{"D1", "D1", "D1", "D9"} {
		b.prepared = append(b.prepared, recovery.Prepared{
			Name: fmt.Sprintf("p%d", i+1), Transaction: fmt.Sprintf("T%d", i+1), Recorder: recorder,
			Since: time.Date(2026, time.May, 1, 8, i, 0, 0, time.UTC), Orphan: i != 2,
		})
	}
	return b
}

// registerBanks adds an app that has a bank, and kinds of databases that can't prepare: never, and
// not yet.
func registerBanks(banks ...*bank) func(*pipeline.Registry) {
	return func(r *pipeline.Registry) {
		type settings struct {
			Bank string
			URIs string `ini:"uris"`
		}
		pipeline.App(r, "egg:test#bank", func(b *pipeline.Build, s settings) (http.Handler, error) {
			for _, bank := range banks {
				if s.Bank == "" || s.Bank == bank.name {
					b.Recover(bank)
				}
			}
			for uri := range strings.FieldsSeq(s.URIs) {
				if _, err := b.Storage(uri); err != nil {
					return nil, err
				}
			}
			return http.NotFoundHandler(), nil
		})
		for scheme, why := range map[string]error{
			"never":  nil,
			"notyet": errors.New("its server says no; write yes"),
		} {
			r.Engine(scheme, func(context.Context, *url.URL) (engine.Engine, error) {
				return &onePhase{memory.New("x").Engine(), why}, nil
			})
		}
	}
}

// onePhase can't prepare.
type onePhase struct {
	engine.Engine
	why error // it could be otherwise
}

func (*onePhase) CanPrepare() bool       { return false }
func (o *onePhase) WhyNotPrepare() error { return o.why }

const bankSite = `
[app:main]
use = egg:test#bank
[server:main]
use = egg:Paste#http
port = 0
`

func TestRecoverCommand(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, bankSite)
	const unknown = "in doubt: decided by D9, which is no database of this configuration"
	for _, tt := range []struct {
		name     string
		args     []string
		wantOut  string
		wantErrs string
		wantLeft int
	}{
		{
			"a dry run", []string{"--dry-run"}, `
DATABASE  TRANSACTION  PREPARED              RESULT
bank      T1           2026-05-01T08:00:00Z  to be committed
bank      T2           2026-05-01T08:01:00Z  to be rolled back
bank      T3           2026-05-01T08:02:00Z  in progress
bank      T4           2026-05-01T08:03:00Z  ` + unknown + `
`, "in doubt: 3; nothing was changed\n", 4,
		},
		{
			"for real", nil, `
DATABASE  TRANSACTION  PREPARED              RESULT
bank      T1           2026-05-01T08:00:00Z  committed
bank      T2           2026-05-01T08:01:00Z  rolled back
bank      T3           2026-05-01T08:02:00Z  in progress
bank      T4           2026-05-01T08:03:00Z  ` + unknown + `
`, "still in doubt: 1\n", 2,
		},
		{
			"by hand", []string{"--commit", "T4"}, `
DATABASE  TRANSACTION  PREPARED              RESULT
bank      T4           2026-05-01T08:03:00Z  committed
`, "", 3,
		},
		{
			"by hand, to see", []string{"--abort", "T4", "--dry-run"}, `
DATABASE  TRANSACTION  PREPARED              RESULT
bank      T4           2026-05-01T08:03:00Z  to be rolled back
`, "in doubt: 1; nothing was changed\n", 4,
		},
		{
			"by hand what decides itself",
			[]string{"--abort", "T1"},
			"\n",
			"transaction T1 can't be settled by hand: D1, which decides it, is a database of " +
				"this configuration\n", 4,
		},
		{
			"by hand what is not there",
			[]string{"--abort", "T7"},
			"\n",
			"nothing is prepared of a transaction \"T7\"\n", 4,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBank("bank")
			code, out, errs := run(t, "", append([]string{"recover", path}, tt.args...),
				registerBanks(b))
			if diff := cmp.Diff(tt.wantOut, "\n"+out); diff != "" {
				t.Error(diff)
			}
			if errs != tt.wantErrs || (code == serve.ExitOK) != (errs == "") {
				t.Errorf("got %d, %q, want %q", code, errs, tt.wantErrs)
			}
			if got := b.left(); got != tt.wantLeft {
				t.Errorf("%d are left, want %d", got, tt.wantLeft)
			}
		})
	}
	code, out, errs := run(t, "", []string{"recover", path, "--commit", "T1", "--abort", "T1"},
		registerBanks())
	if code != serve.ExitUsage || out != "" ||
		!strings.Contains(errs, "--commit and --abort exclude each other") {
		t.Errorf("got %d, %q, %q", code, out, errs)
	}
}

func TestRecoverJSON(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, bankSite)
	broken := &bank{name: "another", id: "D2", broken: errors.New("no route")}
	code, out, errs := run(t, "", []string{"recover", path, "--json"},
		registerBanks(newBank("bank"), broken))
	if code != serve.ExitFailed || errs != "still in doubt: 2\n" {
		t.Errorf("got %d, %q", code, errs)
	}
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	want := []map[string]any{
		{
			"database": "another", "verdict": "unknown", "settled": false, "in_doubt": true,
			"error": "no route",
		},
		{
			"database": "bank", "transaction": "T1", "name": "p1", "decider": "D1",
			"since": "2026-05-01T08:00:00Z", "verdict": "finish", "settled": true,
			"in_doubt": false,
		},
		{
			"database": "bank", "transaction": "T2", "name": "p2", "decider": "D1",
			"since": "2026-05-01T08:01:00Z", "verdict": "abort", "settled": true,
			"in_doubt": false,
		},
		{
			"database": "bank", "transaction": "T3", "name": "p3", "decider": "D1",
			"since": "2026-05-01T08:02:00Z", "verdict": "leave", "settled": false,
			"in_doubt": false,
		},
		{
			"database": "bank", "transaction": "T4", "name": "p4", "decider": "D9",
			"since": "2026-05-01T08:03:00Z", "verdict": "unknown", "settled": false,
			"in_doubt": true,
			"error":    "decided by D9, which is no database of this configuration",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A server settles what it finds before it listens, and looks at once into what a reload has
// brought.
func TestServerRecovers(t *testing.T) {
	t.Parallel()
	one, two := newBank("one"), newBank("two")
	w := newWorkshopWith(t, registerBanks(one, two), strings.Replace(bankSite, "#bank\n",
		"#bank\nbank = one\n", 1))
	if got := one.left(); got != 2 {
		t.Errorf("it listens, and %d are left, want 2", got)
	}
	if got := two.left(); got != 4 {
		t.Errorf("a database of no app: %d are left, want 4", got)
	}
	w.waitForLog(`msg="finished prepared work of a committed transaction" database=one `+
		`transaction=T1`, 1)
	w.waitForLog(`msg="in doubt: a transaction is left prepared" database=one transaction=T4`, 1)
	w.write("site.ini", strings.Replace(bankSite, "#bank\n", "#bank\nbank = two\n", 1))
	w.reload <- struct{}{}
	w.wait("the second bank is settled", func() bool { return two.left() == 2 })
}

// That two databases can't be in one transaction is found when they are opened, if it could be
// otherwise.
func TestTwoPhaseIsChecked(t *testing.T) {
	t.Parallel()
	const fault = "a transaction that writes to more than one of never://a and notyet://b can't " +
		"be committed: storage: notyet://b: its server says no; write yes"
	right, wrong := strings.Replace(bankSite, "#bank\n", "#bank\nuris = never://a never://c\n",
		1), strings.Replace(bankSite, "#bank\n", "#bank\nuris = never://a notyet://b\n", 1)
	_, path := writeSite(t, wrong)
	for _, args := range [][]string{{path}, {"check", path}} {
		if code, _, errs := run(t, "", args, registerBanks()); code != serve.ExitFailed ||
			errs != fault+"\n" {
			t.Errorf("%q: got %d, %q", args, code, errs)
		}
	}
	_, path = writeSite(t, right)
	if code, _, errs := run(t, "", []string{"check", path}, registerBanks()); code != serve.ExitOK {
		t.Errorf("got %d, %q", code, errs)
	}
	w := newWorkshopWith(t, registerBanks(), right)
	w.write("site.ini", wrong)
	w.reload <- struct{}{}
	w.waitForLog("not reloaded, the old pipeline goes on", 1)
	w.waitForLog(fault, 1)
	// What is to be replaced does not count.
	w.write("site.ini", strings.Replace(bankSite, "#bank\n", "#bank\nuris = notyet://b\n", 1))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 1)
}

// The app vars knows what was done; no other has to be asked.
func TestRecoveryIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, registerBanks(newBank("bank")), `
[composite:main]
use = egg:Paste#urlmap
/ = bank
/vars = egg:pasteline#vars
[app:bank]
use = egg:test#bank
[server:main]
use = egg:Paste#http
port = 0
`)
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(w.get("/vars")), &got); err != nil {
		t.Fatal(err)
	}
	var stats recovery.Stats
	if err := json.Unmarshal(got["pasteline.recovery"], &stats); err != nil || stats.Passes == 0 {
		t.Errorf("got %v, %s", err, got["pasteline.recovery"])
	}
	var gauges map[string]map[string]float64
	if err := json.Unmarshal(got["pasteline.storage"], &gauges); err != nil {
		t.Errorf("got %v, %s", err, got["pasteline.storage"])
	}
}
