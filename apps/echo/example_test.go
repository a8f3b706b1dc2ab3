package echo_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pasteline/pasteline/apps/echo"
)

func Example() {
	app := echo.New(echo.Config{})
	r := httptest.NewRequest(http.MethodPut, "http://example.org/page?q=1",
		strings.NewReader("Hello!"))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output:
	// PUT /page?q=1 HTTP/1.1
	// Host: example.org
	// Content-Type: text/plain
	//
	// script name: ""
	// path: "/page"
	// scheme: http
	// remote address: 192.0.2.1:1234
	// body: 6 bytes
	//
	// Hello!
}
