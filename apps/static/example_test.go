package static_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/pasteline/pasteline/apps/static"
)

func Example() {
	folder, err := os.MkdirTemp("", "static")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "robots.txt"), []byte("User-agent: *"),
		0o600); err != nil {
		fmt.Println(err)
		return
	}

	app, err := static.New(static.Config{DocumentRoot: folder, CacheMaxAge: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	w := httptest.NewRecorder()
	app.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/robots.txt", nil))
	fmt.Println(w.Header().Get("Cache-Control"))
	fmt.Println(w.Body)
	// Output:
	// public, max-age=3600
	// User-agent: *
}
