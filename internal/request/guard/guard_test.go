package guard_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/pipeline"
)

const secret = "0123456789abcdef"

func TestCheck(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	unix := &net.UnixAddr{Name: "/run/site.sock", Net: "unix"}
	bearer := func(token string) http.Header {
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	const local = "127.0.0.1:1"
	for _, tt := range []struct {
		name   string
		allow  string
		addr   string
		host   string
		header http.Header
		onUnix bool
		want   bool
	}{
		{name: "local", allow: "localhost", addr: local, want: true},
		{name: "local, IPv6", allow: "localhost", addr: "[::1]:1", host: "[::1]:80", want: true},
		{name: "local, by name", allow: "localhost", addr: local, host: "localhost:80", want: true},
		{name: "local, machine's name", allow: "localhost", addr: local, host: name, want: true},
		{name: "local, another site's name", allow: "localhost", addr: local, host: "evil.example"},
		{name: "local, no Host", allow: "localhost", addr: local, host: "-"},
		{name: "elsewhere", allow: "localhost", addr: "192.0.2.1:1"},
		{name: "a network", allow: "10.0.0.0/8", addr: "10.1.1.1:1", host: "web1", want: true},
		{name: "all", allow: "*", addr: "192.0.2.1:1", host: "web1", want: true},
		{
			name: "all, through a proxy", allow: "*", addr: local, host: "web1",
			header: http.Header{"X-Forwarded-For": {"192.0.2.1"}}, want: true,
		},
		{name: "none", addr: local},
		{
			name: "a proxy", allow: "localhost", addr: local,
			header: http.Header{"X-Forwarded-For": {"127.0.0.1"}},
		},
		{
			name: "a proxy that tells the scheme alone", allow: "localhost", addr: local,
			header: http.Header{"X-Forwarded-Proto": {"https"}},
		},
		{
			name: "the standard field", allow: "localhost", addr: local,
			header: http.Header{"Forwarded": {"for=127.0.0.1"}},
		},
		{
			name: "the field of nginx", allow: "localhost", addr: local,
			header: http.Header{"X-Real-Ip": {"127.0.0.1"}},
		},
		{name: "a socket", allow: "unix", addr: "@", onUnix: true, host: "web1", want: true},
		{name: "a socket is not local", allow: "localhost", addr: "@", onUnix: true},
		{name: "no address", allow: "localhost", addr: ""},
		{name: "token", addr: "192.0.2.1:1", header: bearer(secret), want: true},
		{
			name: "token, through a proxy", addr: local, host: "evil.example", want: true,
			header: http.Header{
				"Authorization": {"bearer " + secret}, "X-Forwarded-For": {"192.0.2.1"},
			},
		},
		{name: "wrong token", allow: "localhost", addr: local, header: bearer(secret + "x")},
		{name: "empty token", addr: "192.0.2.1:1", header: bearer("")},
		{
			name: "password", addr: "192.0.2.1:1", want: true,
			header: http.Header{"Authorization": {"Basic OjAxMjM0NTY3ODlhYmNkZWY="}},
		},
		{
			name: "another scheme", addr: "192.0.2.1:1",
			header: http.Header{"Authorization": {"Digest " + secret}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := guard.New(guard.Settings{Allow: strings.Fields(tt.allow), Token: secret})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tt.onUnix {
				r = httptest.NewRequestWithContext(
					context.WithValue(t.Context(), http.LocalAddrContextKey, unix), http.MethodGet, "/", http.NoBody)
			}
			r.RemoteAddr, r.Host = tt.addr, "127.0.0.1:8080"
			switch tt.host {
			case "":
			case "-":
				r.Host = ""
			default:
				r.Host = tt.host
			}
			maps.Copy(r.Header, tt.header)
			if got := g.Allows(r); got != tt.want {
				t.Errorf("got %v, %v, want %v", got, g.Check(r), tt.want)
			}
			if err := g.Check(r); err != nil {
				if handler.Status(err) != http.StatusForbidden ||
					strings.Contains(err.Error(), secret) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// The server removes the fields of a proxy that it does not trust. Its requests are no local ones
// then either.
func TestDroppedFields(t *testing.T) {
	t.Parallel()
	g, err := guard.New(guard.Settings{Allow: []string{"localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
	if !g.Allows(r) {
		t.Fatal("a local request is refused")
	}
	r.Header.Set(forwarded.For, "192.0.2.1")
	cleared := forwarded.View{}.Apply(r, forwarded.For)
	if len(cleared.Header) > 0 || g.Allows(cleared) {
		t.Errorf("got %v, allowed %v", cleared.Header, g.Allows(cleared))
	}
}

// Without a token in the settings no token gives access.
func TestNoToken(t *testing.T) {
	t.Parallel()
	g, err := guard.New(guard.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer ")
	r.SetBasicAuth("", "")
	if g.Allows(r) {
		t.Error("an empty token gives access")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for key, s := range map[string]guard.Settings{
		"allow": {Allow: []string{"everywhere"}},
		"token": {Token: "short"},
	} {
		_, err := guard.New(s)
		fault, ok := errors.AsType[*pipeline.Error](err)
		if !ok || fault.Key != key || strings.Contains(err.Error(), "short") {
			t.Errorf("%s: got %v", key, err)
		}
	}
}
