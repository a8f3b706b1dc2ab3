package prefix_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/filters/prefix"
	"github.com/pasteline/pasteline/mount"
)

// The proxy has the address https://example.org/james for clients, and connects from this machine.
func Example() {
	filter, err := prefix.New(prefix.Config{
		Prefix: "/james", TrustedProxies: []string{"127.0.0.1", "::1"},
		TrustedProxyHeaders: []string{"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asks for %s; log in at %s", r.RemoteAddr, r.URL.Path,
			mount.URL(r, "/login"))
	}))

	r := httptest.NewRequest(http.MethodGet, "http://localhost:6543/purchase_orders/1", nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	r.Header.Set("X-Forwarded-Host", "example.org")
	r.Header.Set("X-Forwarded-Proto", "https")
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: 203.0.113.9:0 asks for /purchase_orders/1; log in at https://example.org/james/login
}
