package browserid

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// cutCookie finds the next cookie called name in one Cookie header. rest is what follows it.
//
// It reads as net/http does (quotes around a value are taken off), but allocates nothing: reading cookies with
// net/http makes a slice and a struct for each cookie that the site has, for the one that is wanted here.
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

// trimBlank takes blanks and tabs off both ends: the white space of HTTP, and no other.
func trimBlank(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// cookieAttributes are what a Set-Cookie header says beside the value.
type cookieAttributes struct {
	path, domain string // none if empty
	place        string // the two as placeOf has them
	lifetime     time.Duration
	secure       Toggle // On, Off or Auto
	httpOnly     bool
	sameSite     SameSite
	partitioned  bool
}

// placeOf returns what a Set-Cookie header says of path and domain. Net/http writes it, so that nothing gets into a header that
// it would not let through.
func placeOf(path, domain string) string {
	c := http.Cookie{Name: "a", Path: path, Domain: domain} //nolint:gosec // it is not sent
	return strings.TrimPrefix(c.String(), "a=")
}

// appendTo appends what follows the value in a Set-Cookie header. A lifetime is said in both ways, since Max-Age does not
// depend on the browser's clock, and Expires is what the original sends and old browsers know.
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
	return a.secure == On || a.secure == Auto && isHTTPS(r)
}

// isHTTPS reports whether the visitor speaks https, to us or to a proxy in front: a filter that believes the proxy's
// headers says so in the request's URL.
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

// isToken reports whether s may be the name of a cookie.
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
