package serve_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
)

// A file with which nothing is wrong gets no warning, and a server starts with it: a check that finds faults where there are none
// would not be believed.
func TestGoodFiles(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(archive.Files); n < 20 {
		t.Errorf("only %d files", n)
	}
	for _, file := range archive.Files {
		t.Run(strings.TrimSuffix(file.Name, ".ini"), func(t *testing.T) {
			t.Parallel()
			dir := brokenFolder(t)
			path := filepath.Join(dir, "site.ini")
			included := "[app:home]\nuse = egg:Paste#test\n[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n"
			for name, text := range map[string]string{"site.ini": string(file.Data), "included.ini": included} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, out, errs := run(t, "", []string{"check", path, "--strict"}, myapp.Register)
			if want := path + ": OK\n"; code != serve.ExitOK || out != want || errs != "" {
				t.Errorf("check: exit code %d, %s%s", code, out, errs)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stdout := &startedWriter{started: cancel}
			var stderr buffer
			code = serve.Run(ctx, []string{path}, serve.Stdio{Out: stdout, Err: &stderr}, myapp.Register)
			if code != serve.ExitOK || !strings.Contains(stdout.text.String(), "serving on") {
				t.Errorf("serve: exit code %d, %s%s", code, stdout.text.String(), stderr.String())
			}
			if strings.Contains(stderr.String(), "level=WARN") {
				t.Errorf("serve: %s", stderr.String())
			}
		})
	}
}

// A startedWriter ends a server as soon as it says that it serves.
type startedWriter struct {
	text    buffer
	started func()
}

func (w *startedWriter) Write(p []byte) (int, error) {
	n, err := w.text.Write(p)
	if strings.Contains(w.text.String(), "serving on") {
		w.started()
	}
	return n, err
}
