package site_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/pasteline/pasteline/internal/command/site"
)

// heapGoal is the size of the heap at which the collector runs next.
func heapGoal() uint64 {
	runtime.GC() // the goal is set at its end
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	return goal[0].Value.Uint64()
}

// A server has its ballast unless the environment or the program configures the collector.
func TestBallast(t *testing.T) { //nolint:paralleltest // it changes settings of the process
	unset := func(*testing.T) {}
	for _, tt := range []struct {
		name string
		set  func(*testing.T)
		want bool
	}{
		{"nothing is set", unset, true},
		{"GOGC", func(t *testing.T) { t.Helper(); t.Setenv("GOGC", "100") }, false},
		{"GOMEMLIMIT", func(t *testing.T) { t.Helper(); t.Setenv("GOMEMLIMIT", "1GiB") }, false},
		{"a percentage of the program", func(t *testing.T) {
			t.Helper()
			old := debug.SetGCPercent(50)
			t.Cleanup(func() { debug.SetGCPercent(old) })
		}, false},
		{"a limit of the program", func(t *testing.T) {
			t.Helper()
			old := debug.SetMemoryLimit(1 << 30)
			t.Cleanup(func() { debug.SetMemoryLimit(old) })
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			tt.set(t)
			ballast := site.NewBallast()
			if got := ballast != nil; got != tt.want {
				t.Fatalf("there is ballast: %t, want %t", got, tt.want)
			}
			if goal := heapGoal(); ballast != nil && goal < 2*site.BallastSize {
				t.Errorf("the collector runs at %d bytes, want %d or more", goal,
					2*site.BallastSize)
			}
			runtime.KeepAlive(ballast)
		})
	}
}

// A site has the ballast while it runs.
func TestSiteHasBallast(t *testing.T) {
	t.Parallel()
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the collector is configured in the environment")
	}
	ctx, cancel := context.WithCancel(t.Context())
	listening := func(context.Context, []net.Addr) (func(), error) {
		if goal := heapGoal(); goal < 2*site.BallastSize {
			t.Errorf("the collector runs at %d bytes, want %d or more", goal, 2*site.BallastSize)
		}
		cancel()
		return nil, nil
	}
	if err := site.Run(ctx, options(t, listening)); err != nil {
		t.Error(err)
	}
}
