package forwarded

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The names of the fields. All but the first are customs without a standard.
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

// Hops returns what each proxy has added to a header field that is a list, the last one last, as it is written. Several lines are
// one list. A proxy may have added nothing: then its element is empty.
func Hops(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(strings.Join(lines, ", "), ",")
}

// Elements returns the values of a header field that is a list, an empty one included, without space and quotes around them. The
// error is for one that is not well-formed, wherever it stands: what has written that is not to be believed.
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

// Unquote returns the value of a quoted string, or s itself if that has a quote neither at its start nor at its end.
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
				return "", fmt.Errorf("%s has a quote without its other one", strconv.QuoteToASCII(s))
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), nil
}

// Addr reads an IP address, with or without a port and brackets. A port that can't be one does not count.
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

// IsHost reports whether s, which may end with a port, can stand in a Host field.
func IsHost(s string) bool {
	if s == "" || strings.ContainsAny(s, "/?#@\\") {
		return false
	}
	u, err := url.Parse("http://" + s)
	return err == nil && u.Host == s && u.Hostname() != ""
}

// IsScheme returns s in lower case, and whether it is one that visitors can have used: http or https.
func IsScheme(s string) (string, bool) {
	s = strings.ToLower(s)
	return s, s == "http" || s == "https"
}

// A View is what the visitor sees and the request does not say by itself. What is empty is left as it is.
type View struct {
	Host       string
	Scheme     string
	RemoteAddr string
}

// Apply returns r as the visitor sees it, without the fields of those names. What does not change is not copied.
func (v View) Apply(r *http.Request, drop ...string) *http.Request {
	drop = slices.DeleteFunc(slices.Clone(drop), func(name string) bool { return len(r.Header[name]) == 0 })
	if v.Host == "" {
		v.Host = r.Host
	}
	if v == (View{Host: r.Host}) && len(drop) == 0 {
		return r
	}
	c := *r
	c.Host = v.Host
	if v.Scheme != "" {
		u := *r.URL
		u.Scheme, u.Host = v.Scheme, v.Host // with the host, so that the URL can be printed
		c.URL = &u
	}
	if v.Scheme == "http" {
		c.TLS = nil // it is the proxy that speaks TLS with us, not the visitor
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
