package server_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/server"
)

// A request has the id that a trusted proxy has sent, and otherwise one of the server's.
func TestRequestID(t *testing.T) {
	t.Parallel()
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, observe.ID(r.Context()))
	})
	const sent = "id-of-the-proxy"
	for name, tt := range map[string]struct {
		config server.Config
		kept   bool
	}{
		"trusted": {server.Config{TrustedProxy: []string{"127.0.0.1"}}, true},
		"other":   {server.Config{TrustedProxy: []string{"192.0.2.1"}}, false},
		"none":    {server.Config{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.config.Listen = []string{"127.0.0.1:0"}
			url := "http://" + start(t, newServer(t, tt.config), app)[0].String()
			_, first := get(t, http.DefaultClient, url, "X-Request-Id", sent)
			_, second := get(t, http.DefaultClient, url)
			if (first == sent) != tt.kept || len(second) < 26 || first == second {
				t.Errorf("got %q and %q, want the proxy's id: %v", first, second, tt.kept)
			}
		})
	}
}
