package retry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	again, err := retry.New(retry.Config{Tries: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := again(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		attempt, _ := transaction.AttemptFromContext(r.Context())
		fmt.Fprintf(w, "attempt %d of %d", attempt.Number, attempt.Tries)
		if attempt.Number < 2 {
			return transaction.Transient(errors.New("lost a race"))
		}
		return nil
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 200 attempt 2 of 3
}
