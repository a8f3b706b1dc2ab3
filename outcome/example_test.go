package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/outcome"
)

// A handler that returns its error, without any filter around it.
func Example() {
	handler := outcome.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.FormValue("text") == "" {
			return outcome.WithStatus(http.StatusUnprocessableEntity, errors.New("an entry needs a text"))
		}
		fmt.Fprintln(w, "thank you")
		return nil
	})
	for _, target := range []string{"/?text=hello", "/"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 thank you
	// 422 Unprocessable Entity
}

// A filter that answers for whatever is inside it.
func ExampleNewContext() {
	filter := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, slot := outcome.NewContext(r.Context())
			next.ServeHTTP(w, r.WithContext(ctx))
			if err := slot.Err(); err != nil {
				fmt.Println("failed:", err)
				outcome.Respond(w, r, err)
			}
		})
	}
	handler := filter(outcome.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return errors.New("no more paper") }))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	fmt.Println(w.Code)
	// Output:
	// failed: no more paper
	// 500
}
