package forwarded_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/request/forwarded"
)

func TestTrust(t *testing.T) {
	t.Parallel()
	unix := &net.UnixAddr{Name: "/run/site.sock", Net: "unix"}
	tests := []struct {
		name  string
		peers string
		addr  string
		local net.Addr
		want  bool
	}{
		{"nobody", "", "127.0.0.1:1", nil, false},
		{"address", "127.0.0.1", "127.0.0.1:1", nil, true},
		{"address with comma", "127.0.0.1, 10.0.0.1", "127.0.0.1:1", nil, true},
		{"another address", "127.0.0.1", "127.0.0.2:1", nil, false},
		{"network", "10.0.0.0/8", "10.1.2.3:1", nil, true},
		{"outside of the network", "10.0.0.0/8", "11.1.2.3:1", nil, false},
		{"IPv6", "[::1]", "[::1]:1", nil, true},
		{"IPv6 with zone", "fe80::/10", "[fe80::1%eth0]:1", nil, true},
		{"IPv4 in IPv6", "10.0.0.1", "[::ffff:10.0.0.1]:1", nil, true},
		{"every socket", "unix", "@", unix, true},
		{"one socket", "unix:/run/site.sock", "@", unix, true},
		{"another socket", "unix:/run/other.sock", "@", unix, false},
		{"an address is no socket", "unix", "127.0.0.1:1", unix, false},
		{"a socket is no address", "127.0.0.1", "@", unix, false},
		{"nothing known", "unix", "@", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			peers, faults := forwarded.ParsePeers(strings.Fields(tt.peers))
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, tt.local), http.MethodGet, "/", nil)
			r.RemoteAddr = tt.addr
			if got := peers.Trust(r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			everybody := forwarded.Everybody()
			if !everybody.Trust(r) || !everybody.Contains(netip.Addr{}) {
				t.Error("everybody is not everybody")
			}
		})
	}
}

func TestParsePeersFaults(t *testing.T) {
	t.Parallel()
	_, faults := forwarded.ParsePeers([]string{"proxy", "10.0.0.1/8", "::ffff:10.0.0.0/104", "127.0.0.1"})
	want := `"proxy" is no proxy: want an address such as 127.0.0.1, a network such as 10.0.0.0/8, or unix
"10.0.0.1/8" is no network: do you mean 10.0.0.0/8, or the address 10.0.0.1 alone?
"::ffff:10.0.0.0/104" is an IPv4 network written as IPv6: write it as IPv4`
	if err := errors.Join(faults...); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" a,b ,": "a|b|", ",c": "|c", "": "", `"a" , "b\"c"`: `a|b"c`, `a"b`: `a"b`, `"\\"`: `\`, `""`: "", "\t\"a b\"": "a b",
	} {
		got, err := forwarded.Elements([]string{text})
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: got %q, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{`"`, `"a`, `a"`, `"a"b"`, `"a\"`, `a, "`, `"a, b"`} {
		if got, err := forwarded.Elements([]string{text}); err == nil {
			t.Errorf("%s: got %q, want an error", text, got)
		}
	}
	got, err := forwarded.Elements([]string{"a", "b"})
	if err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := forwarded.Elements(nil); err != nil || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAddr(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "1.2.3.4:5": "1.2.3.4", "[::1]:5": "::1", "[::1]": "::1", "::ffff:1.2.3.4": "1.2.3.4", "unknown": "", "": "", "_x": "",
		"1.2.3.4:99999": "1.2.3.4", "1.2.3.4:x": "1.2.3.4", "[::1]:x": "::1", ":": "", "::1:x": "", "1.2.3.4:5:6": "", "999.1.1.1": "",
	} {
		if got, ok := forwarded.Addr(text); ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, ok, want)
		}
	}
}

func TestIsHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"example.org": true, "example.org:80": true, "[::1]:80": true, "": false, "a/b": false, "a?b": false, "user@host": false, "a b": false, ":80": false, "a:b": false, "a\r\nb": false,
	} {
		if got := forwarded.IsHost(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestIsScheme(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"http": true, "HTTPS": true, "": false, "ftp": false} {
		if scheme, ok := forwarded.IsScheme(text); ok != want || scheme != strings.ToLower(text) {
			t.Errorf("%q: got %q, %v, want %v", text, scheme, ok, want)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	r.TLS = &tls.ConnectionState{}
	r.Header.Set(forwarded.Host, "outside")
	if got := (forwarded.View{}).Apply(r, forwarded.For); got != r {
		t.Error("a request of which nothing changes was copied")
	}
	got := forwarded.View{Host: "outside", Scheme: "http", RemoteAddr: "1.2.3.4:0"}.Apply(r, forwarded.Host, forwarded.For)
	if got.Host != "outside" || got.URL.String() != "http://outside/x" || got.RemoteAddr != "1.2.3.4:0" || got.TLS != nil || len(got.Header) != 0 {
		t.Errorf("got %+v", got)
	}
	if r.Host != "example.com" || r.URL.String() != "/x" || r.TLS == nil || r.Header.Get(forwarded.Host) != "outside" {
		t.Errorf("the request itself was changed: %+v", r)
	}
}

func FuzzIsHost(f *testing.F) {
	f.Add("example.org:80")
	f.Add("[::1]")
	f.Fuzz(func(t *testing.T, s string) {
		if forwarded.IsHost(s) && strings.ContainsAny(s, " /?#@\\\r\n\x00") {
			t.Errorf("%q is no host", s)
		}
	})
}
