package server_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pasteline/pasteline/server"
)

// secondRequest follows another one on the same connection, and is its last.
const secondRequest = "GET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

// What comes after a request that has, or may have, two lengths is not read, whatever the handler
// does. Others keep their connection.
func TestTwoLengths(t *testing.T) {
	t.Parallel()
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	tests := map[string]struct {
		request string
		calls   int64 // those of the handler, the second request's among them
	}{
		"both": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 1},
		"both, small letters": {"POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: " +
			"chunked\r\ncontent-length: 3\r\n\r\n" + chunks, 1},
		"both, an error answer": {"POST x:y HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 0},
		"both, a panic": {"POST /panic HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 1},
		"both, for the server": {"OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 0},
		"both, behind one length": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
			"3\r\n\r\nabcPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n" + chunks, 2},
		"HTTP/1.0, both": {"POST / HTTP/1.0\r\nConnection: " +
			"keep-alive\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 1},
		"HTTP/1.0, chunked": {"POST / HTTP/1.0\r\nConnection: " +
			"keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", 1},

		"a length": {
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
			2,
		},
		"chunked": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, 2},
		"chunked, behind a length": {
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
				"3\r\n\r\nabcPOST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
			3,
		},
		"HTTP/1.0, a length": {"POST / HTTP/1.0\r\nConnection: " +
			"keep-alive\r\nContent-Length: 3\r\n\r\nabc", 2},
		"nothing for the server": {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 1},
	}
	for _, handler := range []string{"writes", "flushes", "is silent"} {
		var calls atomic.Int64
		s := run(t, server.Config{}, io.Discard, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.Header().Set("Connection", "keep-alive") // as the handlers of many streams do
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == "/panic" {
				panic("no luck")
			}
			if handler != "is silent" {
				fmt.Fprint(w, "hello")
			}
			if handler == "flushes" {
				w.(http.Flusher).Flush()
			}
		})
		for name, tt := range tests {
			if handler == "flushes" && name == "HTTP/1.0, a length" {
				continue // only the end of the connection would end that response
			}
			for _, piece := range []int{1, 7, 1 << 10} {
				calls.Store(0)
				c := s.connect(t, "")
				for rest := tt.request + secondRequest; rest != ""; {
					n := min(piece, len(rest))
					if _, err := io.WriteString(c, rest[:n]); err != nil {
						break // the server has closed it
					}
					rest = rest[n:]
				}
				text, err := io.ReadAll(c)
				if calls.Load() != tt.calls || err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s, in pieces of %d, to a handler that %s: %d calls, want %d; got "+
						"%q, %v", name, piece, handler, calls.Load(), tt.calls, text, err)
				}
			}
		}
		s.end(t)
	}
}

// Chunked requests and others share a connection, whatever names their bodies have.
func TestKeepAliveOfChunkedRequests(t *testing.T) {
	t.Parallel()
	s := run(t, server.Config{}, io.Discard, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.RemoteAddr, r.TransferEncoding)
	})
	client := &http.Client{}
	defer client.CloseIdleConnections()
	first := ""
	for i, chunked := range []bool{true, true, false, true, false, false, true} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.addr,
			strings.NewReader("a-b content-type--length"))
		if err != nil {
			t.Fatal(err)
		}
		if chunked {
			r.ContentLength = -1
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, text := read(t, response)
		address, isChunked := strings.CutSuffix(text, "[chunked]")
		address = strings.TrimSuffix(address, "[]")
		if i == 0 {
			first = address
		}
		if isChunked != chunked || address != first {
			t.Errorf("request %d, chunked %v, came as %s; want the connection of the first, %s", i,
				chunked, text, first)
		}
	}
	s.end(t)
}

// With TLS the server does not see what net/http has removed.
func TestTwoLengthsInTLS(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := run(t, server.Config{TLSSelfSigned: true}, io.Discard,
		func(_ http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
		})
	for request, want := range map[string]int64{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n": 1,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc": 2,
	} {
		calls.Store(0)
		c := tls.Client(s.connect(t, ""), &tls.Config{InsecureSkipVerify: true})
		if _, err := io.WriteString(c, request+secondRequest); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); calls.Load() != want {
			t.Errorf("%q: %d calls, want %d; got %q, %v", request, calls.Load(), want, text, err)
		}
	}
	s.end(t)
}

// A response that only the end of the connection ends is cut by an error, since its client could
// take the part for the whole.
func TestCutWithoutFraming(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]server.Config{"plain": {}, "TLS": {TLSSelfSigned: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := make(chan struct{}) // the client has read the first part
			s := run(t, config, io.Discard, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/identity" {
					w.Header().Set("Transfer-Encoding", "identity")
				}
				fmt.Fprint(w, "the first part")
				w.(http.Flusher).Flush()
				<-read
				if r.URL.Query().Get("fail") != "" {
					panic("no luck")
				}
			})
			for _, request := range []string{"/ HTTP/1.0", "/identity HTTP/1.1"} {
				for _, fail := range []bool{true, false} {
					line := "GET " + request
					if fail {
						line = strings.Replace(line, " HTTP", "?fail=1 HTTP", 1)
					}
					c := s.connect(t, "")
					if name == "TLS" {
						c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
					}
					if _, err := io.WriteString(c, line+"\r\nHost: x\r\n\r\n"); err != nil {
						t.Fatal(err)
					}
					response, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Fatal(err)
					}
					part := make([]byte, len("the first part"))
					if _, err := io.ReadFull(response.Body, part); err != nil {
						t.Fatal(err)
					}
					read <- struct{}{}
					if _, err := io.ReadAll(response.Body); (err != nil) != fail {
						t.Errorf("%s: the client reads to the end with %v", line, err)
					}
					response.Body.Close()
				}
			}
			s.end(t)
		})
	}
}

// A connection that a handler has hijacked is read by any number of goroutines.
func TestHijackedConnectionIsReadFreely(t *testing.T) {
	t.Parallel()
	s := run(t, server.Config{}, io.Discard, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(io.Discard, c)
		}()
		_, _ = io.Copy(io.Discard, c)
		<-done
		fmt.Fprint(c, "done")
	})
	c := s.connect(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 100 {
		if _, err := io.WriteString(c, "Content-Length "); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(c); err != nil || string(text) != "done" {
		t.Errorf("got %q, %v", text, err)
	}
	s.end(t)
}

// The files of a form are removed however its request ends.
func TestFormFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	const form = "--x\r\nContent-Disposition: form-data; name=f; " +
		"filename=f\r\n\r\ncontent\r\n--x--\r\n"
	for _, h2c := range []bool{false, true} {
		parsed := 0
		s, client := runH2C(t, server.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1); err != nil { // 1: in a file
				t.Error(err)
			}
			if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
				t.Errorf("%s: the form is in %v, %v", r.URL, files, err)
			}
			parsed++
			switch r.URL.Path {
			case "/panic":
				panic("no luck")
			case "/cut":
				fmt.Fprint(w, "the first part")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
		})
		if !h2c {
			client = &http.Client{}
		}
		for _, path := range []string{"/fine", "/panic", "/cut"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				"http://"+s.addr+path, strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			if response, err := client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			// the client may know of the end before the server is through
			for deadline := time.Now().Add(soon); ; {
				files, err := filepath.Glob(filepath.Join(dir, "*"))
				if err == nil && len(files) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("HTTP/2 %v, %s: left behind: %v, %v", h2c, path, files, err)
				}
			}
		}
		client.CloseIdleConnections()
		s.end(t)
		if parsed != 3 {
			t.Errorf("%d forms were parsed, want 3", parsed)
		}
	}
}
