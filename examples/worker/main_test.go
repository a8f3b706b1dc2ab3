package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

// The test binary is the command, when a test runs it as one.
func TestMain(m *testing.M) {
	if os.Getenv("WORKER_MAIN") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func worker(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), args, &out, t.Output()); err != nil {
		t.Fatalf("worker %v: %v", args[1:], err)
	}
	return out.String()
}

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func jobs(t *testing.T, conn *pgx.Conn, state string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM job WHERE state = $1",
		state).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWorker(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	long := strings.Repeat("x", 41)
	worker(t, uri, "add", "to be or not to be", "that is "+long, "To be is to do")
	worker(t, uri, "drain")
	worker(t, uri, "drain") // nothing is left
	const want = "3 be\n1 do\n1 is\n1 not\n1 or\n4 to\n"
	if got := worker(t, uri, "words"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	var reason string
	if err := connect(t, uri).QueryRow(t.Context(),
		"SELECT error FROM job WHERE state = 'failed'").Scan(&reason); err != nil {
		t.Fatal(err)
	}
	if want := `"xxxxxxxxxx"...: words have up to 40 bytes`; reason != want {
		t.Errorf("why a job failed: got %q, want %q", reason, want)
	}
}

func TestWorkersAtOnce(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	const n = 40
	add(t, uri, n)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { worker(t, uri, "drain") })
	}
	wg.Wait()
	if got, want := worker(t, uri, "words"), fmt.Sprintf("%d again\n", n); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// add adds n jobs that all want to count the same word.
func add(t *testing.T, uri string, n int) {
	t.Helper()
	args := []string{uri, "add"}
	for range n {
		args = append(args, "again")
	}
	worker(t, args...)
}

// Workers that are killed, as by kill -9, leave no job half done and do none twice.
func TestWorkersAreKilled(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	const n = 300
	add(t, uri, n)
	conn := connect(t, uri)
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	for round := range 5 {
		victims := make([]*exec.Cmd, 2)
		for i := range victims {
			victims[i] = exec.CommandContext(t.Context(), os.Args[0], uri, "work")
			victims[i].Env = append(os.Environ(), "WORKER_MAIN=1")
			if err := victims[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for jobs(t, conn, "done") < (round+1)*20 {
			<-ticks.C
		}
		for _, victim := range victims {
			if err := victim.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = victim.Wait() // it was killed
		}
	}
	if left := jobs(t, conn, "new"); left == 0 {
		t.Error("the jobs were done before the workers were killed")
	}
	worker(t, uri, "drain")
	if got, want := worker(t, uri, "words"), fmt.Sprintf("%d again\n", n); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if done := jobs(t, conn, "done"); done != n {
		t.Errorf("%d jobs are done, want %d", done, n)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"postgres://localhost/site"}} {
		err := run(t.Context(), args, t.Output(), t.Output())
		if !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v, want %v", args, err, errUsage)
		}
	}
}
