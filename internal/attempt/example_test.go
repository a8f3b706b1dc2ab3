package attempt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/attempt"
)

// A filter that answers for the handlers behind it.
func Example() {
	filter := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, result := attempt.NewContext(r.Context())
			next.ServeHTTP(w, r.WithContext(ctx))
			if err := result.Err(); err != nil {
				fmt.Println("failed:", err)
				result.Respond(w, r, err)
			}
		})
	}
	h := filter(handler.Func(func(http.ResponseWriter, *http.Request) error { return errors.New("no more paper") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	fmt.Println(w.Code)
	// Output:
	// failed: no more paper
	// 500
}
