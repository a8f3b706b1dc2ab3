package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
)

// bareFiles is the program that has Pasteline's app for files without filters.
const bareFiles = sites.Pasteline + "-bare"

var (
	filePrograms = []string{sites.Pasteline, bareFiles, sites.FileServer}
	pagePrograms = []string{sites.Pasteline, sites.Chi}
)

// A transfer is a kind of large response or request.
type transfer struct {
	what     string
	large    bool // of plan.megabytes; of one megabyte if not
	clients  int
	times    int // in all
	programs []string
	path     string // %d is the size in bytes
	upload   bool
}

var transfers = []transfer{
	{"file", false, 4, 2000, filePrograms, "/%d.bin", false},
	{"file", true, 1, 20, filePrograms, "/%d.bin", false},
	{"response", true, 1, 10, pagePrograms, "/large/%d", false},
	{"upload", true, 1, 10, pagePrograms, "/upload", true},
}

// transfer measures files, responses and bodies: the time until the first byte of the response, the
// bytes that the program writes to disks, and its CPU time.
func (b *bench) transfer(ctx context.Context) (err error) {
	root, remove, err := tempDir(&err)
	if err != nil {
		return err
	}
	defer remove()
	for _, megabytes := range []int{1, b.megabytes} {
		if err := makeFile(root, megabytes<<20); err != nil {
			return err
		}
	}
	for range b.count {
		for _, t := range transfers {
			for _, name := range t.programs {
				if err := b.transferOf(ctx, t, name, root); err != nil {
					return fmt.Errorf("%s, %s: %w", t.what, name, err)
				}
			}
		}
	}
	return nil
}

// makeFile makes a file that is named for its size.
func makeFile(dir string, size int) error {
	return os.WriteFile(filepath.Join(dir, strconv.Itoa(size)+".bin"), make([]byte, size), 0o600)
}

func (b *bench) transferOf(ctx context.Context, t transfer, name, root string) error {
	var how setup
	if t.what == "file" {
		how.ready = fmt.Sprintf("/%d.bin", 1<<20)
		if name == sites.FileServer {
			how.dir = root
		} else {
			how.ini = sites.FilesIni(root, name == bareFiles)
		}
	}
	size, scale := 1<<20, "1"
	if t.large {
		size, scale = b.megabytes<<20, "100"
	}
	return b.with(ctx, name, how, func(s *server) error {
		m := &transferring{server: s, size: size, upload: t.upload, path: t.path}
		if !t.upload {
			m.path = fmt.Sprintf(t.path, size)
		}
		times := t.times
		metrics, err := m.run(ctx, t.clients, times)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("Transfer/what=%s/megabytes=%s/who=%s", t.what, scale, name)
		return load.Line(b.w, line, times, metrics...)
	})
}

// transferring are the transfers with one program.
type transferring struct {
	*server
	path   string
	size   int
	upload bool

	mu     sync.Mutex
	firsts []time.Duration // until the first byte
}

// run has clients transfer so many times, and returns the figures of one transfer.
func (m *transferring) run(ctx context.Context, clients, times int) ([]load.Metric, error) {
	cpuBefore, cpuErr := m.cpu()
	writtenBefore, writtenErr := m.written()
	if err := errors.Join(cpuErr, writtenErr); err != nil {
		return nil, err
	}
	stats := load.Run(clients, load.Times(times), func(int) error { return m.once(ctx) })
	if stats.Err != nil {
		return nil, stats.Err
	}
	cpu, cpuErr := m.cpu()
	written, writtenErr := m.written()
	slices.Sort(m.firsts)
	return append(stats.Metrics(),
		load.Nanoseconds(m.firsts[len(m.firsts)/2], "first-byte-ns"),
		load.Bytes((written-writtenBefore)/times, "disk-B"),
		load.Nanoseconds((cpu-cpuBefore)/time.Duration(times), "cpu-ns"),
	), errors.Join(cpuErr, writtenErr)
}

func (m *transferring) once(ctx context.Context) error {
	method, want := http.MethodGet, int64(m.size)
	var body io.Reader
	if m.upload {
		text := strconv.Itoa(m.size)
		method, body, want = http.MethodPost, io.LimitReader(zeros{}, want), int64(len(text))
	}
	r, err := http.NewRequestWithContext(ctx, method, m.url+m.path, body)
	if err != nil {
		return err
	}
	if m.upload {
		r.ContentLength = int64(m.size)
	}
	began := time.Now()
	response, err := m.client.Do(r)
	if err != nil {
		return err
	}
	var first [1]byte
	_, err = io.ReadFull(response.Body, first[:])
	took := time.Since(began)
	n, copyErr := io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, copyErr, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || n+1 != want {
		return fmt.Errorf("%s: %s, %d bytes, want %d", m.path, response.Status, n+1, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.firsts = append(m.firsts, took)
	return nil
}
