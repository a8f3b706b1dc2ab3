package mount_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/mount"
)

// An app that knows nothing of where it is, and links to its own pages all the same.
func Example() {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "page %s, log in at %s", r.URL.Path, mount.Join(r.Context(), "/login"))
	})
	mounted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r, ok := mount.Cut(r, "/blog"); ok {
			app.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})

	w := httptest.NewRecorder()
	mounted.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/blog/entry/7", nil))
	fmt.Println(w.Body)
	// Output: page /entry/7, log in at /blog/login
}
