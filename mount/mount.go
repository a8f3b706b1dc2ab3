// Package mount tells an app where it is mounted: which part of the client's path was cut off on the
// way to it. That part is WSGI's SCRIPT_NAME; URL.Path of the request is its PATH_INFO.
//
// An app that builds URLs puts the mount path in front with [Join] or [URL], and so works wherever a
// file mounts it. A composite or filter that gives an app a part of the path calls [Cut]; one that
// knows what a proxy in front has cut off calls [Set]. The apps of urlmap and the filter prefix do
// this.
//
// # Caveats
//
// When nothing is left of the path it is "/", not empty as in WSGI, since [http.ServeMux] answers an
// empty path with a redirect to the root of the site; [Exact] tells the two apart.
//
// A chi router inside sees the rest of the path, not the RoutePath of a chi router outside. To put a
// pipeline below a path of a chi router, cut that path with Cut or [http.StripPrefix], since chi
// itself leaves URL.Path whole.
package mount

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// FromContext returns the script name of the request that ctx belongs to: unescaped, with a slash in front and none at
// the end, or "" if nothing was cut off. It is safe for concurrent use.
func FromContext(ctx context.Context) string {
	if s := find(ctx); s != nil {
		return s.name
	}
	return ""
}

// Exact reports whether the visitor's path ended where the script name does: /blog and not /blog/. Links of a page that
// are relative need the slash, so an app with such links redirects the visitor to Join(ctx, "/").
func Exact(ctx context.Context) bool {
	s := find(ctx)
	return s != nil && s.exact
}

// Join puts the script name, escaped, in front of ref: what an app knows as "/login?next=1" is "/blog/login?next=1" for
// the visitor. ref starts with a slash, is escaped already, and may have a query and a fragment. The result is for links
// and redirects.
func Join(ctx context.Context, ref string) string {
	name := FromContext(ctx)
	if name == "" {
		return ref
	}
	return (&url.URL{Path: name}).EscapedPath() + ref
}

// URL returns the absolute form of [Join], such as "https://example.org/blog/login?next=1". Scheme and host are what the
// visitor sees only if the filter prefix, or the server, learned them from the proxies in front.
func URL(r *http.Request, ref string) string {
	return Scheme(r) + "://" + r.Host + Join(r.Context(), ref)
}

// Scheme returns "https" if the visitor speaks https, to us or to a proxy in front, and else "http". A filter that
// believes a proxy says so in the request's URL.Scheme.
func Scheme(r *http.Request) string {
	if r.TLS != nil || r.URL.Scheme == "https" {
		return "https"
	}
	return "http"
}

// Cut returns a copy of r without prefix at the start of its path, and with prefix at the end of the script name. prefix
// is unescaped, with a slash in front and none at the end. It reports false, and returns r itself, if the path is not
// prefix and does not go on with a slash after it.
//
// A slash that the visitor has escaped (%2F) is a character of a segment and separates none, so /a%2Fb is not below /a.
func Cut(r *http.Request, prefix string) (*http.Request, bool) {
	if prefix == "" {
		return r, true
	}
	path, raw, ok := cut(r.URL, prefix)
	if !ok {
		return r, false
	}
	s := &scope{Context: r.Context(), name: FromContext(r.Context()) + prefix, cut: true, url: *r.URL}
	if path == "" {
		path, s.exact = "/", true
	}
	s.url.Path, s.url.RawPath = path, raw
	r = r.WithContext(s) //nolint:contextcheck // it is made of the request's own
	r.URL = &s.url
	return r, true
}

// Set returns a copy of r with another script name, and the path as it is: for what a proxy in front has cut off.
func Set(r *http.Request, name string) *http.Request {
	return r.WithContext(&scope{Context: r.Context(), name: name, exact: Exact(r.Context())}) //nolint:contextcheck // as above
}

// Below returns r as an app sees it of which all is below prefix: with prefix as the script name, and cut off the path if
// a proxy in front has not done so. prefix is as for Cut.
func Below(r *http.Request, prefix string) *http.Request {
	if prefix == "" {
		return r
	}
	r, _ = Cut(r, prefix)
	if FromContext(r.Context()) != prefix {
		r = Set(r, prefix)
	}
	return r
}

// cut takes prefix off the path of u, and what it was written as off the raw path.
func cut(u *url.URL, prefix string) (path, raw string, ok bool) {
	path, ok = strings.CutPrefix(u.Path, prefix)
	if !ok || path != "" && path[0] != '/' {
		return "", "", false
	}
	if u.RawPath == "" || u.EscapedPath() != u.RawPath {
		return path, "", true // a raw path that says something else than the path does not count, as in net/url
	}
	written, raw := splitEscaped(u.RawPath, len(prefix))
	if strings.Contains(strings.ToLower(written), "%2f") || raw != "" && raw[0] != '/' {
		return "", "", false
	}
	if raw == (&url.URL{Path: path}).EscapedPath() {
		raw = ""
	}
	return path, raw, true
}

// splitEscaped splits s after what stands for its first n unescaped bytes.
func splitEscaped(s string, n int) (head, tail string) {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		if s[i] == '%' {
			i += 2
		}
		i++
	}
	return s[:i], s[i:]
}

// A scope is the context below a place where the path was cut. One value carries the name and the new URL, since each
// request to an app below a urlmap makes one.
type scope struct {
	context.Context
	name  string
	exact bool
	cut   bool // the request has url, and not that of the request outside
	url   url.URL
}

type ctxKey struct{}

// Value also hides the route context of a chi router outside: a router inside would take its RoutePath for the path that
// is left, instead of the request's.
func (s *scope) Value(key any) any {
	switch {
	case key == ctxKey{}:
		return s
	case s.cut && key == chi.RouteCtxKey:
		return nil
	}
	return s.Context.Value(key)
}

func find(ctx context.Context) *scope {
	s, _ := ctx.Value(ctxKey{}).(*scope)
	return s
}
