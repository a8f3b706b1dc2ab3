// Package mount tells an app where it is mounted: the part of the client's path that was cut off on
// the way to it. That part is called the script name, after WSGI's SCRIPT_NAME; URL.Path of the
// request is WSGI's PATH_INFO.
//
// An app that builds URLs prepends the script name with [Join] or [URL], and so works wherever a
// file mounts it. A composite or filter that passes a part of the path to an app calls [Cut]; a
// filter that knows the part that a proxy in front has cut off calls [Set]. The apps of urlmap and
// the filter prefix do this.
//
// A [Mux] is an [http.ServeMux] that mounts handlers, and that tells its patterns, with those of the
// mounted routers.
//
// # Caveats
//
// When the rest of the path is empty, it becomes "/", which is different from WSGI, since
// [http.ServeMux] answers an empty path with a redirect to the root of the site; [Exact]
// distinguishes the two.
//
// An inner chi router sees the rest of the path, not the RoutePath of an outer chi router. To put a
// pipeline below a path of a chi router, cut that path with Cut or [http.StripPrefix], since chi
// does not change URL.Path.
package mount

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// FromContext returns the script name of the request that ctx belongs to: unescaped, with a leading
// slash and no trailing one, or "" if nothing was cut off. It is safe for concurrent use.
func FromContext(ctx context.Context) string {
	if s := find(ctx); s != nil {
		return s.name
	}
	return ""
}

// Exact reports whether the client's path ends where the script name does: /blog and not /blog/.
// Relative links of a page need the slash, so an app with such links redirects the client to
// Join(ctx, "/").
func Exact(ctx context.Context) bool {
	s := find(ctx)
	return s != nil && s.exact
}

// Join puts the script name, escaped, in front of ref: the app's path "/login?next=1" is
// "/blog/login?next=1" for the client. ref must start with a slash and be escaped, and may have a
// query and a fragment. The result is for links and redirects.
func Join(ctx context.Context, ref string) string {
	name := FromContext(ctx)
	if name == "" {
		return ref
	}
	return (&url.URL{Path: name}).EscapedPath() + ref
}

// URL returns the absolute form of [Join], such as "https://example.org/blog/login?next=1". Behind
// a proxy, scheme and host are those that the client sees only if the filter prefix, or the server,
// takes them from the proxy.
func URL(r *http.Request, ref string) string {
	return Scheme(r) + "://" + r.Host + Join(r.Context(), ref)
}

// Scheme returns "https" if the client uses https, to this server or to a proxy in front, otherwise
// "http". A filter that trusts a proxy sets the request's URL.Scheme.
func Scheme(r *http.Request) string {
	if r.TLS != nil || r.URL.Scheme == "https" {
		return "https"
	}
	return "http"
}

// Cut returns a copy of r with prefix moved from the start of its path to the end of the script
// name. prefix is unescaped, with a leading slash and no trailing one. It returns r and false if
// the path is neither prefix nor continues with a slash after it.
//
// A slash that the client has escaped (%2F) is part of a segment and no separator, so /a%2Fb is not
// below /a.
func Cut(r *http.Request, prefix string) (*http.Request, bool) {
	if prefix == "" {
		return r, true
	}
	path, raw, ok := cut(r.URL, prefix)
	if !ok {
		return r, false
	}
	s := &scope{
		Context: r.Context(),
		name:    FromContext(r.Context()) + prefix,
		cut:     true,
		url:     *r.URL,
	}
	if path == "" {
		path, s.exact = "/", true
	}
	s.url.Path, s.url.RawPath = path, raw
	r = r.WithContext(s)
	r.URL = &s.url
	return r, true
}

// Set returns a copy of r with another script name and the same path. It is for a prefix that a
// proxy in front has cut off.
func Set(r *http.Request, name string) *http.Request {
	s := &scope{Context: r.Context(), name: name, exact: Exact(r.Context())}
	return r.WithContext(s)
}

// Below returns r for an app that is mounted below prefix as a whole: with prefix as the script
// name, and without prefix in the path if a proxy in front has not removed it. prefix is as for
// Cut.
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

// cut removes prefix from the path of u, and its escaped form from the raw path.
func cut(u *url.URL, prefix string) (path, raw string, ok bool) {
	path, ok = strings.CutPrefix(u.Path, prefix)
	if !ok || path != "" && path[0] != '/' {
		return "", "", false
	}
	if u.RawPath == "" || u.EscapedPath() != u.RawPath {
		// As in net/url, a raw path that does not match the path is ignored.
		return path, "", true
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

// splitEscaped splits s after the escaped form of its first n unescaped bytes.
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

// A scope is the context of a request whose path was cut. It holds the name and the new URL in one
// allocation, since each request to an app below a urlmap needs one.
type scope struct {
	context.Context
	name  string
	exact bool
	cut   bool // the request has the URL in url instead of the outer request's
	url   url.URL
}

type ctxKey struct{}

// Value returns the scope for this package's key. It hides the route context of an outer chi
// router: an inner router would take its RoutePath for the rest of the path, instead of the
// request's.
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
