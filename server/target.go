package server

import (
	"net/http"
	"net/url"
)

// withPath returns r with a URL of path and query only. It reports false if there is no path. A
// client can send a whole URL in the request line; its scheme and host are only claims. The host
// that applies by the rules of HTTP is in r.Host.
func withPath(r *http.Request) (*http.Request, bool) {
	u := r.URL
	if u.Opaque != "" || r.Method == http.MethodConnect && u.Path == "" {
		return r, false // an opaque URL, or the target of a tunnel
	}
	if u.Path != "" && u.Scheme == "" && u.Host == "" && u.User == nil {
		return r, true
	}
	own := *r // a copy, since the request is net/http's
	own.URL = &url.URL{
		Path: u.Path, RawPath: u.RawPath, ForceQuery: u.ForceQuery,
		RawQuery: u.RawQuery,
	}
	if u.Path == "" {
		own.URL.Path = "/"
	}
	return &own, true
}
