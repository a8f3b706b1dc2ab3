package config_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/filters/config"
)

func Example() {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conf, _ := config.FromContext(r.Context())
		n, err := conf.Int("items_per_page", 10)
		if err != nil {
			http.Error(w, "configuration", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s, %d items", conf.Text("title", "No title"), n)
	})
	filter := config.New(map[string]string{"title": "My site", "items_per_page": "20"})

	w := httptest.NewRecorder()
	filter(app).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Body)
	// Output: My site, 20 items
}
