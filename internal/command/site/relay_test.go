package site_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/internal/command/site"
)

// A fakeApp is a pipeline that records its closing.
type fakeApp struct {
	http.HandlerFunc
	closed chan struct{}
	err    error
}

func newFakeApp(h http.HandlerFunc) *fakeApp {
	return &fakeApp{HandlerFunc: h, closed: make(chan struct{})}
}

func (a *fakeApp) Close() error {
	close(a.closed)
	return a.err
}

func (a *fakeApp) isClosed() bool {
	select {
	case <-a.closed:
		return true
	default:
		return false
	}
}

// Of the requests that run when an app is replaced, those that end in time are not disturbed, the
// others are told to end, and those that don't listen are waited for, until the relay itself is
// closed.
func TestRelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ends := map[string]string{}
		var mu sync.Mutex
		begin := time.Now()
		note := func(name, how string) {
			mu.Lock()
			defer mu.Unlock()
			ends[name] = fmt.Sprintf("%s after %s", how, time.Since(begin))
		}
		deaf := make(chan struct{})
		old := newFakeApp(func(_ http.ResponseWriter, r *http.Request) {
			switch name := r.URL.Path[1:]; name {
			case "short":
				select {
				case <-time.After(20 * time.Second):
					note(name, "done")
				case <-r.Context().Done():
					note(name, "cut off")
				}
			case "stream", "derived", "late", "panics":
				ctx := r.Context()
				if name == "derived" {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Hour)
					defer cancel()
				}
				if name == "late" { // it does not ask before the time is over
					time.Sleep(time.Minute + time.Second)
					if ctx.Err() == nil {
						t.Error("Err is nil although the time is over")
					}
				}
				<-ctx.Done()
				note(name, context.Cause(ctx).Error())
				if name == "panics" {
					panic(http.ErrAbortHandler)
				}
			case "polls": // it never waits for its context, and looks at it once
				time.Sleep(time.Minute + time.Second)
				if err := r.Context().Err(); !errors.Is(err, context.Canceled) {
					t.Errorf("Err: got %v, want %v", err, context.Canceled)
				}
				note(name, context.Cause(r.Context()).Error())
			case "deaf":
				<-deaf
				note(name, "done")
			}
		})
		next := newFakeApp(func(w http.ResponseWriter, r *http.Request) {
			if err := r.Context().Err(); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "new")
		})
		next.err = errors.New("stuck")
		relay := site.NewRelay(old, time.Minute,
			slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		send := func(path string) string {
			w := httptest.NewRecorder()
			relay.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			return w.Body.String()
		}
		var requests sync.WaitGroup
		names := []string{"short", "stream", "derived", "late", "polls", "deaf", "panics"}
		for _, name := range names {
			requests.Go(func() {
				defer func() { _ = recover() }()
				send("/" + name)
			})
		}
		synctest.Wait()
		relay.Replace(next)
		synctest.Wait()
		if got := send("/"); got != "new" || old.isClosed() {
			t.Errorf("got %q, want new, and the old one open (closed: %t)", got, old.isClosed())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if old.isClosed() {
			t.Error("closed while a request runs")
		}
		close(deaf)
		requests.Wait()
		synctest.Wait()
		if !old.isClosed() {
			t.Error("not closed after the last request")
		}
		replaced := "the pipeline has been replaced, and the time for its last requests is " +
			"over after 1m"
		for name, want := range map[string]string{
			"short": "done after 20s", "stream": replaced + "0s", "derived": replaced + "0s",
			"late": replaced + "1s", "polls": replaced + "1s", "panics": replaced + "0s",
			"deaf": "done after 1h0m0s",
		} {
			if got := ends[name]; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		if want := `msg="requests that still run in the old pipeline are asked to end" ` +
			`requests=6`; strings.Count(log.String(), want) != 1 {
			t.Errorf("got the log\n%s, want once %s", log.String(), want)
		}

		const goesOn = `msg="requests in the old pipeline go on although they were asked to end, ` +
			`and keep it open" requests=1 oldest="[GET \"/deaf\" for 1m3s]"`
		if got := strings.Count(log.String(), goesOn); got != 1 {
			t.Errorf("got %d times, want once %s\n%s", got, goesOn, log.String())
		}

		// The end does not wait for requests.
		relay.Replace(newFakeApp(func(http.ResponseWriter, *http.Request) {}))
		synctest.Wait()
		if !next.isClosed() || !strings.Contains(log.String(),
			"can't close the old pipeline\" error=stuck") {
			t.Errorf("closed %t, log\n%s", next.isClosed(), log.String())
		}
		forever := make(chan struct{})
		last := newFakeApp(func(http.ResponseWriter, *http.Request) { <-forever })
		relay.Replace(last)
		go send("/")
		synctest.Wait()
		final := newFakeApp(nil)
		final.err = errors.New("stuck")
		relay.Replace(final)
		synctest.Wait()
		if last.isClosed() {
			t.Error("closed while a request runs")
		}
		if err := relay.Close(); !errors.Is(err, final.err) || !last.isClosed() ||
			!final.isClosed() {
			t.Errorf("got %v, want stuck, and all closed", err)
		}
		close(forever)
	})
}

// The request's own end reaches handlers as before, and its values and deadline do.
func TestRelayKeepsTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	cause := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
	ctx, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	var kept context.Context
	a := newFakeApp(func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context() //nolint:fatcontext // it is looked at afterwards, too
		if got := kept.Value(key{}); got != "value" {
			t.Errorf("got %v, want value", got)
		}
		if _, ok := kept.Deadline(); !ok {
			t.Error("the deadline is gone")
		}
		if kept.Err() != nil {
			t.Error(kept.Err())
		}
		child, stop := context.WithCancel(kept)
		defer stop()
		cancel(cause)
		<-child.Done()
		if got := context.Cause(child); !errors.Is(got, cause) {
			t.Errorf("got %v, want %v", got, cause)
		}
		if got := kept.Value(key{}); got != "value" {
			t.Errorf("got %v, want value", got)
		}
	})
	relay := site.NewRelay(a, time.Minute, slog.New(slog.DiscardHandler))
	relay.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/",
		http.NoBody))
	if got := context.Cause(kept); !errors.Is(got, cause) {
		t.Errorf("afterwards: got %v, want %v", got, cause)
	}
}

// Files of a form that an app has parsed are removed by the server, which looks for them in the
// request that it made itself.
func TestRelayHandsBackForms(t *testing.T) {
	t.Parallel()
	a := newFakeApp(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}
	})
	relay := site.NewRelay(a, time.Minute, slog.New(slog.DiscardHandler))
	body := "--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\ncontent\r\n--x--\r\n"
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	relay.ServeHTTP(httptest.NewRecorder(), r)
	if r.MultipartForm == nil || len(r.MultipartForm.File["f"]) != 1 {
		t.Fatalf("got %v, want the form that was parsed", r.MultipartForm)
	}
	if err := r.MultipartForm.RemoveAll(); err != nil {
		t.Error(err)
	}
}

// Swapping while many send never shows them an app that is closed.
func TestRelayUnderLoad(t *testing.T) {
	t.Parallel()
	open := func() *fakeApp {
		var a *fakeApp
		a = newFakeApp(func(_ http.ResponseWriter, r *http.Request) {
			if a.isClosed() {
				t.Error("a request reached an app that is closed")
			}
			select {
			case <-r.Context().Done():
				t.Error("cut off")
			default:
			}
		})
		return a
	}
	relay := site.NewRelay(open(), time.Hour, slog.New(slog.DiscardHandler))
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					relay.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/",
						http.NoBody))
				}
			}
		})
	}
	for range 1000 {
		relay.Replace(open())
	}
	close(stop)
	clients.Wait()
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkRelay is what a request pays for pipelines that can be replaced.
func BenchmarkRelay(b *testing.B) {
	for name, h := range map[string]http.HandlerFunc{
		"plain":    func(http.ResponseWriter, *http.Request) {},
		"listened": func(_ http.ResponseWriter, r *http.Request) { _ = r.Context().Done() },
	} {
		b.Run("context="+name, func(b *testing.B) {
			b.ReportAllocs()
			relay := site.NewRelay(newFakeApp(h), time.Minute, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
			for b.Loop() {
				relay.ServeHTTP(nil, r)
			}
		})
	}
}
