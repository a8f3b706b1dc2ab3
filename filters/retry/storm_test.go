package retry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// weather lists the behaviours of requests in the storm, and for each the status that it may be
// answered with besides 503; 0 means an incomplete answer.
var weather = map[string]int{
	"":            200,
	"renew":       200,
	"body":        200,
	"large":       200,
	"flush":       200,
	"stray":       200,
	"500":         500,
	"late":        500,
	"error":       500,
	"panic":       0,
	"flush+panic": 0,
	"leave":       0,
}

// stormy increments the counter, and then behaves as the request's weather demands. All requests
// conflict with each other.
func stormy(db *storage.DB, sessions *session.Manager, leave *sync.Map) func(http.ResponseWriter,
	*http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		how, ctx := r.PathValue("how"), r.Context()
		if _, err := sessions.Get(ctx); err != nil {
			return err
		}
		if how == "renew" {
			if err := sessions.Renew(ctx); err != nil {
				return err
			}
		}
		if _, err := increment(ctx, db); err != nil {
			return err
		}
		attempt, _ := transaction.AttemptFromContext(ctx)
		for _, name := range []string{"one", "two"} {
			http.SetCookie(w, &http.Cookie{Name: name, Value: strconv.Itoa(attempt.Number)})
		}
		switch how {
		case "body":
			_, err := io.Copy(w, r.Body)
			return err
		case "large":
			_, err := w.Write(bytes.Repeat([]byte("x"), 200<<10))
			return err
		case "flush", "flush+panic":
			fmt.Fprint(w, "x")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			if how == "flush+panic" {
				panic(http.ErrAbortHandler)
			}
		case "stray":
			// only the body, not w: the compressor is not safe for concurrent use;
			// TestUseAfterReturn covers it
			body := r.Body
			go func() {
				for range 5 {
					_, _ = body.Read(make([]byte, 10))
				}
			}()
		case "500":
			w.WriteHeader(http.StatusInternalServerError)
		case "late":
			fmt.Fprint(w, "x")
			http.Error(w, "sorry", http.StatusInternalServerError)
		case "error":
			fmt.Fprint(w, "x")
			return errOther
		case "panic":
			panic(http.ErrAbortHandler)
		case "leave":
			if cancel, ok := leave.Load(r.PathValue("number")); ok {
				cancel.(context.CancelFunc)()
			}
			<-ctx.Done()
		}
		fmt.Fprint(w, "x")
		return nil
	}
}

// All kinds of failures happen at the same time, with sessions and middlewares of other packages.
// Every request answered with 200 is kept, no failed one is, no answer mixes two attempts, and
// nothing is left behind.
func TestStorm(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) { storm(t, protocol) })
	}
}

func storm(t *testing.T, protocol string) {
	t.Helper()
	leakCheck(t)
	db := memory.New("storm")
	t.Cleanup(func() { _ = db.Close() })
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var leave sync.Map
	inner := chi.NewRouter()
	inner.Use(middleware.Recoverer, middleware.Compress(5))
	inner.Handle("/{number}/{how}", handler.Func(stormy(db, sessions, &leave)))
	inner.Handle("/{number}/", handler.Func(stormy(db, sessions, &leave)))
	outer := chi.NewRouter()
	outer.Use(middleware.Recoverer, middleware.Compress(5))
	outer.Handle("/*", composed(t, retry.Config{HighWater: 20 << 10}, tm.Config{})(inner))
	server := serve(t, protocol, outer)

	const clients, rounds = 6, 3
	var kept, mayBeKept atomic.Int64 // unanswered requests may be kept
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for round := range rounds {
				for how, want := range weather {
					size := []int{0, 10, 100 << 10}[(client+round)%3]
					if how == "leave" {
						size = 0 // with HTTP/1 a disconnect is noticed only after the body was read
					}
					ctx, cancel := context.WithCancel(t.Context())
					number := fmt.Sprint(client, "-", round)
					leave.Store(number, cancel)
					status := blow(ctx, t, server.Client(), server.URL+"/"+number+"/"+how,
						bytes.Repeat([]byte("b"), size))
					cancel()
					switch {
					case status == http.StatusOK && want == http.StatusOK:
						kept.Add(1)
					case status == 0 && how == "flush+panic":
						mayBeKept.Add(1)
					case status != want && status != http.StatusServiceUnavailable:
						t.Errorf("%q: status %d, want %d", how, status, want)
					}
				}
			}
		})
	}
	wg.Wait()
	var n int
	if err := transaction.Run(t.Context(), func(ctx context.Context) (err error) {
		n, err = increment(ctx, db)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if low, high := kept.Load(), kept.Load()+mayBeKept.Load(); int64(n-1) < low ||
		int64(n-1) > high {
		t.Errorf("counted %d, want %d to %d", n-1, low, high)
	}
	server.Close()
	eventually(t, "the end of all temporary files",
		func() bool { return len(temporaryFiles(t)) == 0 })
}

// blow sends one request, and returns its status, or 0 if the answer is incomplete.
func blow(ctx context.Context, t *testing.T, client *http.Client, url string, body []byte) int {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url,
		onlyReader{bytes.NewReader(body)})
	if err != nil {
		t.Error(err)
		return 0
	}
	if len(body) == 0 {
		request.Body = http.NoBody
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	how := url[strings.LastIndexByte(url, '/')+1:]
	if how == "body" && response.StatusCode == http.StatusOK && !bytes.Equal(text, body) {
		t.Errorf("%s: an answer of %d bytes, %.20q", url, len(text), text)
	}
	values := map[string]string{}
	for _, cookie := range response.Cookies() {
		if _, again := values[cookie.Name]; again {
			t.Errorf("%s: the cookie %q twice", url, cookie.Name)
		}
		values[cookie.Name] = cookie.Value
	}
	written := response.StatusCode == http.StatusOK ||
		response.StatusCode == http.StatusInternalServerError && how != "error"
	if values["one"] != values["two"] || (values["one"] != "") != written ||
		values["repoze.browserid"] == "" {
		t.Errorf("%s: status %d with the cookies %v", url, response.StatusCode, values)
	}
	return response.StatusCode
}

// temporaryFiles returns the files in the temporary folder, and open files without a name.
func temporaryFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil {
		t.Fatal(err)
	}
	open, _ := filepath.Glob("/proc/self/fd/*") // empty on systems without /proc
	for _, name := range open {
		if target, err := os.Readlink(name); err == nil && strings.Contains(target, "/pasteline-") {
			files = append(files, target)
		}
	}
	return files
}
