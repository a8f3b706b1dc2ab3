package tm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	transact := tm.New(tm.Config{})
	h := transact(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		txn, _ := transaction.FromContext(r.Context())
		txn.AfterCommit(func(context.Context, bool) { fmt.Println("committed", txn.Description()) })
		txn.AfterAbort(func(context.Context) { fmt.Println("aborted", txn.Description()) })
		fmt.Fprint(w, "hello")
		if r.URL.Path == "/fail" {
			return errors.New("out of paper")
		}
		return nil
	}))
	for _, path := range []string{"/hello", "/fail"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(),
			http.MethodGet, path, nil))
		fmt.Println(w.Code)
	}
	// Output:
	// committed /hello
	// 200
	// aborted /fail
	// 500
}
