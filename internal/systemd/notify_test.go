//go:build unix

package systemd_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/systemd"
)

// supervisor listens as systemd does.
func supervisor(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	message := make([]byte, 4096)
	n, err := conn.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(message[:n])
}

// socketFile returns a path that is short enough for a unix socket.
func socketFile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // the path of t.TempDir has the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "notify")
}

func environment(variables ...string) func(string) string {
	return func(name string) string {
		for _, v := range variables {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	sockets := []string{socketFile(t)}
	if runtime.GOOS == "linux" {
		sockets = append(sockets, fmt.Sprintf("@pasteline-notify-%d", os.Getpid()))
	}
	for _, socket := range sockets {
		t.Run(socket[:1], func(t *testing.T) {
			t.Parallel()
			conn := supervisor(t, socket)
			n, err := systemd.NewNotifier(environment("NOTIFY_SOCKET=" + socket))
			if err != nil {
				t.Fatal(err)
			}
			clock := ""
			if runtime.GOOS == "linux" {
				clock = "MONOTONIC_USEC=[1-9][0-9]*\n"
			}
			for _, m := range []struct {
				send func() error
				want string
			}{
				{func() error { return n.Ready("serving") }, "READY=1\nSTATUS=serving\n"},
				{func() error { return n.Reloading("a\nREADY=1\r\xff") }, "RELOADING=1\n" + clock + "STATUS=a READY=1 \uFFFD\n"},
				{n.Alive, "WATCHDOG=1\n"},
				{func() error { return n.Stopping("") }, "STOPPING=1\nSTATUS=\n"},
			} {
				if err := m.send(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, conn); !regexp.MustCompile(`\A` + m.want + `\z`).MatchString(got) {
					t.Errorf("got %q, want %q", got, m.want)
				}
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	pid := fmt.Sprintf("WATCHDOG_PID=%d", os.Getpid())
	other := fmt.Sprintf("WATCHDOG_PID=%d", os.Getppid())
	tests := []struct {
		name         string
		environment  []string
		wantNotifier bool
		wantInterval time.Duration
		wantErr      string
	}{
		{"nothing", nil, false, 0, ""},
		{"a watchdog without a socket", []string{"WATCHDOG_USEC=1000"}, false, 0, ""},
		{"no watchdog", []string{"NOTIFY_SOCKET=/run/n"}, true, 0, ""},
		{"a watchdog", []string{"NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=3000000"}, true, 1500 * time.Millisecond, ""},
		{"that of this process", []string{"NOTIFY_SOCKET=@n", "WATCHDOG_USEC=3000000", pid}, true, 1500 * time.Millisecond, ""},
		{"that of another process", []string{"NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=3000000", other}, true, 0, ""},
		{"no number", []string{"NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=30s"}, true, 0, "WATCHDOG_USEC=30s: want a number of microseconds above 0"},
		{"none at all", []string{"NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=0"}, true, 0, "WATCHDOG_USEC=0: want"},
		{"too many", []string{"NOTIFY_SOCKET=/run/n", "WATCHDOG_USEC=18446744073709551615"}, true, 0, "WATCHDOG_USEC=18446744073709551615: want"},
		{"a relative path", []string{"NOTIFY_SOCKET=run/n"}, false, 0, "NOTIFY_SOCKET=run/n: want an absolute path, or @ and a name"},
		{"another protocol", []string{"NOTIFY_SOCKET=vsock:2:1"}, false, 0, "NOTIFY_SOCKET=vsock:2:1: want"},
		{"no name", []string{"NOTIFY_SOCKET=@"}, false, 0, "NOTIFY_SOCKET=@: want"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, err := systemd.NewNotifier(environment(tt.environment...))
			if (n != nil) != tt.wantNotifier || n.Interval() != tt.wantInterval {
				t.Errorf("got %v, with an interval of %v", n, n.Interval())
			}
			if err == nil && tt.wantErr != "" || err != nil && (tt.wantErr == "" || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("got error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	socket := socketFile(t)
	n, err := systemd.NewNotifier(environment("NOTIFY_SOCKET=" + socket))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), socket) {
		t.Errorf("got %v, want an error that names %s", err, socket)
	}
}

// A notification waits for room in the socket, but not for ever.
func TestFullSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other systems refuse a datagram at once")
	}
	socket := socketFile(t)
	supervisor(t, socket)
	n, err := systemd.NewNotifier(environment("NOTIFY_SOCKET=" + socket))
	if err != nil {
		t.Fatal(err)
	}
	for range 1 << 12 {
		if err = n.Alive(); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("got %v, want that the time is over", err)
	}
}
