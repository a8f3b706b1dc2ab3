package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
)

// A server is the process that is soaked.
type server struct {
	cmd    *exec.Cmd
	dir    string
	url    string
	log    *os.File
	client *http.Client
}

const startTimeout = 20 * time.Second

func startServer(ctx context.Context, timeout time.Duration) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "pasteline-soak-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	program, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	database := fmt.Sprintf("bolt://%%(here)s/data.db\ntimeout = %s\nperiod = %s", timeout, timeout/15)
	ini, addr := filepath.Join(dir, "site.ini"), filepath.Join(dir, "addr")
	if err := os.WriteFile(ini, []byte(fmt.Sprintf(sites.Ini, database)), 0o600); err != nil {
		return nil, err
	}
	s := &server{dir: dir, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, "--quiet", "--addr-file", addr, ini) //nolint:gosec,noctx // ours; stopped by stop
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		text, err := os.ReadFile(addr)
		if err == nil && len(text) > 0 {
			host := strings.TrimPrefix(strings.Fields(string(text))[0], "http://")
			s.url = "http://" + strings.TrimSuffix(host, "/")
			return s, nil
		}
		if time.Since(began) > startTimeout {
			return nil, errors.Join(errors.New("the server does not start"), s.complaints(), s.cmd.Process.Kill())
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return nil, errors.Join(err, s.cmd.Process.Kill())
		}
	}
}

func (s *server) reload() error { return s.cmd.Process.Signal(syscall.SIGHUP) }

func (s *server) stop() error {
	err := s.cmd.Process.Signal(syscall.SIGTERM)
	if err == nil {
		err = s.cmd.Wait()
	}
	return errors.Join(err, s.log.Close(), os.RemoveAll(s.dir))
}

// complaints returns what the server logged, which is errors alone.
func (s *server) complaints() error {
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	const few = 10
	if len(text) > 0 {
		return fmt.Errorf("the server logged %d lines, among them\n%s", len(lines)-1, bytes.Join(lines[:min(few, len(lines))], nil))
	}
	return nil
}

// A state is what could leak.
type state struct {
	memory, goroutines, descriptors int
	file                            int64
}

func (s *server) state(ctx context.Context) (state, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/state", nil)
	if err != nil {
		return state{}, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return state{}, err
	}
	var got sites.State
	if err := errors.Join(json.NewDecoder(response.Body).Decode(&got), response.Body.Close()); err != nil {
		return state{}, err
	}
	info, err := os.Stat(filepath.Join(s.dir, "data.db"))
	if err != nil {
		return state{}, err
	}
	return state{got.Memory, got.Goroutines, got.Descriptors, info.Size()}, nil
}
