package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
)

// soon bounds what has to happen some time.
const soon = 20 * time.Second

// A running server, which its test shuts down.
type running struct {
	*server.Server
	addr   string
	served chan error
}

func run(t *testing.T, c server.Config, log io.Writer, h http.HandlerFunc) running {
	t.Helper()
	s, err := server.New(c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := running{s, addrs[0].String(), make(chan error, 1)}
	go func() { r.served <- s.Serve(h) }()
	return r
}

// end shuts the server down, which has to go well.
func (r running) end(t *testing.T) {
	t.Helper()
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-r.served; err != nil {
		t.Error(err)
	}
}

// connect sends text as it is.
func (r running) connect(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func within[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatal("it never came")
		panic("unreachable")
	}
}

// A client that takes nothing is given up, however large a single write is.
func TestClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s := run(t, server.Config{WriteTimeout: 50 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 8<<20)); err != nil {
					failed <- err
					return
				}
			}
		})
	s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := within(t, failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline that was exceeded", err)
	}
	s.end(t)
}

// A stream lives much longer than the limit of a write, and so does a client that takes a large
// answer slowly.
func TestStreamOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	const events, interval = 12, 100 * time.Millisecond
	s := run(t, server.Config{WriteTimeout: 500 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for i := range events {
				fmt.Fprintf(w, "%d\n", i)
				if err := control.Flush(); err != nil {
					t.Error(err)
					return
				}
				<-tick.C
			}
		})
	response, err := http.Get("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || strings.Count(string(text), "\n") != events {
		t.Errorf("got %q, %v, want %d lines", text, err, events)
	}
	s.end(t)
}

// A handler's own, stricter deadline holds.
func TestDeadlineOfAHandler(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s := run(t, server.Config{WriteTimeout: time.Hour}, io.Discard,
		func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				failed <- err
				return
			}
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					failed <- err
					return
				}
			}
		})
	s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := within(t, failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline that was exceeded", err)
	}
	s.end(t)
}

// A client that stops in the middle of a body is given up; also when the handler does not read it
// at all.
func TestClientThatStopsSending(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("reads=%t", reads), func(t *testing.T) {
			t.Parallel()
			failed := make(chan error, 1)
			s := run(t, server.Config{ReadTimeout: 50 * time.Millisecond}, io.Discard,
				func(_ http.ResponseWriter, r *http.Request) {
					if reads {
						_, err := io.Copy(io.Discard, r.Body)
						failed <- err
					}
				})
			c := s.connect(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
			if reads {
				if err := within(t, failed); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want a deadline that was exceeded", err)
				}
			}
			if _, err := io.Copy(io.Discard, c); err != nil { // until the server closes it
				t.Errorf("the connection was left open: %v", err)
			}
			s.end(t)
		})
	}
}

// A client that has stopped is waited for once, although the handler reads again, and net/http
// reads what is left.
func TestStalledUploadIsAwaitedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Minute
		client, connection := net.Pipe()
		began := time.Now()
		s := newServer(t, server.Config{ReadTimeout: timeout})
		l := &oneConn{conns: make(chan net.Conn, 1)}
		l.conns <- connection
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = s.ServeListener(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for range 2 {
					if _, err := io.Copy(io.Discard, r.Body); !errors.Is(err,
						os.ErrDeadlineExceeded) {
						t.Errorf("got %v, want a deadline that was exceeded", err)
					}
				}
				w.WriteHeader(http.StatusBadRequest)
			}))
		}()
		go io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
		_, _ = io.Copy(io.Discard, client) // until the server closes it
		if took := time.Since(began); took < timeout || took > timeout+timeout/2 {
			t.Errorf("the connection was held for %v", took)
		}
		_ = client.Close()
		_ = l.Close()
		<-done
	})
}

// A oneConn listens for one connection.
type oneConn struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

// A deadline that a handler sets when it has read the body does not make net/http take the client
// for gone.
func TestReadDeadlineAfterTheBody(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			s := run(t, server.Config{H2C: true}, io.Discard,
				func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
						t.Error(err)
					}
					select {
					case <-r.Context().Done():
						t.Errorf("%s: the context was cancelled while the client waited", method)
					case <-time.After(100 * time.Millisecond):
					}
					fmt.Fprint(w, "done")
				})
			var protocols http.Protocols
			protocols.SetHTTP1(!http2)
			protocols.SetUnencryptedHTTP2(http2)
			client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr,
				strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, text := read(t, answer); text != "done" {
				t.Errorf("HTTP/2 %v, %s: got %q", http2, method, text)
			}
			client.CloseIdleConnections()
			s.end(t)
		}
	}
}

// A deadline that a handler sets before it reads holds, although each piece has one of its own.
func TestReadDeadlineOfAHandler(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s := run(t, server.Config{}, io.Discard, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := io.Copy(io.Discard, r.Body)
		failed <- err
	})
	s.connect(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
	if err := within(t, failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline that was exceeded", err)
	}
	s.end(t)
}

// An upload may take much longer than the read timeout, as long as it goes on.
func TestUploadOutlivesTheReadTimeout(t *testing.T) {
	t.Parallel()
	const pieces, interval = 12, 100 * time.Millisecond
	s := run(t, server.Config{ReadTimeout: 500 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%d %v", n, err)
		})
	c := s.connect(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nConnection: "+
		"close\r\nContent-Length: %d\r\n\r\n", pieces))
	for range pieces {
		<-time.After(interval)
		if _, err := io.WriteString(c, "x"); err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "12 <nil>" {
		t.Errorf("got %q, %v", text, err)
	}
	s.end(t)
}

// The read timeout is for the body alone: when that has come, a handler may take its time.
func TestHandlerOutlivesTheReadTimeout(t *testing.T) {
	t.Parallel()
	s := run(t, server.Config{ReadTimeout: 30 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				t.Error("the context was cancelled while the client waited")
			case <-time.After(150 * time.Millisecond):
			}
			fmt.Fprint(w, "done")
		})
	response, err := http.Post("http://"+s.addr, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "done" {
		t.Errorf("got %q, %v", text, err)
	}
	s.end(t)
}

func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	s := run(t, server.Config{MaxHeaderBytes: 1 << 10, ReadHeaderTimeout: 50 * time.Millisecond},
		io.Discard, func(http.ResponseWriter, *http.Request) {
			t.Error("the handler was called")
		})
	large := s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\nCookie: "+strings.Repeat("x",
		64<<10)+"\r\n\r\n")
	if line, err := bufio.NewReader(large).ReadString('\n'); err != nil ||
		!strings.Contains(line, "431") {
		t.Errorf("a large header: got %q, %v, want 431", line, err)
	}
	slow := s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n")
	if _, err := io.Copy(io.Discard, slow); err != nil {
		t.Errorf("a slow header: the connection was left open: %v", err)
	}
	s.end(t)
}

// A panic ends one connection and is logged with its stack; the server goes on.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var calls atomic.Int64
	s := run(t, server.Config{}, &log, func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch r.URL.Path {
		case "/panic":
			panic("what now")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
	})
	for _, path := range []string{"/panic", "/abort", "/"} {
		response, err := http.Get("http://" + s.addr + path)
		if (err == nil) != (path != "/abort") {
			t.Errorf("%s: got %v", path, err)
		}
		if err == nil {
			response.Body.Close()
			if (response.StatusCode == http.StatusInternalServerError) != (path == "/panic") {
				t.Errorf("%s: got %s", path, response.Status)
			}
		}
	}
	s.end(t)
	if n := strings.Count(log.String(), "a handler panicked"); n != 1 {
		t.Errorf("logged %d panics, want 1: aborting is no fault\n%s", n, log.String())
	}
	for _, want := range []string{
		"level=ERROR", `panic="what now"`, "path=/panic",
		"limits_test.go",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log.String())
		}
	}
}

// When the time to shut down is over, handlers are told by their context, and have returned when
// Shutdown does.
func TestShutdownCutsOff(t *testing.T) {
	t.Parallel()
	called := make(chan struct{})
	var returned atomic.Bool
	s := run(t, server.Config{ShutdownTimeout: 50 * time.Millisecond}, io.Discard,
		func(_ http.ResponseWriter, r *http.Request) {
			close(called)
			<-r.Context().Done()
			returned.Store(true)
		})
	s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	within(t, called)
	if err := s.Shutdown(t.Context()); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "1 request") {
		t.Errorf("got %v, want that 1 request was cut off", err)
	}
	if !returned.Load() {
		t.Error("the handler still runs")
	}
	if err := <-s.served; err != nil {
		t.Error(err)
	}
}

// A hijacked connection is nobody's but its handler's, which Shutdown waits for all the same.
func TestShutdownWaitsForHijackers(t *testing.T) {
	t.Parallel()
	called, goOn := make(chan struct{}), make(chan struct{})
	s := run(t, server.Config{}, io.Discard, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		close(called)
		<-goOn
		if _, err := io.WriteString(c, "bye"); err != nil {
			t.Error(err)
		}
		c.Close()
	})
	c := s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	within(t, called)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	if err := <-s.served; err != nil { // Serve returns at once
		t.Error(err)
	}
	close(goOn)
	if text, err := io.ReadAll(c); err != nil || string(text) != "bye" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := within(t, stopped); err != nil {
		t.Error(err)
	}
}

func TestWrongOrder(t *testing.T) {
	t.Parallel()
	s, err := server.New(server.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(http.NotFoundHandler()); err == nil {
		t.Error("Serve without Listen: no error")
	}
	if _, err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context()); err == nil {
		t.Error("Listen twice: no error")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown before Serve: %v", err)
	}
	if err := s.Serve(http.NotFoundHandler()); err != nil {
		t.Errorf("Serve after Shutdown: got %v, want nil", err)
	}
}

// Shutdown may come at any time, also while Listen looks a name up; nothing is listened on after
// it.
func TestShutdownWhileListening(t *testing.T) {
	t.Parallel()
	for range 20 {
		s, err := server.New(server.Config{Listen: []string{"localhost:0", "127.0.0.1:0"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		listened := make(chan []net.Addr, 1)
		go func() {
			addrs, _ := s.Listen(t.Context())
			listened <- addrs
		}()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, addr := range within(t, listened) {
			if c, err := new(net.Dialer).DialContext(t.Context(), "tcp",
				addr.String()); err == nil {
				c.Close()
				t.Errorf("%v is still listened on", addr)
			}
		}
		if _, err := s.Listen(t.Context()); err == nil {
			t.Error("Listen after Shutdown: no error")
		}
	}
}

func TestListenErrorsNameTheSetting(t *testing.T) {
	t.Parallel()
	first := run(t, server.Config{}, io.Discard, func(http.ResponseWriter, *http.Request) {})
	var port int
	if _, err := fmt.Sscanf(first.addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatalf("%s: %v", first.addr, err)
	}
	for _, tt := range []struct {
		name   string
		config server.Config
		key    string
		want   string
	}{
		{"in use", server.Config{Port: port}, "port", "is in use"},
		{"not ours", server.Config{Host: "192.0.2.1"}, "host", "no such address"},
		{"no such name", server.Config{Host: "nobody.invalid"}, "host", "no address is known"},
	} {
		s, err := server.New(tt.config, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Listen(t.Context())
		fault, ok := errors.AsType[*pipeline.Error](err)
		if !ok || fault.Key != tt.key || !strings.Contains(fault.Error(), tt.want) {
			t.Errorf("%s: got %v, want a fault of %s that says %q", tt.name, err, tt.key, tt.want)
		}
	}
	first.end(t)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		config server.Config
		want   string // "" for no fault
	}{
		{"zero", server.Config{}, ""},
		{"IPv6", server.Config{Host: "[::1]"}, ""},
		{"a name", server.Config{Host: "localhost"}, ""},
		{"a URL", server.Config{Host: "http://x/"}, "leave out the scheme"},
		{"port", server.Config{Port: 65536}, "0 to 65535"},
		{"negative", server.Config{ReadTimeout: -1}, "read_timeout"},
		{"header", server.Config{MaxHeaderBytes: -1}, "max_header_bytes"},
	} {
		err := tt.config.Validate()
		if (err == nil) != (tt.want == "") || err != nil &&
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// In HTTP/2 a client can leave a single answer unread while its connection is fine.
func TestHTTP2ClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s, client := runH2C(t, server.Config{WriteTimeout: 50 * time.Millisecond},
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/large" {
				fmt.Fprint(w, "fine")
				return
			}
			_, err := w.Write(make([]byte, 8<<20))
			failed <- err
		})
	unread, err := ask(t, client, "http://"+s.addr+"/large")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Body.Close()
	if err := within(t, failed); err == nil {
		t.Error("got no error, want that the answer could not be sent")
	}
	if status, text := get(t, client, "http://"+s.addr+"/"); status != http.StatusOK ||
		text != "fine" {
		t.Errorf("the next request: got %d %s", status, text)
	}
	s.end(t)
}

// The rest of an answer that the handler has left to the server has its limit, too.
func TestHTTP2ClientThatLeavesTheRest(t *testing.T) {
	t.Parallel()
	returned := make(chan struct{})
	s, client := runH2C(t, server.Config{WriteTimeout: 50 * time.Millisecond},
		func(w http.ResponseWriter, _ *http.Request) {
			defer close(returned)
			if _, err := w.Write(make([]byte, smallWindow)); err != nil {
				t.Error(err)
			}
			// net/http keeps so little until the handler returns
			if _, err := w.Write(make([]byte, 100)); err != nil {
				t.Error(err)
			}
		})
	unread, err := ask(t, client, "http://"+s.addr+"/")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Body.Close()
	within(t, returned)
	s.end(t) // which waits for the answer to be sent, or given up
}

// Over HTTP/2, too, a stream lives longer than the limit of a write, and so does a handler that
// takes its time.
func TestHTTP2StreamOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	const events, interval = 4, 150 * time.Millisecond
	s, client := runH2C(t, server.Config{WriteTimeout: 100 * time.Millisecond},
		func(w http.ResponseWriter, r *http.Request) {
			for i := range events {
				fmt.Fprintf(w, "%d\n", i)
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				select {
				case <-r.Context().Done():
					t.Error("the context was cancelled while the client waited")
				case <-time.After(interval):
				}
			}
		})
	if _, text := get(t, client, "http://"+s.addr); strings.Count(text, "\n") != events {
		t.Errorf("got %q, want %d lines", text, events)
	}
	s.end(t)
}

// A handler's own deadline holds over HTTP/2, also for what it leaves to the server.
func TestHTTP2DeadlineOfAHandler(t *testing.T) {
	t.Parallel()
	s, client := runH2C(t, server.Config{WriteTimeout: time.Hour, ShutdownTimeout: testLimit},
		func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			_, _ = w.Write(make([]byte, smallWindow))
			_, _ = w.Write(make([]byte, 100))
		})
	unread, err := ask(t, client, "http://"+s.addr+"/")
	if err != nil {
		t.Fatal(err)
	}
	defer unread.Body.Close()
	s.end(t)
}

// smallWindow is what the client of runH2C takes of an answer that it does not read.
const smallWindow = 64 << 10

// runH2C is run, for HTTP/2 without TLS, and a client for it.
func runH2C(t *testing.T, c server.Config, h http.HandlerFunc) (running, *http.Client) {
	t.Helper()
	c.H2C = true
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols,
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: smallWindow},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return run(t, c, io.Discard, h), &http.Client{Transport: transport}
}

// A browser opens connections before it needs them. Shutdown does not wait long for a first request
// on those.
func TestShutdownClosesNewConnections(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "GET / HT"} {
		t.Run(fmt.Sprintf("%q", text), func(t *testing.T) {
			t.Parallel()
			s := run(t, server.Config{ShutdownTimeout: 4 * time.Second}, io.Discard,
				func(http.ResponseWriter, *http.Request) {})
			s.NewGrace(10 * time.Millisecond)
			s.connect(t, text)
			s.accepted(t)
			s.end(t) // net/http alone waits for five seconds, and so fails
		})
	}
}

// A connection that was accepted before Shutdown has its first request answered. Net/http reads it,
// and closes the connection.
func TestShutdownAnswersTheFirstRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []server.Config{{}, {TLSSelfSigned: true}, {H2C: true}, {MaxConnections: 2}} {
		t.Run(fmt.Sprintf("TLS %t h2c %t limit %d", c.TLSSelfSigned, c.H2C, c.MaxConnections),
			func(t *testing.T) {
				t.Parallel()
				s := run(t, c, io.Discard, func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w,
						r.URL.Path)
				})
				s.NewGrace(testLimit)
				conn := s.connect(t, "")
				if c.TLSSelfSigned {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				if _, err := io.WriteString(conn, "GET /first HTTP/1.1\r\n"); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- s.Shutdown(t.Context()) }()
				if err := within(t, s.served); err != nil { // it accepts no more
					t.Error(err)
				}
				if _, err := io.WriteString(conn, "Host: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK\r\n") ||
					!strings.HasSuffix(string(answer), "/first") {
					t.Errorf("got %q, %v, want 200 and the end", answer, err)
				}
				if err := within(t, ended); err != nil {
					t.Error(err)
				}
			})
	}
}

// accepted waits until the server has accepted a connection: that which comes after it is answered.
func (r running) accepted(t *testing.T) {
	t.Helper()
	c := r.connect(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
}

// A client that still sends when it is refused gets the answer whole, and the end of the connection
// after it.
func TestRefusedClientGetsTheAnswer(t *testing.T) {
	t.Parallel()
	s := run(t, server.Config{MaxBodyBytes: 1 << 10}, io.Discard,
		func(http.ResponseWriter, *http.Request) {
			t.Error("the handler was called")
		})
	c := s.connect(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: "+
		"1000000\r\n\r\n"+strings.Repeat("x", 100<<10))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
		t.Errorf("got %.40q, %v, want 413 and the end", answer, err)
	}
	s.end(t)
}

// A file goes from the system to the system, whole or in part, and a client that stops taking it is
// given up.
func TestFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	// more than a piece, and less than the system's buffers
	content := bytes.Repeat([]byte("0123456789abcdef"), 300<<10/16)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s := run(t, server.Config{WriteTimeout: 50 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, name)
		})
	for header, want := range map[string][]byte{
		"": content, "bytes=10-99": content[10:100],
		"bytes=1-": content[1:], fmt.Sprintf("bytes=0-%d", 64<<10-1): content[:64<<10],
	} {
		if _, got := get(t, http.DefaultClient, "http://"+s.addr, "Range", header); got !=
			string(want) {
			t.Errorf("%s: got %d bytes, want %d", header, len(got), len(want))
		}
	}
	s.end(t)

	failed := make(chan error, 1)
	s = run(t, server.Config{WriteTimeout: 50 * time.Millisecond}, io.Discard,
		func(w http.ResponseWriter, _ *http.Request) {
			file, err := os.Open(os.Args[0])
			if err != nil {
				t.Error(err)
			}
			defer file.Close()
			for err == nil {
				if _, err = file.Seek(0, io.SeekStart); err == nil {
					_, err = w.(io.ReaderFrom).ReadFrom(file)
				}
			}
			failed <- err
		})
	s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := within(t, failed); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a deadline that was exceeded", err)
	}
	s.end(t)
}
