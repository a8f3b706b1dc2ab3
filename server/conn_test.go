package server_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/server"
)

// Whatever is done to the deadline while a write waits for a client that takes nothing: the write
// ends in time.
func TestPieceKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	const timeout = time.Minute
	var never time.Time
	for _, tt := range []struct {
		name string
		set  func(c net.Conn) error
		want time.Duration
	}{
		{"nothing", func(net.Conn) error { return nil }, timeout},
		{
			"none was set, and is taken back",
			func(c net.Conn) error { return c.SetWriteDeadline(never) }, timeout,
		},
		{"none of both", func(c net.Conn) error { return c.SetDeadline(never) }, timeout},
		{
			"a later one",
			func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Hour)) },
			timeout,
		},
		{
			"a later one of both",
			func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Hour)) }, timeout,
		},
		{"one that is taken back", func(c net.Conn) error {
			return errors.Join(c.SetWriteDeadline(time.Now().Add(time.Hour)),
				c.SetWriteDeadline(never))
		}, timeout},
		{
			"an earlier one",
			func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Second)) },
			time.Second,
		},
		{
			"an earlier one of both",
			func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Second)) },
			time.Second,
		},
		{
			"one that has passed",
			func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(-time.Second)) }, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner, client := net.Pipe()
				defer client.Close()
				c := server.NewConn(inner, timeout)
				defer c.Close()
				start := time.Now()
				ended := make(chan error, 1)
				go func() {
					_, err := c.Write([]byte("a piece"))
					ended <- err
				}()
				synctest.Wait() // until it waits for the client
				if err := tt.set(c); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-ended:
					if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) ||
						took != tt.want {
						t.Errorf("it ended after %v with %v, want after %v, because it took too "+
							"long", took, err, tt.want)
					}
				case <-time.After(24 * time.Hour):
					t.Errorf("it waits for ever")
				}
			})
		})
	}
}

// A read ends at its deadline, neither before nor after, whatever was set earlier or is set while
// it waits.
func TestReadEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	const never = 0
	for _, tt := range []struct {
		name string
		// deadlines from now on, which are set one after the other; 0 is none
		before []time.Duration
		pause  time.Duration // until the read begins
		during []time.Duration
		want   time.Duration // after it has begun
	}{
		{"set before", []time.Duration{time.Minute}, 0, nil, time.Minute},
		{
			"set before, long ago",
			[]time.Duration{time.Minute},
			time.Second, nil,
			time.Minute - time.Second,
		},
		{"put off before", []time.Duration{time.Second, time.Minute}, 0, nil, time.Minute},
		{"brought forward before", []time.Duration{time.Minute, time.Second}, 0, nil, time.Second},
		{"passed before", []time.Duration{time.Second}, time.Minute, nil, 0},
		{"passed when it was set", []time.Duration{-time.Second}, 0, nil, 0},
		{"taken back before", []time.Duration{time.Second, never}, time.Minute, nil, never},
		{"taken back when it had passed", []time.Duration{-time.Second, never}, 0, nil, never},
		{"set meanwhile", nil, 0, []time.Duration{time.Second}, time.Second},
		{
			"put off meanwhile",
			[]time.Duration{time.Second},
			0,
			[]time.Duration{time.Minute},
			time.Minute,
		},
		{
			"put off meanwhile, again",
			[]time.Duration{time.Second},
			0,
			[]time.Duration{time.Minute, time.Hour},
			time.Hour,
		},
		{
			"brought forward meanwhile",
			[]time.Duration{time.Minute},
			0,
			[]time.Duration{time.Second},
			time.Second,
		},
		{
			"put off, and brought forward",
			[]time.Duration{time.Second},
			0,
			[]time.Duration{time.Hour, time.Minute},
			time.Minute,
		},
		{"passed meanwhile", []time.Duration{time.Minute}, 0, []time.Duration{-time.Second}, 0},
		{"taken back meanwhile", []time.Duration{time.Minute}, 0, []time.Duration{never}, never},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner, client := net.Pipe()
				defer client.Close()
				c := server.NewConn(inner, time.Minute)
				defer c.Close()
				set := func(deadlines []time.Duration) {
					for _, d := range deadlines {
						var deadline time.Time
						if d != never {
							deadline = time.Now().Add(d)
						}
						if err := c.SetReadDeadline(deadline); err != nil {
							t.Fatal(err)
						}
					}
				}
				read := func() error {
					_, err := c.Read(make([]byte, 10))
					return err
				}
				// The system's deadline may be any, from an earlier read.
				for _, earlier := range []time.Duration{-time.Second, time.Second, time.Hour} {
					set([]time.Duration{earlier})
					if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("got %v, want what says that it took too long", err)
					}
					set(tt.before)
					if tt.before == nil {
						set([]time.Duration{never})
					}
					<-time.After(tt.pause)
					start := time.Now()
					ended := make(chan error, 1)
					go func() { ended <- read() }()
					synctest.Wait() // until it waits for the client
					set(tt.during)
					select {
					case err := <-ended:
						if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) ||
							took != tt.want {
							t.Errorf("it ended after %v with %v, want after %v, because it took "+
								"too long", took, err, tt.want)
						}
					case <-time.After(24 * time.Hour):
						if tt.want != never {
							t.Errorf("it waits for ever, want an end after %v", tt.want)
						}
						_, _ = client.Write([]byte("a byte"))
						if err := <-ended; err != nil {
							t.Error(err)
						}
					}
				}
			})
		})
	}
}

// countingConn counts how often the system is told a deadline for reading.
type countingConn struct {
	net.Conn
	told int
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.told++
	return c.Conn.SetReadDeadline(t)
}

// The system is told a deadline once, as long as it is put off only, and not when nothing is read.
func TestSystemIsToldFewDeadlines(t *testing.T) {
	t.Parallel()
	inner, client := net.Pipe()
	defer client.Close()
	counting := &countingConn{Conn: inner}
	c := server.NewConn(counting, time.Minute)
	defer c.Close()
	go func() {
		for {
			if _, err := client.Write([]byte("a request")); err != nil {
				return
			}
		}
	}()
	for range 100 { // as net/http does
		idle := c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		_, err := c.Read(make([]byte, 100))
		header := c.SetReadDeadline(time.Now().Add(10 * time.Second))
		whole := c.SetReadDeadline(time.Time{})
		background := c.SetReadDeadline(time.Unix(1, 0))
		_, ended := c.Read(make([]byte, 1))
		if err := errors.Join(idle, err, header, whole, background,
			c.SetReadDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(ended, os.ErrDeadlineExceeded) {
			t.Fatalf("got %v, want what says that the deadline has passed", ended)
		}
	}
	if counting.told != 1 {
		t.Errorf("the system was told %d deadlines, want 1", counting.told)
	}
}

// A deadline that was set and taken back is none for what is written later.
func TestDeadlineIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner, client := net.Pipe()
		defer client.Close()
		c := server.NewConn(inner, time.Minute)
		defer c.Close()
		if err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Second)),
			c.SetWriteDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Second, func() { _, _ = client.Read(make([]byte, 10)) })
		if _, err := c.Write([]byte("a piece")); err != nil {
			t.Error(err)
		}
	})
}
