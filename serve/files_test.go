package serve_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/transaction"
)

// A file is neither read into memory nor copied to the disk, although the response is held until
// the commit. (Nothing can be spooled here.)
func TestFilesBehindTransactions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files are not opened again on this system")
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	folder := t.TempDir()
	content := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	if err := os.WriteFile(filepath.Join(folder, "large.bin"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	var attempts atomic.Int32
	files := http.FileServer(http.Dir(folder))
	_, ini := writeSite(t, `
[app:files]
use = egg:test#files
[filter:retry]
use = egg:repoze.retry#retry
max_response = 1MB
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a
[pipeline:main]
pipeline = egg:Paste#translogger browserid retry egg:repoze.tm2#tm files
`)
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	pipeline.App(registry, "egg:test#files", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			files.ServeHTTP(w, r)
			if txn, ok := transaction.FromContext(r.Context()); ok && attempts.Add(1)%2 == 1 {
				txn.BeforeCommit(func(context.Context) error {
					return transaction.Transient(errors.New("lost a race"))
				})
			}
		}), nil
	})
	p, err := pipeline.Load(t.Context(), ini, pipeline.Options{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s := httptest.NewServer(p)
	defer s.Close()
	get := func(ranges string) (status int, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/large.bin",
			http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if ranges != "" {
			r.Header.Set("Range", ranges)
		}
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err = io.ReadAll(response.Body); err != nil {
			t.Error(err)
		}
		return response.StatusCode, body
	}
	for _, tt := range []struct {
		ranges string
		status int
		want   []byte
	}{
		{"", http.StatusOK, content},
		{"bytes=1000-9999999", http.StatusPartialContent, content[1000:10_000_000]},
		{"bytes=-500", http.StatusPartialContent, content[len(content)-500:]},
	} {
		if status, body := get(tt.ranges); status != tt.status || !bytes.Equal(body, tt.want) {
			t.Errorf("%q: status %d, %d bytes of %d", tt.ranges, status, len(body), len(tt.want))
		}
	}
	if n := attempts.Load(); n != 6 {
		t.Errorf("%d attempts, want two for each request", n)
	}
	for _, link := range openFiles(t) {
		if strings.HasPrefix(link, folder) {
			t.Errorf("%s is still open", link)
		}
	}
}

// openFiles returns the files that this process has open.
func openFiles(t *testing.T) (paths []string) {
	t.Helper()
	const folder = "/proc/self/fd"
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if link, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil {
			paths = append(paths, link)
		}
	}
	return paths
}
