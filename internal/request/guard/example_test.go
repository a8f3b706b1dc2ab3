package guard_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/request/guard"
)

// An app for clients on this machine, and for those elsewhere that have the token.
func Example() {
	g, err := guard.New(guard.Settings{
		Allow: []string{"localhost"}, Token: "d3Fk7Q0pXv2mRzN8",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := g.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "metrics")
	}))
	get := func(from, token string) {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil)
		r.RemoteAddr = from
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	get("127.0.0.1:40000", "")
	get("192.0.2.1:40000", "d3Fk7Q0pXv2mRzN8")
	get("192.0.2.1:40000", "another")
	// Output:
	// 200 metrics
	// 200 metrics
	// 403 The token is wrong.
}
