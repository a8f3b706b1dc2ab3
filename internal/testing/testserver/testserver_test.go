//go:build unix

package testserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

// server is a server of two processes, which says their ids. (In the background, the second would ignore SIGQUIT.)
const server = `sh -c 'echo ready $PPID $$; exec sleep 1000'; true`

// TestMain runs the tests, or is a process with a server that ends in one way or another.
func TestMain(m *testing.M) {
	if end := os.Getenv("TESTSERVER_END"); end != "" {
		if err := own(end); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// own starts a server, says what it is, and ends when it is told to, as it was told to.
func own(end string) error {
	home, err := testserver.NewHome("", "postgres")
	if err != nil {
		return err
	}
	p, err := home.Start("\n", "/bin/sh", "-c", server)
	if err != nil {
		return err
	}
	fmt.Print(home.Dir, " ", home.Log())
	_, _ = io.Copy(io.Discard, os.Stdin)
	switch end {
	case "panic":
		panic("as a test does")
	case "exit while the server is stopped":
		return p.Signal(syscall.SIGSTOP)
	}
	return nil
}

// checkGone waits until a folder is removed, which is the last thing that happens, and looks for the processes.
func checkGone(t *testing.T, dir string, pids ...int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s is still there", dir)
		}
	}
	for _, pid := range pids {
		if runs, err := testserver.Runs(pid); err != nil || runs {
			t.Errorf("process %d: running %v, %v; want that it is gone", pid, runs, err)
		}
	}
}

func TestNothingOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"exit", "exit while the server is stopped", "panic", "kill -9"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), "TESTSERVER_END="+end)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var dir string
			var first, second int
			if _, err := fmt.Sscanf(line, "%s ready %d %d", &dir, &first, &second); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			for _, pid := range []int{first, second} {
				if runs, err := testserver.Runs(pid); err != nil || !runs {
					t.Fatalf("process %d: running %v, %v; want that it runs", pid, runs, err)
				}
			}
			if end == "kill -9" {
				err = cmd.Process.Kill()
			} else {
				err = stdin.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it does not end well
			checkGone(t, dir, first, second)
		})
	}
}

func newHome(t *testing.T) *testserver.Home {
	t.Helper()
	return newHomeIn(t, "")
}

func newHomeIn(t *testing.T, parent string) *testserver.Home {
	t.Helper()
	home, err := testserver.NewHome(parent, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		home.Close()
		checkGone(t, home.Dir)
	})
	return home
}

// Nobody refers to the home of a server that the whole process shares; its pipes must stay open all the same.
func TestHomeIsKept(t *testing.T) {
	t.Parallel()
	made := func() weak.Pointer[testserver.Home] {
		home, err := testserver.NewHome("", "postgres")
		if err != nil {
			t.Fatal(err)
		}
		return weak.Make(home)
	}()
	runtime.GC()
	home := made.Value()
	if home == nil {
		t.Fatal("the home was collected; the watchdog will end its server")
	}
	home.Close()
	checkGone(t, home.Dir)
}

func TestKill(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	p, err := home.Start("\n", "/bin/sh", "-c", server)
	if err != nil {
		t.Fatal(err)
	}
	var first, second int
	if _, err := fmt.Sscanf(home.Log(), "ready %d %d", &first, &second); err != nil {
		t.Fatalf("%q: %v", home.Log(), err)
	}
	if first != p.Pid() {
		t.Errorf("got %d as the first process, want %d", p.Pid(), first)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{first, second} {
		if runs, err := testserver.Runs(pid); err != nil || runs {
			t.Errorf("process %d: running %v, %v; want that it is gone", pid, runs, err)
		}
	}
	<-p.Ended()
	// Both are nothing to complain about.
	if err := p.Kill(); err != nil {
		t.Errorf("killed twice: got %v", err)
	}
	if err := p.Signal(os.Interrupt); err != nil {
		t.Errorf("told to end after it was killed: got %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, script, want string
		portInUse          bool
	}{
		{"it ends", `echo one; echo two >&2; exit 3`, "ended before it was ready\none\ntwo\n", false},
		{"its port is in use", `echo 'bind: Address already in use'`, "the port is in use\nbind: Address already in use\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newHome(t).Start("started", "/bin/sh", "-c", tt.script)
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) || errors.Is(err, testserver.ErrPortInUse) != tt.portInUse {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A folder in memory is removed like one among the temporary files.
func TestMemory(t *testing.T) {
	t.Parallel()
	parent := testserver.Memory()
	if parent == "" {
		t.Skip("this system has no folder in memory, or a small one")
	}
	home := newHomeIn(t, parent)
	if filepath.Dir(home.Dir) != parent {
		t.Errorf("the folder is %s, want one in %s", home.Dir, parent)
	}
	if err := home.Run("/bin/sh", "-c", "echo mine >file"); err != nil {
		t.Error(err)
	}
}

// Servers refuse to run as root.
func TestAccount(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	if err := home.Run("/bin/sh", "-c", `test "$(id -u)" != 0 && test "$(pwd -P)" = "$(cd "$0" && pwd -P)" && echo mine >file`, home.Dir); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(home.Dir, "file")); err != nil || string(text) != "mine\n" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := home.Run("/bin/sh", "-c", `echo no; exit 1`); err == nil || err.Error() != "/bin/sh: exit status 1\nno\n" {
		t.Errorf("got %v", err)
	}
}
