package pipeline_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// A resource that takes long to close is named in the log, once.
func TestSlowClose(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(config, []byte("[app:main]\nuse = egg:slow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := pipeline.NewRegistry()
		pipeline.App(r, "egg:slow", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
			b.OnClose(func() error {
				time.Sleep(time.Minute)
				return nil
			})
			b.OnClose(func() error { return nil })
			return http.NotFoundHandler(), nil
		})
		p, err := pipeline.Load(t.Context(), config,
			pipeline.Options{Registry: r, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		const want = `level=WARN msg="closing takes long" section=app:main ` +
			`waiting_for="resources of its factory"`
		if got := log.String(); strings.Count(got, want) != 1 || strings.Count(got, "\n") != 1 {
			t.Errorf("got %s, want once %s", got, want)
		}
	})
}
