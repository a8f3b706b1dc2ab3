package myapp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// ini is the tutorial's file; settings are added to the app's section.
func ini(filters, settings string) string {
	return `
[DEFAULT]
debug = true
[app:myapp]
use = egg:myapp#app
zodb_uri = memory://myapp
` + settings + `
[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = my-secret-key
[pipeline:main]
pipeline = ` + filters + ` myapp
`
}

const allFilters = "browserid egg:repoze.retry#retry egg:repoze.tm2#tm"

func load(t *testing.T, text string, log io.Writer,
	register ...func(*pipeline.Registry),
) (*pipeline.Pipeline, error) {
	t.Helper()
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	myapp.Register(registry)
	for _, f := range register {
		f(registry)
	}
	p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
		Registry: registry,
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
		ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
	})
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

// A browser keeps its cookies and follows redirects.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func newBrowser(t *testing.T, text string, log io.Writer,
	register ...func(*pipeline.Registry),
) *browser {
	t.Helper()
	p, err := load(t, text, log, register...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return (&browser{t: t, base: server.URL}).another()
}

func (b *browser) another() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return &browser{b.t, b.base, &http.Client{Jar: jar}}
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, form url.Values, header ...string) reply {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path,
		strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Error(err)
		return reply{}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Error(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

func (b *browser) want(status int, method, path string, form url.Values, header ...string) reply {
	b.t.Helper()
	got := b.do(method, path, form, header...)
	if got.status != status {
		b.t.Errorf("%s %s: got %d %q, want %d", method, path, got.status, got.body, status)
	}
	return got
}

var tokenField = regexp.MustCompile(`name="csrf_token" value="([^"]+)"`)

// token returns the page's token.
func (b *browser) token() string {
	b.t.Helper()
	page := b.want(200, "GET", "/", nil).body
	match := tokenField.FindStringSubmatch(page)
	if match == nil {
		b.t.Fatalf("the page has no token:\n%s", page)
	}
	return match[1]
}

func TestPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	first := b.want(200, "GET", "/", nil)
	if !strings.Contains(first.body, "You have no session yet") ||
		!strings.Contains(first.body, "20 minutes without a request") {
		t.Errorf("the first page does not say that the browser has no session:\n%s", first.body)
	}
	b.want(200, "POST", "/incr", nil)
	second := b.want(200, "GET", "/", nil)
	if !strings.Contains(second.body, "Welcome back") {
		t.Errorf("the second page does not know the visitor:\n%s", second.body)
	}
	if head := b.want(200, "HEAD", "/", nil); head.body != "" {
		t.Errorf("HEAD: got a body of %d bytes", len(head.body))
	}
	token := tokenField.FindStringSubmatch(second.body)[1]
	if n := strings.Count(second.body, token); n != 2 {
		t.Errorf("the token is in the page %d times, want 2: only in the forms", n)
	}
	if got := b.want(200, "GET", "/hello", nil).body; got != "Hello!" {
		t.Errorf("/hello: got %q", got)
	}
}

// The Content-Security-Policy forbids inline scripts and styles, so the page must have none, and
// the files it links to must exist.
func TestPageKeepsItsOwnPolicy(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	page := b.want(200, "GET", "/", nil)
	if got := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(got,
		"default-src 'none'; script-src 'self';") {
		t.Errorf("got policy %q", got)
	}
	if inline := regexp.MustCompile(`<style|<script>| style=| ` +
		`on[a-z]+=|https?://`).FindString(page.body); inline != "" {
		t.Errorf("the page has %q", inline)
	}
	assets := regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(page.body,
		-1)
	if len(assets) != 4 {
		t.Errorf("got %d assets, want icon, two styles and script", len(assets))
	}
	for _, asset := range assets {
		got := b.want(200, "GET", asset[1], nil)
		if !strings.Contains(got.header.Get("Cache-Control"), "immutable") ||
			got.header.Get("Content-Type") == "" {
			t.Errorf("%s: got header %v", asset[1], got.header)
		}
	}
	if got := b.want(200, "GET", "/static/page.css?old",
		nil); got.header.Get("Cache-Control") != "" {
		t.Error("an asset is cached under another version's address")
	}
	b.want(404, "GET", "/static/nothing.css", nil)
	b.want(404, "GET", "/static/..%2fmyapp.go", nil)
}

func TestGuestbook(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	token := b.token()
	sign := func(name, text string) url.Values {
		return url.Values{"csrf_token": {token}, "name": {name}, "text": {text}}
	}
	page := b.want(200, "POST", "/guestbook",
		sign("Ada <b>", "<script>alert(1)</script>\n\x00 & more")).body
	if !strings.Contains(page, "<strong dir=\"auto\">Ada &lt;b&gt;</strong>") ||
		!strings.Contains(page,
			"<p dir=\"auto\">&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</p>") {
		t.Errorf("the entry is not on the page as text:\n%s", page)
	}
	if !strings.Contains(page, "Thank you, Ada &lt;b&gt;.") {
		t.Errorf("the message is missing:\n%s", page)
	}
	if page := b.want(200, "GET", "/", nil).body; strings.Contains(page, "Thank you") {
		t.Error("the message was shown twice")
	}

	refused := b.want(422, "POST", "/guestbook", sign("", `half a "text"`)).body
	if !strings.Contains(refused, "An entry needs a name and a text.") ||
		!strings.Contains(refused, `value="half a &#34;text&#34;"`) {
		t.Errorf("what was refused is lost, or why:\n%s", refused)
	}
	b.want(422, "POST", "/guestbook", sign("name", " \n "))
	// no visible character
	b.want(422, "POST", "/guestbook", sign("\u200b\u2060\u0301", "text"))
	b.want(422, "POST", "/guestbook", sign("name", "\u200d\ufeff"))
	b.want(422, "POST", "/guestbook", sign(strings.Repeat("ü", 41), "text"))
	b.want(422, "POST", "/guestbook", sign("name", strings.Repeat("ü", 281)))
	b.want(413, "POST", "/guestbook", sign("name", strings.Repeat("x", 20<<10)))
	b.want(403, "POST", "/guestbook", url.Values{
		"csrf_token": {token + "x"}, "name": {"a"},
		"text": {"b"},
	})
	b.want(403, "POST", "/guestbook", url.Values{"name": {"a"}, "text": {"b"}})
	b.another().want(403, "POST", "/guestbook", sign("Eve", "with another's token"))
	b.want(400, "POST", "/guestbook?%zz", sign("name", "text"))

	for i := range 25 {
		page = b.want(200, "POST", "/guestbook", sign(fmt.Sprintf("visitor%d", i),
			strings.Repeat("ü", 280))).body
	}
	var names []string
	for _, match := range regexp.MustCompile(`<strong dir="auto">([^<]+)</strong>`).FindAllStringSubmatch(page, -1) {
		names = append(names, match[1])
	}
	if len(names) != 20 || names[0] != "visitor24" || names[19] != "visitor5" {
		t.Errorf("got the entries of %v, want visitor24 to visitor5", names)
	}
}

// All entries that are sent at the same time are stored, each with a different number.
func TestGuestbookUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			b := b.another()
			b.want(200, "POST", "/guestbook", url.Values{
				"csrf_token": {b.token()},
				"name":       {fmt.Sprint("visitor", i)}, "text": {"me too"},
			})
		})
	}
	all.Wait()
	if n := strings.Count(b.want(200, "GET", "/", nil).body, `<p dir="auto">me too</p>`); n != 16 {
		t.Errorf("got %d entries, want 16", n)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	token := b.token()
	b.want(200, "POST", "/incr", nil)
	b.want(403, "POST", "/forget", nil)
	page := b.want(200, "POST", "/forget", url.Values{"csrf_token": {token}}).body
	if !strings.Contains(page, "You have no session yet") {
		t.Errorf("not forgotten:\n%s", page)
	}
	if got := b.want(200, "GET", "/read", nil).body; got != "0" {
		t.Errorf("n: got %s, want 0", got)
	}
}

// Two concurrent requests are both counted: one at the first attempt, the other at the second.
func TestRace(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	b.token()
	for _, path := range []string{"/incr", "/shared/incr"} {
		var got [2]string
		var both sync.WaitGroup
		for i := range got {
			both.Go(func() {
				r := b.want(200, "POST", path+"?pause=200", nil)
				got[i] = fmt.Sprintf("%s at attempt %s", r.body, r.header.Get("Pasteline-Attempt"))
			})
		}
		both.Wait()
		slices.Sort(got[:])
		if want := [2]string{"1 at attempt 1", "2 at attempt 2"}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	b.want(400, "POST", "/incr?pause=long", nil)
	b.want(400, "POST", "/body?conflict=-1", nil)
}

// A race for the counter of a session is shown to its browser only.
func TestRacesAreTheirOwners(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	b.token()
	for range 2 {
		b.want(200, "POST", "/incr?race=mine", nil)
		b.want(200, "POST", "/shared/incr?race=ours", nil)
	}
	stream := func(b *browser, name string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.base+"/races/"+name, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body) // a race that is not found ends with the context
		return string(text)
	}
	if got := stream(b, "mine"); !strings.Contains(got, `"done":true`) || !strings.Contains(got, "request 2") {
		t.Errorf("the own race: got %q", got)
	}
	other := b.another()
	other.token()
	if got := stream(other, "mine"); strings.Contains(got, "request") {
		t.Errorf("the race of another browser: got %q", got)
	}
	if got := stream(other, "ours"); !strings.Contains(got, `"done":true`) {
		t.Errorf("the race for the shared counter: got %q", got)
	}
	if page := other.want(200, "GET", "/", nil).body; strings.Count(page, "request 2<") != 1 {
		t.Error("the page of another browser does not show the shared race alone")
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	if page := b.want(403, "POST", "/incr", nil, "Sec-Fetch-Site",
		"cross-site").body; !strings.Contains(page, "The form came from another site") {
		t.Errorf("got no page with the reason:\n%s", page)
	}
	b.want(403, "POST", "/shared/incr", nil, "Origin", "https://elsewhere.example")
	if got := b.want(200, "POST", "/shared/incr", nil).body; got != "1" {
		t.Errorf("got %s, want 1: the others were refused", got)
	}
}

func TestRefusedFormIsLogged(t *testing.T) {
	t.Parallel()
	for _, debug := range []bool{true, false} {
		var log bytes.Buffer
		b := newBrowser(t, ini(allFilters, fmt.Sprintf("debug_authorization = %t", debug)), &log)
		b.want(403, "POST", "/forget", nil)
		b.want(403, "POST", "/incr", nil, "Sec-Fetch-Site", "cross-site")
		for _, why := range []string{
			"the token in the form is not the browser",
			"cross-origin request detected",
		} {
			if got := strings.Contains(log.String(), why); got != debug {
				t.Errorf("debug_authorization = %t: logged that %s: %t\n%s", debug, why, got,
					log.String())
			}
		}
	}
}

// If a filter that the app needs is missing, the error page shows the remedy in development; in
// production the answer says nothing, and the log does.
func TestMissingFilters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, filters, path, want, logged string
	}{
		{
			"no browserid", "egg:repoze.retry#retry egg:repoze.tm2#tm", "/",
			"browserid is missing", "no browser id in the context",
		},
		{
			"no tm", "browserid egg:repoze.retry#retry", "/read",
			"tm is missing", transaction.ErrNoTransaction.Error(),
		},
		{
			"no tm for storage", "browserid egg:repoze.retry#retry", "/shared",
			"tm is missing", transaction.ErrNoTransaction.Error(),
		},
	} {
		for _, debug := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, debug=%t", tt.name, debug), func(t *testing.T) {
				t.Parallel()
				var log bytes.Buffer
				text := ini(tt.filters, "")
				if !debug {
					text = strings.Replace(text, "debug = true", "debug = false", 1)
					text = strings.Replace(text, "my-secret-key", "0bd5bf0fdd0b1a5c8d0e6e4be2e3a4d2", 1)
				}
				b := newBrowser(t, text, &log)
				got := b.want(500, "GET", tt.path, nil, "Accept", "text/html").body
				if shown := strings.Contains(got, tt.want); shown != debug {
					t.Errorf("the remedy is shown: %t, in\n%s", shown, got)
				}
				if !debug && strings.Contains(got, tt.logged) {
					t.Errorf("the answer has the error: %s", got)
				}
				if tt.filters != "" && !strings.Contains(log.String(), tt.logged) {
					t.Errorf("the log does not say so:\n%s", log.String())
				}
				b.want(200, "GET", "/hello", nil)
			})
		}
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	for _, debug := range []bool{true, false} {
		b := newBrowser(t, ini(allFilters, fmt.Sprintf("debug_notfound = %t", debug)), io.Discard)
		page := b.want(404, "GET", "/no<where", nil).body
		if !strings.Contains(page, "This site has no page at /no&lt;where.") {
			t.Errorf("got\n%s", page)
		}
		if got := strings.Contains(page, "POST /shared/incr"); got != debug {
			t.Errorf("debug_notfound = %t: the routes are listed: %t", debug, got)
		}
	}
}

// A request with a wrong method is answered with the allowed ones, in the header and on the page.
func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	for _, tt := range []struct{ method, path, allow string }{
		{"POST", "/hello", "GET, HEAD"},
		{"DELETE", "/read", "GET, HEAD"},
		{"GET", "/incr", "POST"},
		{"HEAD", "/fail", "POST"},
		{"PUT", "/shared", "GET, HEAD"},
		{"GET", "/shared/incr", "POST"},
		{"POST", "/events", "GET, HEAD"},
		{"GET", "/body", "POST"},
		{"GET", "/guestbook", "POST"},
		{"POST", "/", "GET, HEAD"},
	} {
		got := b.want(405, tt.method, tt.path, nil)
		if allow := got.header.Get("Allow"); allow != tt.allow {
			t.Errorf("%s %s: got Allow: %s, want %s", tt.method, tt.path, allow, tt.allow)
		}
		if tt.method != "HEAD" && !strings.Contains(got.body, "Home page") {
			t.Errorf("%s %s: got no page:\n%s", tt.method, tt.path, got.body)
		}
	}
}

// If the app is mounted below a path, its links, forms, files and redirects begin with that path.
func TestBelowAPath(t *testing.T) {
	t.Parallel()
	text := strings.Replace(ini(allFilters, ""), "[pipeline:main]",
		"[composite:main]\nuse = egg:Paste#urlmap\n/ä = site\n[pipeline:site]", 1)
	b := newBrowser(t, text, io.Discard)
	page := b.want(200, "GET", "/%C3%A4/", nil).body
	for _, match := range regexp.MustCompile(`(?:href|src|action|data-race|data-events)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(match[1], "/%C3%A4/") {
			t.Errorf("%s reads a file outside of the folder", match[0])
		}
		if asset := match[1]; strings.Contains(asset, "/static/") {
			b.want(200, "GET", asset, nil)
		}
	}
	form := url.Values{
		"csrf_token": {tokenField.FindStringSubmatch(page)[1]}, "name": {"Ada"},
		"text": {"hello"},
	}
	if page := b.want(200, "POST", "/%C3%A4/guestbook", form).body; !strings.Contains(page,
		"Thank you, Ada.") {
		t.Errorf("signing does not lead back to the page:\n%s", page)
	}
	if page := b.want(200, "POST", "/%C3%A4/forget", form).body; !strings.Contains(page,
		"You have no session yet") {
		t.Errorf("/forget does not redirect to the page:\n%s", page)
	}
	if page := b.want(404, "GET", "/%C3%A4/nope", nil).body; !strings.Contains(page,
		"This site has no page at /ä/nope.") || !strings.Contains(page, `href="/%C3%A4/"`) {
		t.Errorf("the page for an unknown address lacks the mount path:\n%s", page)
	}
}

// HEAD of the stream gets the header, and no events.
func TestEventsHead(t *testing.T) {
	t.Parallel()
	p, err := load(t, ini(allFilters, ""), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodHead, "/events", nil))
	if got := w.Header().Get("Content-Type"); got != "text/event-stream" || ctx.Err() != nil {
		t.Errorf("got Content-Type %q, %v", got, ctx.Err())
	}
}

func TestReloadTemplates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "templates", "page.html")
	replace := func(old, new string) {
		t.Helper()
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Replace(text, []byte(old), []byte(new), 1),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := newBrowser(t, ini(allFilters, "reload_templates = true\ntemplate_dir = "+dir), io.Discard)
	b.want(200, "GET", "/", nil)
	replace("It runs.", "It runs again.")
	if page := b.want(200, "GET", "/", nil).body; !strings.Contains(page, "It runs again.") {
		t.Error("the template was not read again")
	}
	replace("{{.BrowserID}}", "{{.BrowserID")
	b.want(500, "GET", "/", nil)
	replace("{{.BrowserID", "{{.BrowserID}}")
	b.want(200, "GET", "/", nil)

	_, err := load(t, ini(allFilters, "reload_templates = true\ntemplate_dir = "+filepath.Join(dir,
		"static")), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "template_dir") ||
		!strings.Contains(err.Error(), "no templates/page.html below this folder") {
		t.Errorf("a folder without templates: got %v", err)
	}
}

// Without template_dir, reload_templates reads the source folder.
func TestReloadTemplatesFindsItsSource(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, "reload_templates = true"), io.Discard)
	b.want(200, "GET", "/", nil)
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ settings, want string }{
		{"timeout = 0", "site.ini:7: [app:myapp] timeout = \"0\": want a duration of 1ms or more"},
		{"period = soon", "site.ini:7: [app:myapp] period = \"soon\": want a duration"},
		{
			"pyramid.debug_notfound = true",
			"site.ini:7: [app:myapp] pyramid.debug_notfound: unknown setting",
		},
	} {
		_, err := load(t, ini(allFilters, tt.settings), io.Discard)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.settings, err, tt.want)
		}
		if _, ok := errors.AsType[*fs.PathError](err); ok {
			t.Errorf("%s: a file was opened", tt.settings)
		}
	}
}

// Requests that only read store nothing, for new browsers and for known ones.
func TestReadingStoresNothing(t *testing.T) {
	t.Parallel()
	var commits atomic.Int64
	b := newBrowser(t, ini(allFilters, ""), io.Discard, func(r *pipeline.Registry) {
		r.Opener().Intercept(func(ctx context.Context, uri *url.URL,
			open engine.OpenFunc,
		) (engine.Engine, error) {
			e, err := open(ctx, uri)
			return &writeCounter{e, &commits}, err
		})
	})
	for range 50 {
		visitor := b.another()
		for _, page := range []string{"/", "/read", "/shared", "/hello", "/"} {
			visitor.want(200, "GET", page, nil)
		}
		visitor.want(404, "GET", "/nowhere", nil)
		visitor.want(403, "POST", "/guestbook", url.Values{"name": {"a"}, "text": {"b"}})
	}
	if got := commits.Load(); got != 0 {
		t.Errorf("%d requests wrote, want 0", got)
	}
	b.want(200, "POST", "/incr", nil)
	if got := commits.Load(); got != 1 {
		t.Errorf("%d requests wrote, want 1", got)
	}
}

// A writeCounter is an engine that counts commits with writes.
type writeCounter struct {
	engine.Engine
	commits *atomic.Int64
}

func (e *writeCounter) Begin(ctx context.Context) (engine.View, error) {
	v, err := e.Engine.Begin(ctx)
	return &countingView{v, e.commits}, err
}

type countingView struct {
	engine.View
	commits *atomic.Int64
}

func (v *countingView) Commit(ctx context.Context, c *engine.Changes) error {
	if len(c.Writes) > 0 {
		v.commits.Add(1)
	}
	return v.View.Commit(ctx, c)
}
