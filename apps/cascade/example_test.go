package cascade_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/apps/cascade"
)

func Example() {
	files := http.NewServeMux()
	files.HandleFunc("/logo.svg", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w,
			"a file")
	})
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w,
			"a page")
	})

	app, err := cascade.New(cascade.Config{Apps: []http.Handler{files, site}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, target := range []string{"/logo.svg", "/about"} {
		w := httptest.NewRecorder()
		app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		fmt.Println(target, "is", w.Body)
	}
	// Output:
	// /logo.svg is a file
	// /about is a page
}
