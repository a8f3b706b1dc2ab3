package forwarded

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
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

// Elements returns those of a header field that is a list, without the empty ones. Several lines are one list.
func Elements(lines []string) []string {
	var list []string
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = strings.TrimSpace(element); element != "" {
				list = append(list, element)
			}
		}
	}
	return list
}

// Addr reads an IP address, with or without a port and brackets.
func Addr(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return addr.Addr().Unmap(), true
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap(), err == nil
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
