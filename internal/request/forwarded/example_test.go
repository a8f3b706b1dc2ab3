package forwarded_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/request/forwarded"
)

// A request that a proxy on this machine has passed on.
func Example() {
	peers, faults := forwarded.ParsePeers([]string{"127.0.0.1", "10.0.0.0/8"})
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/entry", nil)
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("X-Forwarded-Proto", "https")
	if peers.Trust(r) {
		r = forwarded.View{Scheme: r.Header.Get(forwarded.Proto)}.Apply(r, forwarded.Proto)
	}
	fmt.Println(r.URL, r.Header)
	// Output: https://example.com/entry map[]
}
