package forwarded

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Names of the fields. All but the first are conventions without a standard.
const (
	Standard = "Forwarded" // RFC 7239
	For      = "X-Forwarded-For"
	By       = "X-Forwarded-By"
	Host     = "X-Forwarded-Host"
	Port     = "X-Forwarded-Port"
	Proto    = "X-Forwarded-Proto"
	Scheme   = "X-Forwarded-Scheme"
	Server   = "X-Forwarded-Server"
)

// fields are all fields that say for whom a proxy has passed a request on.
var fields = []string{Standard, By, For, Host, Port, Proto, Scheme, Server}

// Fields returns the names of the forwarded fields that a header has.
func Fields(header http.Header) []string {
	var names []string
	for _, name := range fields {
		if len(header[name]) > 0 {
			names = append(names, name)
		}
	}
	return names
}

type droppedKey struct{}

// ByProxy reports whether a proxy, or a client that acts as if it were one, has passed r on: r has
// or had a field that only proxies add. The fields that [View.Apply] has dropped count too.
func ByProxy(r *http.Request) bool {
	return len(Fields(r.Header)) > 0 || len(r.Header["X-Real-Ip"]) > 0 ||
		len(r.Header["Via"]) > 0 || r.Context().Value(droppedKey{}) != nil
}

// Hops returns the element that each proxy has added to a list-valued header field, the last one
// last, unparsed. Several lines form one list. An empty element means that a proxy has added
// nothing.
func Hops(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(strings.Join(lines, ", "), ",")
}

// Elements returns the values of a list-valued header field, including empty ones, without
// surrounding space and quotes. It returns an error if any element is malformed: such a field must
// not be trusted.
func Elements(lines []string) ([]string, error) {
	list := Hops(lines)
	for i, element := range list {
		var err error
		if list[i], err = Unquote(strings.TrimSpace(element)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Unquote returns the value of a quoted string, or s itself if it neither starts nor ends with a
// quote.
func Unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) && !strings.HasSuffix(s, `"`) {
		return s, nil
	}
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", fmt.Errorf("%s has a quote without its other one", strconv.QuoteToASCII(s))
	}
	inner := s[1 : len(s)-1]
	if !strings.ContainsAny(inner, "\\\"") {
		return inner, nil
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return "", fmt.Errorf("%s has a quote inside", strconv.QuoteToASCII(s))
		case '\\':
			if i++; i == len(inner) {
				return "", fmt.Errorf("%s has a quote without its other one",
					strconv.QuoteToASCII(s))
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), nil
}

// Addr parses an IP address, with or without a port and brackets. An invalid port is ignored.
func Addr(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return addr.Addr().Unmap(), true
	}
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap(), true
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		addr, err := netip.ParseAddr(strings.Trim(s[:i], "[]"))
		return addr.Unmap(), err == nil && (addr.Is4() || s[i-1] == ']')
	}
	return netip.Addr{}, false
}

// IsHost reports whether s, which may end with a port, is valid in a Host field.
func IsHost(s string) bool {
	if s == "" || strings.ContainsAny(s, "/?#@\\") {
		return false
	}
	u, err := url.Parse("http://" + s)
	return err == nil && u.Host == s && u.Hostname() != ""
}

// IsScheme returns s in lower case, and whether it is http or https.
func IsScheme(s string) (string, bool) {
	s = strings.ToLower(s)
	return s, s == "http" || s == "https"
}

// A View holds the client's view of a request, where it differs from the request itself. Empty
// fields change nothing.
type View struct {
	Host       string
	Scheme     string
	RemoteAddr string
}

// Apply returns r with the client's view, and without the fields named by drop, which [ByProxy]
// still knows of. Unchanged parts are not copied.
func (v View) Apply(r *http.Request, drop ...string) *http.Request {
	drop = slices.DeleteFunc(slices.Clone(drop),
		func(name string) bool { return len(r.Header[name]) == 0 })
	if v.Host == "" {
		v.Host = r.Host
	}
	if v == (View{Host: r.Host}) && len(drop) == 0 {
		return r
	}
	c := *r
	if len(drop) > 0 {
		c = *r.WithContext(context.WithValue(r.Context(), droppedKey{}, true))
	}
	c.Host = v.Host
	if v.Scheme != "" {
		u := *r.URL
		u.Scheme, u.Host = v.Scheme, v.Host // with the host, so that the URL can be printed
		c.URL = &u
	}
	if v.Scheme == "http" {
		c.TLS = nil // TLS was used by the proxy, not by the client
	}
	if v.RemoteAddr != "" {
		c.RemoteAddr = v.RemoteAddr
	}
	if len(drop) > 0 {
		c.Header = r.Header.Clone()
		for _, name := range drop {
			delete(c.Header, name)
		}
	}
	return &c
}
