package pipeline_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// bank is a database that has something prepared.
type bank struct{}

func (*bank) Name() string { return "bank" }
func (*bank) Prepared(context.Context) ([]recovery.Prepared, error) {
	return []recovery.Prepared{{Name: "p1", Transaction: "T1"}}, nil
}
func (*bank) Finish(context.Context, recovery.Prepared) error { return nil }
func (*bank) Abort(context.Context, recovery.Prepared) error  { return nil }

// A database that a factory has opened itself is looked through for as long as its pipeline is
// open.
func TestRecover(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	pipeline.App(registry, "egg:bank", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.Recover(&bank{})
		return http.NotFoundHandler(), nil
	})
	p, err := pipeline.Load(t.Context(), "site.ini",
		text(registry, map[string]string{"site.ini": "[app:main]\nuse = egg:bank\n"}))
	if err != nil {
		t.Fatal(err)
	}
	found := func() int {
		return len(registry.Opener().Recovery().Recover(t.Context(),
			recovery.Options{DryRun: true}))
	}
	if got := found(); got != 1 {
		t.Errorf("open: got %d findings, want 1", got)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := found(); got != 0 {
		t.Errorf("closed: got %d findings, want 0", got)
	}
}
