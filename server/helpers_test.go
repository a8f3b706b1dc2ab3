package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
)

// testLimit ends what would wait for ever.
const testLimit = 20 * time.Second

// start serves h until the test ends, which is no fault, and returns the addresses.
func start(t *testing.T, s pipeline.Server, h http.Handler) []net.Addr {
	t.Helper()
	addrs, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(h) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testLimit)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return addrs
}

func newServer(t *testing.T, c server.Config) *server.Server {
	t.Helper()
	s, err := server.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tell answers with what an app sees of the request.
var tell = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s script=%q path=%q from=%s", r.Proto, mount.URL(r, r.URL.EscapedPath()),
		mount.FromContext(r.Context()), r.URL.Path, r.RemoteAddr)
})

// get asks with a client of its own, and returns status and body.
func get(t *testing.T, client *http.Client, url string, header ...string) (int, string) {
	t.Helper()
	response, err := ask(t, client, url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func ask(t *testing.T, client *http.Client, url string, header ...string) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	t.Cleanup(client.CloseIdleConnections)
	return client.Do(r)
}

func read(t *testing.T, response *http.Response) (int, string) {
	t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// dialer is a client that reaches one address, whatever the URL says.
func dialer(network, addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}}
}

// A logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// load makes the server that the settings of a section describe.
func load(t *testing.T, logger *slog.Logger, section string) (*pipeline.LoadedServer, error) {
	t.Helper()
	r := pipeline.NewRegistry()
	server.Register(r)
	s, err := pipeline.LoadServer(t.Context(), "site.ini", pipeline.Options{
		Registry: r, Logger: logger,
		ReadFile: func(string) ([]byte, error) { return []byte("[server:main]\n" + section), nil },
	})
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}
