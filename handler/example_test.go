package handler_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/handler"
)

// A handler that returns its error, without any filter around it.
func Example() {
	h := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if r.FormValue("text") == "" {
			return &handler.Error{Status: http.StatusUnprocessableEntity, Message: "An entry needs a text."}
		}
		fmt.Fprintln(w, "thank you")
		return nil
	})
	for _, target := range []string{"/?text=hello", "/"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, nil))
		fmt.Print(w.Code, " ", w.Body)
	}
	// Output:
	// 200 thank you
	// 422 An entry needs a text.
}

// An app that answers failed requests with a page of its own.
func ExampleResponder() {
	page := func(w http.ResponseWriter, r *http.Request, err error) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(handler.Status(err))
		fmt.Fprintf(w, "<h1>Sorry</h1>")
	}
	h := handler.Responder(page)(handler.Func(func(http.ResponseWriter, *http.Request) error {
		return &handler.Error{Status: http.StatusNotFound}
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil))
	fmt.Println(w.Code, w.Body)
	// Output: 404 <h1>Sorry</h1>
}
