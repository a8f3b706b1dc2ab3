package slowproxy_test

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/pasteline/pasteline/bench/slowproxy"
)

// echo starts a server that sends each line back.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				lines := bufio.NewReader(conn)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := conn.Write([]byte(line)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestProxyDelaysAndCounts(t *testing.T) {
	const delay, lines = 5 * time.Millisecond, 10
	proxy, err := slowproxy.Start(t.Context(), echo(t), delay)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for range lines {
		began := time.Now()
		if _, err := conn.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
		got, err := answers.ReadString('\n')
		if err != nil || got != "a line\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		if took := time.Since(began); took < 2*delay {
			t.Errorf("a round trip took %v, want at least %v", took, 2*delay)
		}
	}
	if got := proxy.Trips(); got != lines {
		t.Errorf("got %d round trips, want %d", got, lines)
	}
	if err := proxy.Close(); err != nil {
		t.Error(err)
	}
	if _, err := answers.ReadString('\n'); err == nil {
		t.Error("the connection is open after Close")
	}
}
