package serve_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"github.com/pasteline/pasteline/serve"
)

// heapGoal is the size of the heap at which the collector runs next.
func heapGoal() uint64 {
	runtime.GC() // the goal is set at its end
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	return goal[0].Value.Uint64()
}

// The collector leaves a server room, as long as nobody has told it otherwise.
func TestHeadroom(t *testing.T) { //nolint:paralleltest // it sets what is the process's
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
			room := serve.Headroom()
			if got := room != nil; got != tt.want {
				t.Fatalf("there is headroom: %t, want %t", got, tt.want)
			}
			if goal := heapGoal(); room != nil && goal < 2*serve.HeadroomSize {
				t.Errorf("the collector runs at %d bytes, want %d or more", goal,
					2*serve.HeadroomSize)
			}
			runtime.KeepAlive(room)
		})
	}
}

// A server has it for as long as it runs.
func TestServerHasHeadroom(t *testing.T) {
	t.Parallel()
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the collector was told what to do")
	}
	dir, path := writeSite(t, site)
	ctx, cancel := context.WithCancel(t.Context())
	closed := false
	code := make(chan int, 1)
	go func() {
		code <- serve.Run(ctx, []string{
			path, "who=world", "--addr-file",
			filepath.Join(dir, "addr"),
		}, serve.Stdio{}, register(&closed))
	}()
	waitFor(t, filepath.Join(dir, "addr"))
	if goal := heapGoal(); goal < 2*serve.HeadroomSize {
		t.Errorf("the collector runs at %d bytes, want %d or more", goal, 2*serve.HeadroomSize)
	}
	cancel()
	if got := <-code; got != serve.ExitOK {
		t.Errorf("exit code %d, want 0", got)
	}
}
