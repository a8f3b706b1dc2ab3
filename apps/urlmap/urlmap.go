package urlmap

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
)

// Config configures a urlmap.
type Config struct {
	// Apps maps places to apps. A place is a path such as "/blog" or "/", or has the form "domain
	// example.org", "domain example.org /blog" or "domain example.org port 8080 /blog".
	Apps map[string]http.Handler

	// NotFound answers requests outside of all places, with the request unchanged. Nil answers 404.
	NotFound http.Handler

	// Debug makes the default 404 list the places.
	Debug bool
}

// New returns the app. The error joins an error for each invalid place. The app is safe for
// concurrent use and is not affected by later changes of c.
func New(c Config) (http.Handler, error) {
	m := &urlMap{notFound: c.NotFound}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(c.Apps)) {
		app := c.Apps[key]
		at, err := parsePlace(key)
		switch {
		case err != nil:
			errs = append(errs, err)
		case app == nil:
			errs = append(errs, errors.New("urlmap: the app of "+key+" is nil"))
		case m.put(at, at.String(), app):
			errs = append(errs, errors.New("urlmap: "+at.String()+" is given twice: leave one out"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m.finish(c.Debug), nil
}

// A urlMap is the handler that New returns. Its fields don't change while it serves.
type urlMap struct {
	entries  []entry // in the order in which they are tried
	notFound http.Handler
}

type entry struct {
	place
	name string // for listeners
	app  http.Handler
}

// put adds an app; replaced reports whether it replaced one at the same place.
func (m *urlMap) put(at place, name string, app http.Handler) (replaced bool) {
	for i, e := range m.entries {
		if e.place == at {
			m.entries[i].name, m.entries[i].app = name, app
			return true
		}
	}
	m.entries = append(m.entries, entry{at, name, app})
	return false
}

// ServeHTTP passes the request to the app of the first place that matches.
func (m *urlMap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inside := collapse(r)
	host, port := "", ""
	for i := range m.entries {
		e := &m.entries[i]
		if !strings.HasPrefix(inside.URL.Path, e.path) {
			continue
		}
		if e.host != "" {
			if host == "" {
				host, port = hostAndPort(r)
			}
			if e.host != host || e.port != "" && e.port != port {
				continue
			}
		}
		if cut, ok := mount.Cut(inside, e.path); ok {
			defer formfiles.HandBack(r, cut)
			ctx := cut.Context()
			observe.FromContext(ctx).SetRoute(e.name, mount.FromContext(ctx))
			e.app.ServeHTTP(w, cut)
			return
		}
	}
	m.notFound.ServeHTTP(w, r)
}

// hostAndPort returns the host of the request, in lower case, and the port.
func hostAndPort(r *http.Request) (host, port string) {
	u := url.URL{Host: r.Host}
	if port = u.Port(); port == "" {
		port = "80"
		if mount.Scheme(r) == "https" {
			port = "443"
		}
	}
	return strings.ToLower(u.Hostname()), port
}

// collapse returns r with runs of slashes in its path replaced by one.
func collapse(r *http.Request) *http.Request {
	if !strings.Contains(r.URL.Path, "//") {
		return r
	}
	u := *r.URL
	if raw := single(u.EscapedPath()); u.RawPath == "" {
		u.Path = single(u.Path)
	} else if path, err := url.PathUnescape(raw); err == nil { // never an error: r.URL is valid
		u.Path, u.RawPath = path, raw // keeps two slashes of which one is escaped
	}
	c := *r
	c.URL = &u
	return &c
}

func single(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}
