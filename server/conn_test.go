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

// Whatever is done to the deadline while a write waits for a client that takes nothing: the write ends in time.
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
		{"none was set, and is taken back", func(c net.Conn) error { return c.SetWriteDeadline(never) }, timeout},
		{"none of both", func(c net.Conn) error { return c.SetDeadline(never) }, timeout},
		{"a later one", func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Hour)) }, timeout},
		{"a later one of both", func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Hour)) }, timeout},
		{"one that is taken back", func(c net.Conn) error {
			return errors.Join(c.SetWriteDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(never))
		}, timeout},
		{"an earlier one", func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Second)) }, time.Second},
		{"an earlier one of both", func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Second)) }, time.Second},
		{"one that has passed", func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(-time.Second)) }, 0},
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
					if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != tt.want {
						t.Errorf("it ended after %v with %v, want after %v, because it took too long", took, err, tt.want)
					}
				case <-time.After(24 * time.Hour):
					t.Errorf("it waits for ever")
				}
			})
		})
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
		if err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Second)), c.SetWriteDeadline(time.Time{})); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(30*time.Second, func() { _, _ = client.Read(make([]byte, 10)) })
		if _, err := c.Write([]byte("a piece")); err != nil {
			t.Error(err)
		}
	})
}
