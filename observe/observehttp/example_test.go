package observehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/observe/observehttp"
	"github.com/pasteline/pasteline/transaction"
)

// A counter is a listener that prints how each attempt ended.
type counter struct{}

func (counter) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context { return ctx }

func (counter) RequestEnd(_ context.Context, f observe.RequestEnd) {
	fmt.Println(f.Route, f.Status, f.Attempts, "attempts,", f.Conflicts, "lost")
}

func (counter) AttemptStart(ctx context.Context, _ observe.AttemptStart) context.Context { return ctx }

func (counter) AttemptEnd(_ context.Context, f observe.AttemptEnd) {
	fmt.Println("attempt", f.Number, f.Outcome)
}

// A request that loses its first attempt.
func Example() {
	router := chi.NewRouter()
	router.Get("/items/{id}", handler.Func(
		func(_ http.ResponseWriter, r *http.Request) error {
			if try, _ := transaction.AttemptFromContext(r.Context()); try.Number == 1 {
				return transaction.Transient(errors.New("lost a race"))
			}
			return nil
		}))
	again, err := retry.New(retry.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := again(tm.New(tm.Config{})(observehttp.Route("shop", router)))
	h := observehttp.New(counter{})(app)

	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/items/7", http.NoBody)
	h.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// attempt 1 conflict
	// attempt 2 committed
	// /items/{id} 200 2 attempts, 1 lost
}
