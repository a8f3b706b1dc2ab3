package status_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction/recovery"
)

func Example() {
	site := new(status.Site)
	registry := pipeline.NewRegistry()
	status.Register(registry, site)
	pipeline.App(registry, "egg:acme#state", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		site := status.Of(b)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, site.Draining(), site.Loads().Reloads)
		}), nil
	})
	site.Reloaded(time.Now(), nil)
	site.Drain()
	fmt.Println(site.Draining(), site.Loads().Reloads)
	// Output: true 1
}

// A pipeline without a site has a nil Site.
func TestNil(t *testing.T) {
	t.Parallel()
	var s *status.Site
	_, runs := s.Recovery()
	if runs || s.Draining() || s.RecoveryStuck(time.Now()) || s.Loads() != (status.Loads{}) {
		t.Error("a nil Site knows something")
	}
}

func TestLoads(t *testing.T) {
	t.Parallel()
	s := new(status.Site)
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	s.Started(first)
	s.Reloaded(second, errors.New("a fault"))
	if got, want := s.Loads(), (status.Loads{Failures: 1, Failed: true, Last: first}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.Reloaded(second, nil)
	if got, want := s.Loads(), (status.Loads{Reloads: 1, Failures: 1, Last: second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Recovery is stuck if a database never answers, although its context is done.
func TestRecoveryStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(status.Site)
		set := new(recovery.Set)
		const interval = 30 * time.Second
		w := recovery.Start(t.Context(), set, interval, slog.New(slog.DiscardHandler))
		s.SetRecovery(w, interval)
		time.Sleep(time.Hour)
		synctest.Wait()
		if stats, runs := s.Recovery(); !runs || stats.Passes < 100 || s.RecoveryStuck(time.Now()) {
			t.Errorf("%+v, stuck: %v", stats, s.RecoveryStuck(time.Now()))
		}
		w.Close() // no pass ends any more
		time.Sleep(time.Minute)
		if s.RecoveryStuck(time.Now()) {
			t.Error("stuck after one minute")
		}
		time.Sleep(10 * time.Minute)
		if !s.RecoveryStuck(time.Now()) {
			t.Error("not stuck after ten minutes")
		}
	})
}
