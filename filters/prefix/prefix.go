package prefix

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/mount"
)

// New returns the filter. The error is that of [Config.Validate]. The filter is safe for concurrent
// use and is not affected by later changes of c.
func New(c Config) (func(http.Handler) http.Handler, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	trusted, err := parseTrusted(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Prefix = c.prefix()
	return func(next http.Handler) http.Handler {
		return &filter{Config: c, trusted: trusted, fields: c.trustedFields(), next: next}
	}, nil
}

type filter struct {
	Config
	trusted forwarded.Peers
	fields  map[string]bool // fields to use if a trusted proxy sends them
	warned  atomic.Bool     // the warning about untrusted fields was logged
	next    http.Handler
}

// ServeHTTP passes on the request with the URL and address that the client used.
func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := forwarded.View{Host: r.Host}
	var translated []string
	if !f.IgnoreForwarded && isForwarded(r.Header) {
		if f.trusted.Trust(r) {
			v, translated = f.forwarded(r), forwardedNames
		} else if !f.warned.Swap(true) {
			f.Logger.LogAttrs(r.Context(), slog.LevelWarn,
				"forwarded header fields are not trusted, "+
					"since this address is not one of trusted_proxies; logged once",
				slog.String("remote_addr", r.RemoteAddr))
		}
	}
	if f.Scheme != "" {
		v.Scheme = f.Scheme
	}
	if f.ForcePort != 0 {
		v.Host = withPort(v.Host, f.ForcePort)
	}
	inner := v.Apply(mount.Below(r, f.Prefix), translated...)
	defer formfiles.HandBack(r, inner)
	f.next.ServeHTTP(w, inner)
}

// forwardedNames are the fields of trusted proxies. All of them are removed, as the app must not
// trust them.
var forwardedNames = []string{
	forwarded.For, forwarded.Host, forwarded.Proto, forwarded.Scheme, forwarded.Server,
}

func isForwarded(header http.Header) bool {
	return slices.ContainsFunc(forwardedNames, func(name string) bool {
		return len(header[name]) > 0
	})
}

// forwarded reads the header fields of a trusted proxy.
func (f *filter) forwarded(r *http.Request) forwarded.View {
	v := forwarded.View{Host: r.Host}
	proxies := 1 // number of trusted proxies between here and the client
	addresses, err := forwarded.Elements(f.field(r, forwarded.For))
	if err != nil {
		addresses = nil // treated as absent
	}
	for _, text := range slices.Backward(addresses) {
		addr, ok := forwarded.Addr(text)
		if !ok {
			break // not an address, so it can't be a trusted proxy
		}
		v.RemoteAddr = net.JoinHostPort(addr.String(), "0")
		if !f.trusted.Contains(addr) {
			break
		}
		proxies++
	}
	proxies = min(proxies, max(len(addresses), 1))
	for _, name := range [...]string{forwarded.Server, forwarded.Host} { // the last one wins
		if host := nth(f.field(r, name), proxies); forwarded.IsHost(host) {
			v.Host = host
		}
	}
	scheme := nth(f.field(r, forwarded.Scheme), proxies)
	if scheme == "" {
		scheme = nth(f.field(r, forwarded.Proto), proxies)
	}
	if scheme, ok := forwarded.IsScheme(scheme); ok {
		v.Scheme = scheme
	}
	return v
}

// field returns the lines of a field, or nil if it is not trusted.
func (f *filter) field(r *http.Request, name string) []string {
	if !f.fields[name] {
		return nil
	}
	return r.Header[name]
}

// nth returns the element that the n-th proxy, counted from this server, has added. Not every proxy
// adds one: from a shorter list nth returns the first element. It returns "" for a malformed list.
func nth(lines []string, n int) string {
	list, err := forwarded.Elements(lines)
	if err != nil || len(list) == 0 {
		return ""
	}
	return list[max(len(list)-n, 0)]
}

// withPort returns host with another port.
func withPort(host string, port int) string {
	u := url.URL{Host: host}
	name := u.Hostname()
	if port == DefaultPort {
		if strings.Contains(name, ":") {
			return "[" + name + "]"
		}
		return name
	}
	return net.JoinHostPort(name, strconv.Itoa(port))
}
