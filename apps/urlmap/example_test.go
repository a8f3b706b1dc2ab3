package urlmap_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/mount"
)

func Example() {
	blog := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "blog: %s, all entries are at %s", r.URL.Path,
			mount.Join(r.Context(), "/entries"))
	})
	site, err := urlmap.New(urlmap.Config{Apps: map[string]http.Handler{
		"/":                       http.NotFoundHandler(),
		"/blog":                   blog,
		"domain blog.example.org": blog,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{
		"http://example.org/blog/entry/7",
		"http://blog.example.org/entry/7",
	} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(w.Body)
	}
	// Output:
	// blog: /entry/7, all entries are at /blog/entries
	// blog: /entry/7, all entries are at /entries
}
