package server

import (
	"net/http"
	"net/url"
)

// withPath returns r with the path and the query alone as its URL, and reports false if there is no path. A client can
// write a whole URL into the request line, with a scheme and a name that are nothing but its claims; the host, which
// counts as HTTP has it, is in r.Host.
func withPath(r *http.Request) (*http.Request, bool) {
	u := r.URL
	if u.Opaque != "" || r.Method == http.MethodConnect && u.Path == "" {
		return r, false // a name of another kind, or the address that a tunnel is to lead to
	}
	if u.Path != "" && u.Scheme == "" && u.Host == "" && u.User == nil {
		return r, true
	}
	own := *r // a copy, since the request is net/http's
	own.URL = &url.URL{Path: u.Path, RawPath: u.RawPath, ForceQuery: u.ForceQuery, RawQuery: u.RawQuery}
	if u.Path == "" {
		own.URL.Path = "/"
	}
	return &own, true
}
