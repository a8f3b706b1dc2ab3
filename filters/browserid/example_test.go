package browserid_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/transaction"
)

// A browser is known by its cookie; who has none, or a forged one, is new.
func Example() {
	filter, err := browserid.New(browserid.Config{SecretKey: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := map[browserid.ID]int{}
	h := filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := browserid.FromContext(r.Context())
		seen[id]++
		fmt.Fprintf(w, "visit %d", seen[id])
	}))

	visit := func(cookie string) (issued string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Body)
		issued, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
		return issued
	}
	cookie := visit("")
	visit(cookie)
	visit("forged" + cookie)
	// Output:
	// visit 1
	// visit 2
	// visit 1
}

// At log-in the browser gets a new id, and the session goes with it: an id that somebody planted before is worth nothing
// afterwards. All of it belongs to the transaction, so that an attempt that is run again leaves no trace.
func ExampleRenew() {
	filter, err := browserid.New(browserid.Config{SecretKey: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	sessions := map[browserid.ID]string{} // in real life, a session manager
	h := filter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// Filter tm does this for every request.
		ctx, txn := transaction.Begin(r.Context())

		before, _ := browserid.FromContext(ctx)
		sessions[before] = "a basket with three apples"
		id, err := browserid.Renew(ctx)
		if err != nil {
			fmt.Println(err)
		}
		sessions[id] = sessions[before]
		delete(sessions, before)

		if err := txn.Commit(ctx); err != nil {
			fmt.Println(err)
		}
		now, _ := browserid.FromContext(r.Context())
		fmt.Println(now != before, sessions[now])
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
	// Output:
	// true a basket with three apples
}
