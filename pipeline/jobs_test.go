package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// working registers an app with a job, and loads it.
func working(t *testing.T, registry *pipeline.Registry, opts pipeline.Options,
	job func(b *pipeline.Build),
) *pipeline.Pipeline {
	t.Helper()
	pipeline.App(registry, "egg:working",
		func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
			job(b)
			return http.NotFoundHandler(), nil
		})
	files := text(registry, map[string]string{"site.ini": "[app:main]\nuse = egg:working\n"})
	opts.Registry, opts.ReadFile = registry, files.ReadFile
	p, err := pipeline.Load(t.Context(), "site.ini", opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Close cancels a job's context and waits until the job has returned.
func TestGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, returned := false, false
		p := working(t, pipeline.NewRegistry(), pipeline.Options{}, func(b *pipeline.Build) {
			b.Go(func(ctx context.Context) error {
				began = true
				<-ctx.Done()
				time.Sleep(time.Minute)
				returned = true
				return ctx.Err()
			})
		})
		synctest.Wait()
		if !began {
			t.Error("the job has not begun")
		}
		if err := p.Close(); err != nil || !returned {
			t.Errorf("closed with %v, returned: %t", err, returned)
		}
	})
}

// A job of a reloaded pipeline waits for that of the old one.
func TestGoOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		atWork, most, began := 0, 0, 0
		job := func(b *pipeline.Build) {
			b.Go(func(ctx context.Context) error {
				began++
				atWork++
				most = max(most, atWork)
				<-ctx.Done()
				atWork--
				return nil
			})
		}
		registry := pipeline.NewRegistry()
		old := working(t, registry, pipeline.Options{}, job)
		synctest.Wait()
		renewed := working(t, registry.Renew(), pipeline.Options{}, job)
		synctest.Wait()
		if began != 1 {
			t.Errorf("%d jobs have begun beside each other", began)
		}
		abandoned := working(t, registry.Renew(), pipeline.Options{}, job)
		if err := abandoned.Close(); err != nil { // while its job waits
			t.Error(err)
		}
		if err := old.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if began != 2 || most != 1 {
			t.Errorf("%d jobs have begun, up to %d at once; want 2, 1", began, most)
		}
		if err := renewed.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		start, calls := time.Now(), []time.Duration{}
		p := working(t, pipeline.NewRegistry(),
			pipeline.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))},
			func(b *pipeline.Build) {
				b.Every(time.Minute, func(context.Context) error {
					calls = append(calls, time.Since(start))
					time.Sleep(time.Second)
					switch len(calls) {
					case 1:
						return errors.New("no paper")
					case 2:
						panic("no ink")
					}
					return nil
				})
			})
		time.Sleep(200 * time.Second)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		want := []time.Duration{60 * time.Second, 121 * time.Second, 182 * time.Second}
		if len(calls) != 3 || calls[0] != want[0] || calls[1] != want[1] || calls[2] != want[2] {
			t.Errorf("called after %v, want %v", calls, want)
		}
		if text := log.String(); !strings.Contains(text, "no paper") ||
			!strings.Contains(text, "no ink") || !strings.Contains(text, "section=app:main") {
			t.Errorf("log:\n%s", text)
		}
	})
}

// A job does not begin where the pipeline is only looked at, nor where loading it fails.
func TestNoJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		job := func(b *pipeline.Build) {
			b.Go(func(context.Context) error { t.Error("the job has begun"); return nil })
		}
		p := working(t, pipeline.NewRegistry(), pipeline.Options{NoJobs: true}, job)
		synctest.Wait()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		registry := pipeline.NewRegistry()
		pipeline.App(registry, "egg:failing",
			func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
				job(b)
				return nil, errors.New("no")
			})
		if _, err := pipeline.Load(t.Context(), "site.ini", text(registry,
			map[string]string{"site.ini": "[app:main]\nuse = egg:failing\n"})); err == nil {
			t.Error("loaded")
		}
		synctest.Wait()
	})
}
