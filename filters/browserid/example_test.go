package browserid_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pasteline/pasteline/filters/browserid"
)

// A browser is identified by its cookie. A browser without a cookie, or with a forged one, gets a
// new id.
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

	state := func(cookie string) (issued string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Body)
		issued, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
		return issued
	}
	cookie := state("")
	state(cookie)
	state("forged" + cookie)
	// Output:
	// visit 1
	// visit 2
	// visit 1
}
