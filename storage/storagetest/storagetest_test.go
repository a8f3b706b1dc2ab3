package storagetest_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/storagetest"
)

// A faulty engine has one fault, which the random test must detect.
type faulty struct {
	engine.Engine
	fault string
}

func (e faulty) Begin(ctx context.Context) (engine.View, error) {
	v, err := e.Engine.Begin(ctx)
	return &faultyView{v, e.fault}, err
}

type faultyView struct {
	engine.View
	fault string
}

func (v *faultyView) Commit(ctx context.Context, changes *engine.Changes) error {
	own := *changes
	c := &own
	switch v.fault {
	case "forgets reads":
		c.Reads = nil
	case "forgets ranges":
		c.Ranges = nil
	case "sees conflicts everywhere":
		if len(c.Reads) > 1 {
			return &storage.ConflictError{Bucket: "b", Key: []byte("k")}
		}
	case "does not delete":
		c.Writes = slices.DeleteFunc(c.Writes, func(w engine.Write) bool { return w.Value == nil })
	case "loses the last write":
		if len(c.Writes) > 1 {
			c.Writes = c.Writes[:len(c.Writes)-1]
		}
	}
	return v.View.Commit(ctx, c)
}

func (v *faultyView) Range(bucket string, r storage.Range) iter.Seq2[storage.Item, error] {
	switch v.fault {
	case "includes the end":
		if r.To != nil {
			r.To = append(slices.Clone(r.To), 0)
		}
	case "does not go backwards":
		r.Reverse = false
	}
	return v.View.Range(bucket, r)
}

func TestRandomFindsFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{
		"", "forgets reads", "forgets ranges", "sees conflicts everywhere", "does not delete", "loses the last write",
		"includes the end", "does not go backwards",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			found := false
			for seed := range uint64(20) {
				found = found || opsFail(t, seed, fault)
			}
			if found != (fault != "") {
				t.Errorf("found a fault: %t", found)
			}
		})
	}
}

// opsFail reports whether random work against an engine with a fault fails.
func opsFail(tb testing.TB, seed uint64, fault string) bool {
	tb.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	probe := &probe{TB: tb}
	good := memory.New("faulty")
	tb.Cleanup(func() { _ = good.Close() }) // after what Ops leaves open
	done := make(chan struct{})
	go func() { // which Fatalf ends
		defer close(done)
		db := storage.New("faulty", faulty{good.Engine(), fault})
		storagetest.Ops(probe, db, func() byte { return byte(random.UintN(256)) }, 400)
	}()
	<-done
	return probe.failed
}

// A probe is a test that may fail.
type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Failed() bool          { return p.failed }
func (p *probe) Error(...any)          { p.failed = true }
func (p *probe) Errorf(string, ...any) { p.failed = true }
func (p *probe) Fatal(...any)          { p.failed = true; runtime.Goexit() }
func (p *probe) Fatalf(string, ...any) { p.failed = true; runtime.Goexit() }

type m = map[string]string

func TestSerializable(t *testing.T) {
	t.Parallel()
	type transaction = [2]map[string]string // read, wrote
	for _, tt := range []struct {
		name         string
		transactions []transaction
		want         bool
	}{
		{"none", nil, true},
		{"one after the other", []transaction{{m{"a": ""}, m{"a": "1"}}, {m{"a": "1"}, m{"a": "2"}}}, true},
		{"whatever the order of the list", []transaction{{m{"a": "1"}, m{"a": "2"}}, {m{"a": ""}, m{"a": "1"}}}, true},
		{"lost update", []transaction{{m{"a": ""}, m{"a": "1"}}, {m{"a": ""}, m{"a": "2"}}}, false},
		{"write skew", []transaction{{m{"a": "", "b": ""}, m{"a": "1"}}, {m{"a": "", "b": ""}, m{"b": "2"}}}, false},
		{"old snapshot", []transaction{{m{"a": ""}, m{"a": "1"}}, {m{"b": ""}, m{"b": "2"}}, {m{"a": "", "b": ""}, nil}}, true},
		{"half of a transaction seen", []transaction{{m{"a": "", "b": ""}, m{"a": "1", "b": "1"}}, {m{"a": "1", "b": ""}, nil}}, false},
		{"two readers, two orders", []transaction{
			{m{"a": ""}, m{"a": "1"}},
			{m{"b": ""}, m{"b": "2"}},
			{m{"a": "1", "b": ""}, nil},
			{m{"a": "", "b": "2"}, nil},
		}, false},
	} {
		if got := storagetest.Serializable(tt.transactions...); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}
