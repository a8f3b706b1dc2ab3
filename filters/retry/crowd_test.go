package retry_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
)

// increment adds one to the counter in the transaction of ctx.
func increment(ctx context.Context, db *storage.DB) (int, error) {
	tx, err := db.Tx(ctx)
	if err != nil {
		return 0, err
	}
	bucket := tx.Bucket("counters")
	value, err := bucket.Get([]byte("n"))
	if err != nil {
		return 0, err
	}
	n := 0
	if value != nil {
		if n, err = strconv.Atoi(string(value)); err != nil {
			return 0, err
		}
	}
	return n + 1, bucket.Put([]byte("n"), []byte(strconv.Itoa(n+1)))
}

// Guarantee G3: with the default settings, many clients of one key are served: every answer is 200
// or 503, at least 99 % are 200, and the value is the number of 200s.
func TestManyClientsOfOneKey(t *testing.T) {
	t.Parallel()
	leakCheck(t)
	db := memory.New("crowd")
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		n, err := increment(r.Context(), db)
		fmt.Fprint(w, n)
		return err
	})
	server := serve(t, "HTTP/1.1", mustRetry(t, retry.Config{})(tm.New(tm.Config{})(app)))
	const clients, requests = 64, 50
	var fine, unavailable atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range requests {
				switch got := ask(t, server, http.MethodPost, "/", nil); got.Status {
				case http.StatusOK:
					fine.Add(1)
				case http.StatusServiceUnavailable:
					unavailable.Add(1)
				default:
					t.Errorf("got %+v", got)
				}
			}
		})
	}
	wg.Wait()
	if fine.Load() < clients*requests*99/100 {
		t.Errorf("%d were served, %d not", fine.Load(), unavailable.Load())
	}
	last := ask(t, server, http.MethodPost, "/", nil)
	if want := strconv.FormatInt(fine.Load()+1, 10); last.Body != want {
		t.Errorf("the counter is at %s, want %s", last.Body, want)
	}
}
