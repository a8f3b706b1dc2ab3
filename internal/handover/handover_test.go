//go:build unix

package handover_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/handover"
)

// programVariable makes the test binary the program: the names of the sockets that it opens.
const programVariable = "HANDOVER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if names := os.Getenv(programVariable); names != "" {
		program(strings.Fields(names))
		return
	}
	os.Exit(m.Run())
}

// program listens, prints the addresses, and answers each connection with its process id, until its
// standard input ends.
func program(names []string) {
	for _, name := range names {
		l, err := handover.Listen(name, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(l.Addr())
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(conn, os.Getpid())
				conn.Close()
			}
		}()
	}
	handover.Settle()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// A process of the program, and its addresses by the names.
type process struct {
	*exec.Cmd
	stdin io.Closer
	addrs map[string]string
}

func start(t *testing.T, k *handover.Keeper, names ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), programVariable+"="+strings.Join(names, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	p := &process{cmd, stdin, map[string]string{}}
	lines := bufio.NewScanner(stdout)
	for _, name := range names {
		if !lines.Scan() {
			t.Fatal("the program has ended")
		}
		p.addrs[name] = lines.Text()
	}
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	p.stdin.Close()
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

// answer reads the process id that answers on a connection.
func answer(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// refused waits until an address refuses connections.
func refused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("%s is still open", addr)
		}
	}
}

// A connection that is made while no process runs is answered by the next one, at the same address.
// A socket that the next process does not want, and all after Release, are closed.
func TestKeeper(t *testing.T) {
	t.Parallel()
	k, err := handover.NewKeeper()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	first := start(t, k, "a", "b")
	if got := answer(t, dial(t, first.addrs["a"])); got != fmt.Sprint(first.Process.Pid) {
		t.Errorf("answered by %s", got)
	}
	first.stop(t)
	waiting := dial(t, first.addrs["a"])

	second := start(t, k, "a", "c")
	if got := answer(t, waiting); got != fmt.Sprint(second.Process.Pid) {
		t.Errorf("answered by %s, want the second process", got)
	}
	if second.addrs["a"] != first.addrs["a"] {
		t.Errorf("the address has changed from %s to %s", first.addrs["a"], second.addrs["a"])
	}
	refused(t, first.addrs["b"])
	second.stop(t)
	waiting = dial(t, second.addrs["c"])

	third := start(t, k, "c")
	if got := answer(t, waiting); got != fmt.Sprint(third.Process.Pid) {
		t.Errorf("answered by %s, want the third process", got)
	}
	third.stop(t)
	k.Release()
	refused(t, third.addrs["c"])
}
