package server_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/pasteline/pasteline/server"
)

// A slowConn is a connection to a client that accepts, before each deadline, so many bytes.
type slowConn struct {
	net.Conn

	accepts []int
	got     bytes.Buffer
}

func (*slowConn) SetWriteDeadline(time.Time) error { return nil }

func (c *slowConn) Write(p []byte) (int, error) {
	n := len(p)
	if len(c.accepts) == 0 {
		c.got.Write(p)
		return n, nil
	}
	if n = min(n, c.accepts[0]); n == c.accepts[0] {
		c.accepts = c.accepts[1:]
		c.got.Write(p[:n])
		return n, os.ErrDeadlineExceeded
	}
	c.accepts[0] -= n
	c.got.Write(p)
	return n, nil
}

// ReadFrom reads more than the client accepts, as package net does without sendfile.
func (c *slowConn) ReadFrom(src io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c}, src, make([]byte, 10_000))
}

// A response goes on while the client accepts a piece before each deadline, and from the byte that
// is next.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	content := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	var never time.Time
	for _, tt := range []struct {
		name     string
		accepts  []int
		deadline time.Time
		want     int
	}{
		{"fast", nil, never, len(content)},
		{"slow", []int{64 << 10, 100_001, 64 << 10, 300_000}, never, len(content)},
		{"too slow in the end", []int{100_000, 64<<10 - 1}, never, 100_000 + 64<<10 - 1},
		{"a later deadline", []int{100_001}, time.Now().Add(time.Hour), len(content)},
		{"a deadline that has passed", []int{100_001}, time.Now().Add(-time.Hour), 100_001},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, part := range []int{0, 1000} {
				to := &slowConn{accepts: slices.Clone(tt.accepts)}
				c := server.NewConn(to, time.Minute)
				if err := c.SetWriteDeadline(tt.deadline); err != nil {
					t.Fatal(err)
				}
				file := bytes.NewReader(content)
				if _, err := file.Seek(int64(part), io.SeekStart); err != nil {
					t.Fatal(err)
				}
				n, err := c.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: file, N: 1 << 30})
				checkSlow(t, to, int(n), err, content[part:], tt.want)

				to = &slowConn{accepts: slices.Clone(tt.accepts)}
				c = server.NewConn(to, time.Minute)
				if err := c.SetWriteDeadline(tt.deadline); err != nil {
					t.Fatal(err)
				}
				m, err := c.Write(content[part:])
				checkSlow(t, to, m, err, content[part:], tt.want)
			}
		})
	}
}

// A pipe is a file, but has no offset: it is read piece by piece.
func TestPipeIsWritten(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("output of a program"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	to := &slowConn{}
	n, err := server.NewConn(to, time.Minute).(io.ReaderFrom).ReadFrom(r)
	if err != nil || n != 19 || to.got.String() != "output of a program" {
		t.Errorf("got %d, %v, %q", n, err, to.got.String())
	}
}

func checkSlow(t *testing.T, to *slowConn, n int, err error, content []byte, want int) {
	t.Helper()
	want = min(want, len(content))
	if n != want || !bytes.Equal(to.got.Bytes(), content[:want]) ||
		(want == len(content)) != (err == nil) ||
		err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("said %d, wrote %d of %d bytes, %v", n, to.got.Len(), want, err)
	}
}
