package site_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/internal/command/site"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
)

const ini = `
[app:main]
use = egg:test#hello
[server:main]
use = egg:pasteline#http
host = 127.0.0.1
port = 0
`

// register adds the server, and an app that answers "hello".
func register(r *pipeline.Registry) {
	server.Register(r)
	pipeline.App(r, "egg:test#hello", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("hello"))
		}), nil
	})
}

// options returns the options of a site with the file above.
func options(t *testing.T, listening func(context.Context, []net.Addr) (func(), error)) site.Options {
	t.Helper()
	config := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(config, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := logging.Open(config, logging.Options{Stderr: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return site.Options{
		Config: config, Register: register, Log: log, Listening: listening,
		Interval: time.Second, Grace: time.Minute,
	}
}

// The error of Listening ends the site, and the function that it returns is called at the end.
func TestListening(t *testing.T) {
	t.Parallel()
	err := site.Run(t.Context(), options(t, func(context.Context, []net.Addr) (func(), error) {
		return nil, os.ErrPermission
	}))
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want %v", err, os.ErrPermission)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := 0
	err = site.Run(ctx, options(t, func(_ context.Context, addrs []net.Addr) (func(), error) {
		go func() {
			defer cancel()
			response, err := http.Get(site.URL(addrs[0]))
			if err != nil {
				t.Error(err)
				return
			}
			response.Body.Close()
		}()
		return func() {
			stopped++
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addrs[0].String())
			if err == nil {
				conn.Close()
				t.Error("the server still accepts connections")
			}
		}, nil
	}))
	if err != nil || stopped != 1 {
		t.Errorf("got %v, and stopped called %d times, want nil and once", err, stopped)
	}
}
