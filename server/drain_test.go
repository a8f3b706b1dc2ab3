package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/server"
)

// A told log can be waited for.
type toldLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *toldLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *toldLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waitFor waits until the log has a text.
func (l *toldLog) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(l.String(), text); {
		if time.Now().After(deadline) {
			t.Fatalf("the log never said %s:\n%s", text, l.String())
		}
		<-time.After(time.Millisecond)
	}
}

// A shutdown that takes long says what it waits for, what it cuts off, and what goes on even then;
// without what may be secret.
func TestShutdownSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	var log toldLog
	s, err := server.New(server.Config{
		Listen:          []string{"127.0.0.1:0"},
		ShutdownTimeout: 500 * time.Millisecond,
	}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.Patience(time.Millisecond)
	began, forever := make(chan struct{}), make(chan struct{})
	addr := start(t, s, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		if r.URL.Path == "/deaf" {
			<-forever
		}
		<-r.Context().Done()
	}))[0].String()
	defer close(forever)
	for _, path := range []string{"/slow?token=secret", "/deaf"} {
		go func() {
			r, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
				"http://"+addr+path, http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		}()
		<-began
	}
	if err := s.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(),
		"2 requests were cut off") {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{
		`msg="shutting down waits for requests" requests=2 oldest="[GET \"/slow\" for `,
		`msg="the time to shut down is over, and requests are cut off" requests=2`,
		`msg="requests go on although their contexts are cancelled, and are left behind" ` +
			`requests=1 oldest="[GET \"/deaf\" for `,
	} {
		log.waitFor(t, want)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("got a query:\n%s", log.String())
	}
}

// A shutdown of an idle server succeeds, however the end of Serve interleaves with it.
func TestShutdownOfIdleServer(t *testing.T) {
	t.Parallel()
	for range 300 {
		s := newServer(t, server.Config{Listen: []string{"127.0.0.1:0"}})
		addrs, err := s.Listen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(http.NotFoundHandler()) }()
		conn, err := net.Dial(addrs[0].Network(), addrs[0].String())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if err := errors.Join(s.Shutdown(t.Context()), <-done); err != nil {
			t.Fatal(err)
		}
	}
}
