package servetest

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// base is the URL that paths are relative to. Requests for every other host reach the site, too.
var base = &url.URL{Scheme: "http", Host: "localhost", Path: "/"}

// A Browser is a client of a site with its own cookies. It follows redirects. It is safe for
// concurrent use.
type Browser struct {
	// Client sends all requests to the site, for any host. A test may change it, for example to
	// follow no redirects.
	Client *http.Client

	site *Site
}

// A Reply is the response to a request. If no response arrived, its Status is 0, and the test has
// failed.
type Reply struct {
	Status int
	Header http.Header
	Body   string
	URL    *url.URL // of the last request, after redirects
}

// Browser returns a new browser, without cookies.
func (s *Site) Browser() *Browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal("servetest: ", err)
	}
	return &Browser{Client: &http.Client{Transport: s.client, Jar: jar}, site: s}
}

// Get requests a page by its path, such as "/entries?page=2", or by a complete URL: with https://
// the browser also sends cookies that are for https only.
func (b *Browser) Get(path string) Reply {
	b.site.t.Helper()
	return b.send(http.MethodGet, path, http.NoBody, nil)
}

// PostForm sends a form.
func (b *Browser) PostForm(path string, form url.Values) Reply {
	b.site.t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return b.send(http.MethodPost, path, strings.NewReader(form.Encode()), header)
}

func (b *Browser) send(method, path string, body io.Reader, header http.Header) Reply {
	b.site.t.Helper()
	r, err := http.NewRequestWithContext(b.site.t.Context(), method, path, body)
	if err != nil {
		b.site.t.Errorf("servetest: %v", err)
		return Reply{}
	}
	if header != nil {
		r.Header = header
	}
	return b.Do(r)
}

// Do sends a request. Its URL may be a path, as with [Browser.Get].
func (b *Browser) Do(r *http.Request) Reply {
	b.site.t.Helper()
	r.URL = base.ResolveReference(r.URL)
	response, err := b.Client.Do(r)
	if err != nil {
		b.site.t.Errorf("servetest: %v", err)
		return Reply{}
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		b.site.t.Errorf("servetest: %s %s: %v", r.Method, r.URL, err)
	}
	return Reply{response.StatusCode, response.Header, string(text), response.Request.URL}
}
