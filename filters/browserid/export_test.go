package browserid

import (
	"net/http"
	"time"
)

// Unexported names for the tests in package browserid_test.

// WithClock returns c with a replaced clock.
func (c Config) WithClock(now func() time.Time) Config {
	c.now = now
	return c
}

// WithIDs returns c with a replaced source of ids.
func (c Config) WithIDs(newID func() ID) Config {
	c.newID = newID
	return c
}

// RepozeSign is to_cookieval of repoze.browserid, with the values named by vary.
func RepozeSign(secret string, values []string, id ID) string {
	return (&repozeCodec{[]string{secret}}).sign(id, values)
}

// RepozeVerify is from_cookieval of repoze.browserid.
func RepozeVerify(secret string, values []string, cookie string) (ID, bool) {
	id, _, ok := (&repozeCodec{[]string{secret}}).verify(cookie, values)
	return id, ok
}

// The readers of Cookie headers, and the check for well-known secrets.
var (
	CutCookie     = cutCookie
	SimpleCookie  = simpleCookie
	IsPlaceholder = isPlaceholder
)

// Environ reads a WSGI environ variable from r; false if no request has it.
func Environ(r *http.Request, name string) (string, bool) {
	read := environ(name)
	if read == nil {
		return "", false
	}
	return read(r), true
}

// OwnSign signs in format 2, at a time in milliseconds since 1970.
func OwnSign(secret, cookieName string, varyNames, values []string, id ID, issued int64) string {
	return string(newCodec([]string{secret}, cookieName, varyNames).appendSigned(nil, id,
		issued, values))
}

// FormerSign signs in format 1.
func FormerSign(secret, cookieName string, varyNames, values []string, id ID) string {
	m := newCodec([]string{secret}, cookieName, varyNames).former[0].get()
	return string(id) + "." + string(m.tag([]byte(id), values))
}

// The settings of an .ini section whose types implement encoding.TextUnmarshaler.
type (
	Toggle   = toggle
	Lifetime = lifetime
)

// Values of a Toggle.
const (
	On   = on
	Off  = off
	Auto = auto
)
