package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// receivers are the pipelines that receive a body before they begin a transaction; begun counts the
// transactions.
func receivers(t *testing.T, again retry.Config,
	transact tm.Config,
) map[string]func(http.Handler) http.Handler {
	t.Helper()
	return map[string]func(http.Handler) http.Handler{
		"retry and tm": func(h http.Handler) http.Handler {
			return mustRetry(t,
				again)(tm.New(transact)(h))
		},
		"tm": tm.New(transact),
		"between": func(h http.Handler) http.Handler {
			between := func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter,
					r *http.Request,
				) {
					next.ServeHTTP(w, r.Clone(r.Context()))
				})
			}
			return mustRetry(t, again)(between(tm.New(transact)(h)))
		},
	}
}

// upload is a request whose body is sent byte by byte.
type upload struct {
	net.Conn
}

// begin sends the header of a request and its body except for the last n bytes.
func beginUpload(t *testing.T, server *httptest.Server, path string, n int) upload {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", path, 1+n)
	u := upload{conn}
	u.send(t)
	return u
}

func (u upload) send(t *testing.T) {
	t.Helper()
	if _, err := u.Write([]byte{'x'}); err != nil {
		t.Error(err)
	}
}

func (u upload) answer(t *testing.T) string {
	t.Helper()
	text, err := io.ReadAll(u)
	if err != nil {
		t.Error(err)
	}
	line, _, _ := strings.Cut(string(text), "\r\n")
	return line
}

// Clients that send a body byte by byte hold neither a snapshot nor a database connection. As many
// of them as the pool has connections delay no other request, and the file does not grow because of
// old snapshots.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	const slow, size = 4, 10
	kinds := map[string]func(*testing.T) (*storage.DB, string){
		"bolt": func(t *testing.T) (*storage.DB, string) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "data.db")
			db, err := bolt.Open(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			return db, file
		},
		"postgres": func(t *testing.T) (*storage.DB, string) {
			t.Helper()
			opener := storage.NewOpener()
			postgres.Register(opener)
			uri := pgtest.Database(t)
			db, err := opener.Open(t.Context(), uri+cut("?", "&",
				strings.Contains(uri, "?"))+fmt.Sprintf("pool_max_conns=%d", slow))
			if err != nil {
				t.Fatal(err)
			}
			return db, ""
		},
	}
	for name, pipeline := range receivers(t, retry.Config{}, tm.Config{}) {
		for kind, open := range kinds {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				db, file := open(t)
				t.Cleanup(func() {
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				})
				big := bytes.Repeat([]byte("x"), 64<<10)
				server := serve(t, "HTTP/1.1",
					pipeline(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
						tx, err := db.Tx(r.Context())
						if err != nil {
							return err
						}
						for _, key := range []string{"a", "b"} { // the read begins a snapshot
							if _, err := tx.Bucket("b").Get([]byte(key)); err != nil {
								return err
							}
						}
						n, err := io.Copy(io.Discard, r.Body)
						if err != nil {
							return err
						}
						fmt.Fprint(w, n)
						return tx.Bucket("b").Put([]byte(r.URL.Path), big)
					})))
				var uploads []upload
				for i := range slow {
					uploads = append(uploads,
						beginUpload(t, server, fmt.Sprintf("/slow%d", i), size))
				}
				client := server.Client()
				client.Timeout = time.Minute
				before := fileSize(t, file)
				for i := range 200 {
					if i%20 == 0 {
						for _, u := range uploads[:] {
							if i/20 < size-1 {
								u.send(t)
							}
						}
					}
					if got := ask(t, server, http.MethodPost, "/quick",
						strings.NewReader("12345")); got.Status != 200 || got.Body != "5" {
						t.Fatalf("while others are slow: got %+v", got)
					}
				}
				// the 200 values have 12 MiB
				if grown := fileSize(t, file) - before; grown > 4<<20 {
					t.Errorf("the file has grown by %d bytes", grown)
				}
				for _, u := range uploads {
					u.send(t)
					if got := u.answer(t); got != "HTTP/1.1 200 OK" {
						t.Errorf("a slow one: got %q", got)
					}
				}
			})
		}
	}
}

func cut(a, b string, second bool) string {
	if second {
		return b
	}
	return a
}

func fileSize(t *testing.T, file string) int64 {
	t.Helper()
	if file == "" {
		return 0
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// An incomplete body is answered before any transaction begins.
func TestBodyBeforeTransaction(t *testing.T) {
	t.Parallel()
	var begun atomic.Int64
	manager := new(transaction.Manager)
	manager.Register(&beginnings{&begun})
	app := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, pipeline := range receivers(t, retry.Config{MaxBody: 1000},
		tm.Config{Manager: manager, MaxBody: 1000}) {
		h := pipeline(app)
		for server := range protocols(t, h) {
			for _, reader := range []io.Reader{
				bytes.NewReader(make([]byte, 1001)),
				onlyReader{bytes.NewReader(make([]byte, 100<<10))},
			} {
				got := ask(t, server, http.MethodPost, "/", reader)
				if got.Status != http.StatusRequestEntityTooLarge && got.Err != "no answer" {
					t.Errorf("%s: too long, got %+v", name, got)
				}
			}
			gone, cancel := context.WithCancel(t.Context())
			body, ours := io.Pipe()
			r, err := http.NewRequestWithContext(gone, http.MethodPost, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = ours.Write([]byte("part"))
				cancel()
				_ = ours.CloseWithError(errors.New("gone"))
			}()
			if response, err := server.Client().Do(r); err == nil {
				response.Body.Close()
				t.Errorf("%s: a client that disconnected got %s", name, response.Status)
			}
		}
		server := httptest.NewUnstartedServer(h)
		server.Config.ReadTimeout = time.Second
		server.Start()
		if got := beginUpload(t, server, "/", 10).answer(t); got != "HTTP/1.1 408 Request Timeout" {
			t.Errorf("%s: too slow, got %q", name, got)
		}
		server.Close() // waits for all requests
		server = serve(t, "HTTP/1.1", h)
		half := beginUpload(t, server, "/", 10)
		if err := half.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := half.answer(t); got != "HTTP/1.1 400 Bad Request" {
			t.Errorf("%s: incomplete body, got %q", name, got)
		}
		if n := begun.Load(); n != 0 {
			t.Errorf("%s: %d transactions were begun", name, n)
		}
		if got := ask(t, server, http.MethodPost, "/", strings.NewReader("whole")); got.Status !=
			200 || begun.Swap(0) != 1 {
			t.Errorf("%s: complete body, got %+v", name, got)
		}
	}
}

// beginnings counts the transactions that begin.
type beginnings struct{ n *atomic.Int64 }

func (b *beginnings) NewTransaction(*transaction.Txn) error   { b.n.Add(1); return nil }
func (b *beginnings) BeforeCompletion(*transaction.Txn) error { return nil }
func (b *beginnings) AfterCompletion(*transaction.Txn)        {}

// A client that sends Expect: 100-continue gets the 100 before the transaction begins; with
// StreamBody, when the handler reads. If the handler refuses the request, it never receives the
// body.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			_, _ = io.Copy(w, r.Body)
			return
		}
		w.WriteHeader(http.StatusForbidden)
	})
	const goOn, refused, tooLarge = "HTTP/1.1 100 Continue", "HTTP/1.1 403 " +
		"Forbidden", "HTTP/1.1 413 Request Entity Too Large"
	for stream, want := range map[bool]string{false: goOn, true: refused} {
		for name, pipeline := range receivers(t, retry.Config{StreamBody: stream, MaxBody: 10},
			tm.Config{StreamBody: stream, MaxBody: 10}) {
			server := serve(t, "HTTP/1.1", pipeline(app))
			wants := map[string]string{"/read 5": goOn, "/refuse 5": want}
			if !stream || name != "tm" { // tm alone has no limit for a streamed body
				wants["/read 11"] = tooLarge
			}
			for request, want := range wants {
				path, size, _ := strings.Cut(request, " ")
				conn, err := new(net.Dialer).DialContext(t.Context(), "tcp",
					server.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\nExpect: "+
					"100-continue\r\n\r\n", path, size)
				line := make([]byte, len(want))
				if _, err := io.ReadFull(conn, line); err != nil || string(line) != want {
					t.Errorf("%s, stream %t, %s: got %q, %v, want %q", name, stream, request,
						line, err, want)
				}
				conn.Close()
			}
		}
	}
}

// With StreamBody the handler reads while the client sends. The same holds for a tunnel, whose body
// ends only with the answer.
func TestStreamBody(t *testing.T) {
	t.Parallel()
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex()
		for buffer := make([]byte, 1); ; {
			n, err := r.Body.Read(buffer)
			if _, writeErr := w.Write(buffer[:n]); err != nil || writeErr != nil {
				return
			}
			if err := controller.Flush(); err != nil {
				return
			}
		}
	})
	for _, tt := range []struct {
		method string
		stream bool
	}{{http.MethodPost, true}, {http.MethodConnect, false}} {
		for name, pipeline := range receivers(t, retry.Config{StreamBody: tt.stream},
			tm.Config{StreamBody: tt.stream}) {
			server := serve(t, "HTTP/2.0", pipeline(app))
			body, ours := io.Pipe()
			r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = ours.Write([]byte("a")) }()
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, next := range "bc-" {
				answer := make([]byte, 1)
				if _, err := io.ReadFull(response.Body, answer); err != nil ||
					rune(answer[0]) != next-1 && next != '-' {
					t.Fatalf("%s, %s: before %c: got %q, %v", name, tt.method, next, answer, err)
				}
				if next != '-' {
					if _, err := ours.Write([]byte(string(next))); err != nil {
						t.Fatal(err)
					}
				}
			}
			ours.Close()
			response.Body.Close()
		}
	}
}

// When the handler begins, the trailers are available, and the body is complete, in memory or in a
// file.
func TestReceivedBody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 16 << 10, 300 << 10} {
		text := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err != nil || string(got) != text {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
			fmt.Fprint(w, r.Trailer.Get("X-Sum"))
		})
		for name, pipeline := range receivers(t, retry.Config{HighWater: 64 << 10},
			tm.Config{HighWater: 64 << 10}) {
			for server := range protocols(t, pipeline(app)) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL,
					onlyReader{strings.NewReader(text)})
				if err != nil {
					t.Fatal(err)
				}
				r.Trailer = http.Header{"X-Sum": {"42"}}
				response, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(response.Body)
				if response.Body.Close(); err != nil || string(answer) != "42" {
					t.Errorf("%s, %d bytes: trailer %q, %v", name, size, answer, err)
				}
			}
		}
	}
}
