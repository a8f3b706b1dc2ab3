package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pasteline/pasteline/server"
)

// BenchmarkRequest is a small page over a connection of the loopback, by the server and by net/http
// alone: what the server adds. (One connection on one processor, -cpu 1, varies least.)
func BenchmarkRequest(b *testing.B) {
	requests := map[string]string{
		"GET": "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
		"POST": "POST / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Length: " +
			"5\r\n\r\n12345",
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		_, _ = io.WriteString(w, "Hello!")
	})
	for method, text := range requests {
		b.Run("method="+method+"/who=server", func(b *testing.B) {
			s, err := server.New(server.Config{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			addrs, err := s.Listen(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			go s.Serve(page)
			defer s.Shutdown(context.Background())
			request(b, addrs[0].String(), text)
		})
		b.Run("method="+method+"/who=net-http", func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: page, ReadHeaderTimeout: 10 * time.Second}
			go s.Serve(l)
			defer s.Close()
			request(b, l.Addr().String(), text)
		})
	}
}

// request sends text, again and again.
func request(b *testing.B, addr, text string) {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	answer := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, text); err != nil {
			b.Fatal(err)
		}
		if _, err := answer.ReadSlice('!'); err != nil {
			b.Fatal(err)
		}
	}
}
