package guard

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
)

// HasToken reports whether a token is set, so that a page may ask for it.
func (g *Guard) HasToken() bool { return g.token != nil }

// IsToken reports whether text is the token, in a time that does not depend on text.
func (g *Guard) IsToken(text string) bool {
	hash := sha256.Sum256([]byte(text))
	return g.token != nil && subtle.ConstantTimeCompare(hash[:], g.token[:]) == 1
}

// Pass returns the value of a cookie for browsers that have sent the token to a page that asks for
// it. The token can't be derived from it; another token makes it invalid. It is "" without a token.
func (g *Guard) Pass() string {
	if g.token == nil {
		return ""
	}
	mac := hmac.New(sha256.New, g.token[:])
	mac.Write([]byte("pasteline: pass of a guard"))
	return hex.EncodeToString(mac.Sum(nil))
}

// HasPass reports whether the cookie of r with the given name has the value of [Guard.Pass].
func (g *Guard) HasPass(r *http.Request, cookie string) bool {
	c, err := r.Cookie(cookie)
	return err == nil && g.token != nil &&
		subtle.ConstantTimeCompare([]byte(c.Value), []byte(g.Pass())) == 1
}

// ErrSite is the error of [SameSite].
var ErrSite = errors.New("the request was caused by a page of another site")

// SameSite returns [ErrSite] if the browser tells that a page of another site has caused the
// request. A link on another site that leads to a page is accepted, a frame, a form or a script is
// not.
func SameSite(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return nil // the Origin of a form may be "null" then, by the page's Referrer-Policy
	case "": // a program, or an old browser
	default:
		if r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
			r.Header.Get("Sec-Fetch-Dest") == "document" {
			return nil
		}
		return ErrSite
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return ErrSite
		}
	}
	return nil
}
