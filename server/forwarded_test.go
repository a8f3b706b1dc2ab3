package server_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/server"
)

// A translation is what is left of a request that came through a proxy.
type translation struct {
	Status, Scheme, Host, Addr string
	Left                       map[string]string // the fields, as WSGI names them
}

func translated(s *server.Server, r *http.Request) translation {
	got, err := s.Translate(r)
	if err != nil {
		return translation{Status: "400"}
	}
	t := translation{Status: "200", Scheme: "http", Host: got.Host, Left: map[string]string{}}
	if got.URL.Scheme != "" {
		t.Scheme = got.URL.Scheme
	}
	t.Addr, _, _ = net.SplitHostPort(got.RemoteAddr)
	for name, lines := range got.Header {
		t.Left["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = strings.Join(lines,
			", ")
	}
	return t
}

// A difference is one on purpose: about says what, and matches which of the recorded requests it is
// about.
type difference struct {
	about   string
	matches func(value string, waitress, here translation) bool
}

// differences are all of them.
var differences = []difference{
	{"A value that is no address, such as unknown or _hidden, is ignored, and the address " +
		"of the connection stays; Waitress takes the value as the address.", func(_ string, waitress, here translation) bool {
		_, isAddress := forwarded.Addr(waitress.Addr)
		waitress.Addr = "127.0.0.1"
		return !isAddress && cmp.Equal(waitress, here)
	}},
	{"An IPv6 address is accepted without brackets, and with a port; Waitress takes its " +
		"last part for a port.", func(value string, waitress, here translation) bool {
		waitress.Addr = here.Addr
		return strings.Count(value, ":") > 1 && net.ParseIP(here.Addr) != nil &&
			here.Addr != "127.0.0.1" && cmp.Equal(waitress, here)
	}},
	{
		"A malformed host, such as a/b, is answered with 400; Waitress takes it as the " +
			"host.",
		func(value string, waitress, here translation) bool {
			return here.Status == "400" && waitress.Status == "200" &&
				strings.Contains(value, waitress.Host) && !forwarded.IsHost(waitress.Host)
		},
	},
	{
		"A port that is no number is answered with 400; Waitress makes it a part of the " +
			"host.",
		func(_ string, waitress, here translation) bool {
			port, ok := waitress.Left["HTTP_X_FORWARDED_PORT"]
			_, err := strconv.ParseUint(port, 10, 32)
			return here.Status == "400" && waitress.Status == "200" && ok && err != nil
		},
	},
}

// What becomes of 370 requests is recorded from Waitress 3.0.2.
func TestGoldenForwarded(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("testdata", "waitress-forwarded.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden []struct {
		Trusted string
		Count   int
		Fields  [][2]string
		Want    translation
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	used := make([]int, len(differences))
	for _, g := range golden {
		s := newServer(t, server.Config{
			TrustedProxy: []string{"127.0.0.1"}, TrustedProxyCount: g.Count,
			TrustedProxyHeaders: strings.Fields(g.Trusted), ClearUntrustedProxyHeaders: true,
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:9", "site"
		for _, field := range g.Fields {
			r.Header.Add(field[0], field[1])
		}
		got := translated(s, r)
		diff := cmp.Diff(g.Want, got)
		if diff == "" {
			continue
		}
		i := slices.IndexFunc(differences,
			func(d difference) bool { return d.matches(g.Fields[0][1], g.Want, got) })
		if i < 0 {
			t.Errorf("%d of %q (-want +got):\n%s", g.Count, g.Fields, diff)
			continue
		}
		used[i]++
	}
	if len(golden) < 300 || slices.Contains(used, 0) {
		t.Errorf("of %d requests differ on purpose %v, want some of each", len(golden), used)
	}
}
