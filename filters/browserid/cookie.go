package browserid

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cutCookie finds the next cookie called name in a Cookie header. It returns its value and the rest
// of the header.
//
// It parses as net/http does (quotes around a value are removed), but does not allocate: net/http
// makes a slice and a struct for every cookie of the site.
func cutCookie(line, name string) (value, rest string, found bool) {
	for line != "" {
		var pair string
		pair, line, _ = strings.Cut(line, ";")
		key, value, ok := strings.Cut(pair, "=")
		if !ok || trimBlank(key) != name {
			continue
		}
		value = trimBlank(value)
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		return value, line, true
	}
	return "", "", false
}

// trimBlank removes blanks and tabs, which are the white space of HTTP, from both ends.
func trimBlank(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// cookieAttributes are the parts of a Set-Cookie header after the value.
type cookieAttributes struct {
	path, domain string // empty: omitted
	place        string // the result of placeOf for path and domain
	lifetime     time.Duration
	secure       Secure
	httpOnly     bool
	sameSite     SameSite
	partitioned  bool
}

// placeOf returns the path and domain attributes of a Set-Cookie header. net/http writes them, so
// that its checks of the characters apply.
func placeOf(path, domain string) string {
	c := http.Cookie{Name: "a", Path: path, Domain: domain} //nolint:gosec // the cookie is not sent
	return strings.TrimPrefix(c.String(), "a=")
}

// appendTo appends the attributes of a Set-Cookie header. A lifetime is written as Max-Age, which
// does not depend on the browser's clock, and as Expires, which repoze.browserid sends and old
// browsers understand.
func (a *cookieAttributes) appendTo(b []byte, r *http.Request, now time.Time) []byte {
	b = append(b, a.place...)
	if a.lifetime > 0 {
		b = append(b, "; Expires="...)
		b = now.Add(a.lifetime).UTC().AppendFormat(b, http.TimeFormat)
		b = append(b, "; Max-Age="...)
		b = strconv.AppendInt(b, int64(a.lifetime/time.Second), 10)
	}
	if a.httpOnly {
		b = append(b, "; HttpOnly"...)
	}
	if a.isSecure(r) {
		b = append(b, "; Secure"...)
	}
	if s := sameSiteText(a.sameSite); s != "" {
		b = append(b, "; "...)
		b = append(b, s...)
	}
	if a.partitioned {
		b = append(b, "; Partitioned"...)
	}
	return b
}

func (a *cookieAttributes) isSecure(r *http.Request) bool {
	return a.secure == SecureOn || a.secure == SecureAuto && isHTTPS(r)
}

// isHTTPS reports whether the client uses https, to this server or to a proxy in front of it: for a
// trusted proxy, the filter prefix sets the scheme of the request's URL.
func isHTTPS(r *http.Request) bool {
	return r.TLS != nil || r.URL.Scheme == "https"
}

func sameSiteText(s SameSite) string {
	switch s {
	case SameSiteLax:
		return "SameSite=Lax"
	case SameSiteStrict:
		return "SameSite=Strict"
	case SameSiteNone:
		return "SameSite=None"
	}
	return ""
}

// isToken reports whether s is valid as the name of a cookie.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
