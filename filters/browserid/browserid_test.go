package browserid_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

const testSecret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

type filterFunc = func(http.Handler) http.Handler

func mustNew(tb testing.TB, c browserid.Config) filterFunc {
	tb.Helper()
	filter, err := browserid.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return filter
}

// A visited is the result of one request.
type visited struct {
	id        browserid.ID
	setCookie string
	header    http.Header
}

// cookie returns the name and value of the Set-Cookie header, as a browser sends them back.
func (v visited) cookie() string {
	pair, _, _ := strings.Cut(v.setCookie, ";")
	return pair
}

// visitWith sends r through filter to an app that reads the id.
func visitWith(tb testing.TB, filter filterFunc, r *http.Request) visited {
	tb.Helper()
	var v visited
	app := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id, ok := browserid.FromContext(r.Context())
		if !ok {
			tb.Error("no browser id in the context")
		}
		v.id = id
	})
	w := httptest.NewRecorder()
	filter(app).ServeHTTP(w, r)
	v.header = w.Result().Header
	switch all := v.header["Set-Cookie"]; len(all) {
	case 0:
	case 1:
		v.setCookie = all[0]
	default:
		tb.Errorf("%d Set-Cookie headers: %q", len(all), all)
	}
	return v
}

func get(cookies ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range cookies {
		r.Header.Add("Cookie", c)
	}
	return r
}

func TestIDStays(t *testing.T) {
	t.Parallel()
	for _, compat := range []browserid.Compat{
		"", browserid.CompatNone, browserid.CompatRead,
		browserid.CompatRepoze,
	} {
		t.Run(string(compat), func(t *testing.T) {
			t.Parallel()
			filter := mustNew(t, browserid.Config{SecretKey: testSecret, Compat: compat})
			first := visitWith(t, filter, get())
			if first.setCookie == "" || len(first.id) < 27 {
				t.Fatalf("first visit: id %q, cookie %q", first.id, first.setCookie)
			}
			again := visitWith(t, filter, get(first.cookie()))
			if again.id != first.id || again.setCookie != "" {
				t.Errorf("second visit: id %q, cookie %q, want id %q and no cookie", again.id,
					again.setCookie, first.id)
			}
			if other := visitWith(t, filter, get()); other.id == first.id {
				t.Errorf("two browsers have the id %q", first.id)
			}
		})
	}
}

func TestSetCookieText(t *testing.T) {
	t.Parallel()
	secured := get()
	secured.URL.Scheme = "https"
	tests := []struct {
		name    string
		config  browserid.Config
		request *http.Request
		want    string
	}{
		{name: "defaults", want: "repoze.browserid=V; Path=/; HttpOnly; SameSite=Lax"},
		{
			name: "https", request: secured,
			want: "repoze.browserid=V; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "all", config: browserid.Config{
				CookieName: "bid", CookiePath: "/sub", CookieDomain: ".example.org",
				CookieLifetime: time.Hour,
				CookieSecure:   browserid.SecureOn, CookieHTTPOnly: new(false),
				CookieSameSite: browserid.SameSiteNone,
			},
			want: "bid=V; Path=/sub; Domain=example.org; Expires=Thu, 01 Jan 1970 01:00:01 GMT; " +
				"Max-Age=3600; Secure; SameSite=None",
		},
		{
			name: "host", config: browserid.Config{CookieName: "__Host-id"},
			want: "__Host-id=V; Path=/; HttpOnly; Secure; SameSite=Lax",
		},
		{
			name: "bare", config: browserid.Config{
				CookiePath: browserid.NoPath, CookieHTTPOnly: new(false),
				CookieSecure: browserid.SecureOff, CookieSameSite: browserid.SameSiteOff,
			},
			request: secured, want: "repoze.browserid=V",
		},
		{
			name: "the original's with more attributes",
			config: browserid.Config{
				Compat: browserid.CompatRepoze, CookieHTTPOnly: new(true),
				CookieSameSite: browserid.SameSiteStrict,
			},
			want: "repoze.browserid=V; Path=/; HttpOnly; SameSite=Strict; ",
		},
		{
			name: "the original's, secure, with more attributes",
			config: browserid.Config{
				Compat: browserid.CompatRepoze, CookieHTTPOnly: new(true),
				CookieSecure: browserid.SecureAuto,
			},
			request: secured, want: "repoze.browserid=V; Path=/; Secure; HttpOnly; ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.SecretKey = testSecret
			if tt.request == nil {
				tt.request = get()
			}
			filter := mustNew(t, tt.config.WithClock(func() time.Time { return time.Unix(1, 0) }))
			got := visitWith(t, filter, tt.request).setCookie
			name, rest, _ := strings.Cut(got, "=")
			value, _, _ := strings.Cut(rest, ";")
			if got := strings.Replace(got, name+"="+value, name+"=V", 1); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAlteredCookieGetsNewID(t *testing.T) {
	t.Parallel()
	for _, compat := range []browserid.Compat{
		browserid.CompatNone, browserid.CompatRead,
		browserid.CompatRepoze,
	} {
		filter := mustNew(t, browserid.Config{SecretKey: testSecret, Compat: compat})
		first := visitWith(t, filter, get())
		value := strings.TrimPrefix(first.cookie(), "repoze.browserid=")
		try := func(forged string) {
			t.Helper()
			got := visitWith(t, filter, get("repoze.browserid="+forged))
			if got.id == first.id || got.setCookie == "" {
				t.Errorf("%s: forged %q was accepted in place of %q", compat, forged, value)
			}
		}
		for i := range len(value) {
			for bit := range 8 {
				b := []byte(value)
				b[i] ^= 1 << bit
				try(string(b))
			}
			try(value[:i])
			try(value[i+1:])
			try(value[:i] + value[i+1:])
			try(value[:i] + "A" + value[i:])
		}
		other := mustNew(t, browserid.Config{SecretKey: testSecret + "7", Compat: compat})
		try(strings.TrimPrefix(visitWith(t, other, get()).cookie(), "repoze.browserid="))
	}
}

func TestCookieIsBoundToItsName(t *testing.T) {
	t.Parallel()
	a := mustNew(t, browserid.Config{SecretKey: testSecret, CookieName: "a"})
	b := mustNew(t, browserid.Config{SecretKey: testSecret, CookieName: "b"})
	first := visitWith(t, a, get())
	if got := visitWith(t, b, get("b="+strings.TrimPrefix(first.cookie(), "a="))); got.id ==
		first.id {
		t.Error("the cookie of one filter was accepted by another with another name")
	}
}

// The signed text must differ if the same characters are divided between the values in another way.
func TestEncodingIsUnambiguous(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, c := range []struct {
		name   string
		vary   []string
		values []string
		id     browserid.ID
	}{
		{"n", nil, nil, "id"},
		{"n", []string{"A"}, []string{""}, "id"},
		{"n", []string{"A"}, []string{"ab"}, "id"},
		{"n", []string{"A", "B"}, []string{"a", "bc"}, "id"},
		{"n", []string{"A", "B"}, []string{"ab", "c"}, "id"},
		{"n", []string{"B", "A"}, []string{"ab", "c"}, "id"},
		{"n", []string{"AB"}, []string{"abc"}, "id"},
		{"nA", []string{"B"}, []string{"abc"}, "id"},
		{"n", []string{"A"}, []string{"b"}, "ida"},
	} {
		_, tag, _ := strings.Cut(browserid.FormerSign(testSecret, c.name, c.vary,
			c.values, c.id), ".")
		text := strings.Join([]string{
			c.name, strings.Join(c.vary, "|"),
			strings.Join(c.values, "|"), string(c.id),
		}, "/")
		if before, ok := seen[tag]; ok {
			t.Errorf("%s and %s have the same tag", before, text)
		}
		seen[tag] = text
	}
}

func TestSeveralCookiesOfOneName(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{SecretKey: testSecret})
	first := visitWith(t, filter, get())
	good := first.cookie()
	bad := good + "x"
	forged := good[:len(good)-1] + "~"
	tests := []struct {
		name  string
		lines []string
		want  bool
	}{
		{"among others", []string{"a=1; " + good + "; z=2"}, true},
		{"bad first", []string{bad + "; " + good}, true},
		{"bad last", []string{good + "; " + bad}, true},
		{"two lines", []string{bad, "a=b", good}, true},
		{"quoted", []string{strings.Replace(good, "=", `="`, 1) + `"`}, true},
		{"blanks", []string{"\t" + strings.Replace(good, "=", " =  ", 1) + " ;"}, true},
		{"other cookie not ASCII", []string{"x=café; " + good}, true},
		{"other cookie JSON", []string{`j={"k":1}; ` + good}, true},
		{"empty parts", []string{"; ;" + good}, true},
		{"name in capitals", []string{strings.ToUpper(good[:16]) + good[16:]}, false},
		{"longer name", []string{"x" + good}, false},
		{"in another's value", []string{"a=" + good}, false},
		{"empty", []string{""}, false},
		{"no value", []string{"repoze.browserid", "repoze.browserid="}, false},
		{"after very many invalid cookies", []string{strings.Repeat(bad+"; ", 1000) + good}, true},
		{"after very many invalid lines", append(strings.Split(strings.Repeat(bad+";", 1000), ";"),
			good), true},
		{"after very many with a valid format", []string{strings.Repeat(forged+"; ", 1000) +
			good}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := visitWith(t, filter, get(tt.lines...))
			if accepted := got.id == first.id; accepted != tt.want ||
				accepted == (got.setCookie != "") {
				t.Errorf("accepted: %v, new cookie %q, want accepted %v", accepted,
					got.setCookie, tt.want)
			}
		})
	}
}

func TestMigrationFromPython(t *testing.T) {
	t.Parallel()
	const id = "fb91d5f5412b2d7a7b407b2042f16990dc40d6c5"
	original := "repoze.browserid=" + browserid.RepozeSign(testSecret, nil, id)
	repoze := mustNew(t, browserid.Config{SecretKey: testSecret, Compat: browserid.CompatRepoze})
	read := mustNew(t, browserid.Config{SecretKey: testSecret, Compat: browserid.CompatRead})
	none := mustNew(t, browserid.Config{SecretKey: testSecret})

	if got := visitWith(t, repoze, get(original)); got.id != id || got.setCookie != "" {
		t.Errorf("repoze: id %q, cookie %q, want the original's id and no cookie", got.id,
			got.setCookie)
	}
	if got := visitWith(t, none, get(original)); got.id == id {
		t.Error("compat none: the original's cookie was accepted")
	}
	moved := visitWith(t, read, get(original))
	if moved.id != id || moved.setCookie == "" || strings.Contains(moved.setCookie, "!") {
		t.Fatalf("read: id %q, cookie %q, want the original's id in a cookie of our own", moved.id,
			moved.setCookie)
	}
	if got := visitWith(t, none, get(moved.cookie())); got.id != id || got.setCookie != "" {
		t.Errorf("none: id %q, cookie %q, want the id of the cookie that read issued", got.id,
			got.setCookie)
	}
	back := visitWith(t, repoze, get(moved.cookie()))
	if got, ok := browserid.RepozeVerify(testSecret, nil, strings.TrimPrefix(back.cookie(),
		"repoze.browserid=")); !ok || got != id || back.id != id {
		t.Errorf("repoze: id %q, cookie %q, want the original's cookie again", back.id,
			back.setCookie)
	}
	odd := "repoze.browserid=" + browserid.RepozeSign(testSecret, nil, "not-an-id-of-the-original")
	if got := visitWith(t, read, get(odd)); got.id == "not-an-id-of-the-original" {
		t.Error("read: accepted an id that the original never makes")
	}
}

func TestLazy(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{
		SecretKey:     testSecret,
		OldSecretKeys: []pipeline.Secret{"former"}, Lazy: true,
	})
	old := visitWith(t, mustNew(t, browserid.Config{SecretKey: "former"}), get())
	ignore := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = w.Write([]byte("hello"))
	})
	for name, r := range map[string]*http.Request{"new": get(), "old key": get(old.cookie())} {
		w := httptest.NewRecorder()
		filter(ignore).ServeHTTP(w, r)
		if cookie := w.Header()["Set-Cookie"]; cookie != nil {
			t.Errorf("%s: cookie %q although the app did not read the id", name, cookie)
		}
	}
	if got := visitWith(t, filter, get()); got.setCookie == "" {
		t.Error("no cookie although the app read the id")
	}
	if got := visitWith(t, filter, get(old.cookie())); got.setCookie == "" || got.id != old.id {
		t.Error("no new cookie for an old key although the app read the id")
	}
}

func TestLazyIDAfterHeader(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{
		SecretKey:     testSecret,
		OldSecretKeys: []pipeline.Secret{"former"}, Lazy: true,
	})
	known := visitWith(t, filter, get())
	old := visitWith(t, mustNew(t, browserid.Config{SecretKey: "former"}), get())
	ask := func(early bool, r *http.Request) (ok bool) {
		w := httptest.NewRecorder()
		filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if early {
				_, _ = browserid.FromContext(r.Context())
			}
			_, _ = w.Write([]byte("hello"))
			_, ok = browserid.FromContext(r.Context())
		})).ServeHTTP(w, r)
		return ok
	}
	if ask(false, get()) {
		t.Error("FromContext returned a new browser's id after the header was sent")
	}
	if !ask(true, get()) {
		t.Error("an id that was returned before was refused")
	}
	if !ask(false, get(known.cookie())) {
		t.Error("a known browser's id was refused")
	}
	if !ask(false, get(old.cookie())) {
		t.Error("the id of a browser with a cookie of an old secret was refused")
	}
}

func TestSharedCaches(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{SecretKey: testSecret})
	known := visitWith(t, filter, get())
	tests := []struct {
		name    string
		app     []string
		request *http.Request
		want    []string
	}{
		{"no Cache-Control", nil, get(), []string{"private"}},
		{"public", []string{"public, max-age=70"}, get(), []string{
			"public, max-age=70",
			"private",
		}},
		{"private", []string{"max-age=7, Private"}, get(), []string{"max-age=7, Private"}},
		{"no-store", []string{"no-store"}, get(), []string{"no-store"}},
		{"no cookie issued", []string{"public"}, get(known.cookie()), []string{"public"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			filter(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for _, line := range tt.app {
					w.Header().Add("Cache-Control", line)
				}
			})).ServeHTTP(w, tt.request)
			if diff := cmp.Diff(tt.want, w.Header()["Cache-Control"]); diff != "" {
				t.Errorf("Cache-Control (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoFilter(t *testing.T) {
	t.Parallel()
	if id, ok := browserid.FromContext(t.Context()); ok || id != "" {
		t.Errorf("got %q, %v without a filter", id, ok)
	}
}

func TestStackedFilters(t *testing.T) {
	t.Parallel()
	outer := mustNew(t, browserid.Config{SecretKey: testSecret, CookieName: "outer"})
	inner := mustNew(t, browserid.Config{SecretKey: testSecret, CookieName: "inner"})
	w := httptest.NewRecorder()
	var id browserid.ID
	outer(inner(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id, _ = browserid.FromContext(r.Context())
	}))).ServeHTTP(w, get())
	cookies := w.Header()["Set-Cookie"]
	if len(cookies) != 2 || !strings.HasPrefix(cookies[0], "inner="+string(id)) ||
		!strings.HasPrefix(cookies[1], "outer=") {
		t.Errorf("id %q, cookies %q", id, cookies)
	}
}

func TestFromContextConcurrently(t *testing.T) {
	t.Parallel()
	filter := mustNew(t, browserid.Config{SecretKey: testSecret, Lazy: true})
	filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, _ := browserid.FromContext(r.Context())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if id, ok := browserid.FromContext(r.Context()); !ok || id != want {
					t.Errorf("got %q, %v, want %q", id, ok, want)
				}
			})
		}
		_, _ = w.Write([]byte("x"))
		wg.Wait()
	})).ServeHTTP(httptest.NewRecorder(), get())
}

// The filter's context passes on cancellation and values.
func TestContextPassesThrough(t *testing.T) {
	t.Parallel()
	type key struct{}
	filter := mustNew(t, browserid.Config{SecretKey: testSecret})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	filter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		child, stop := context.WithCancel(r.Context())
		defer stop()
		if r.Context().Value(key{}) != "value" {
			t.Error("a value of the server's context is lost")
		}
		cancel()
		<-child.Done()
		if _, ok := browserid.FromContext(context.WithoutCancel(child)); !ok {
			t.Error("the id is lost in a derived context")
		}
	})).ServeHTTP(httptest.NewRecorder(), get().WithContext(ctx))
}

func TestIDInLogs(t *testing.T) {
	t.Parallel()
	for _, id := range []browserid.ID{
		"", "a", "abc", "0123456789abcdef",
		"0123456789abcdef0123456789abcdef",
	} {
		var b strings.Builder
		slog.New(slog.NewTextHandler(&b, nil)).Info("hello", slog.Any("id", id))
		if id != "" && strings.Contains(b.String(), string(id)) {
			t.Errorf("the whole id was logged: %s", b.String())
		}
		if !strings.Contains(b.String(), "id="+id.Short()) &&
			!strings.Contains(b.String(), `id="`+id.Short()) {
			t.Errorf("the id's beginning was not logged: %s", b.String())
		}
	}
}

// A printed or logged context does not reveal the id.
func TestPrintedContextHidesID(t *testing.T) {
	var id browserid.ID
	var printed string
	handler := mustNew(t,
		browserid.Config{SecretKey: testSecret})(http.HandlerFunc(func(_ http.ResponseWriter,
		r *http.Request,
	) {
		id, _ = browserid.FromContext(r.Context())
		printed = fmt.Sprintf("%v %+v %s", r.Context(), r.Context(), context.WithValue(r.Context(),
			testKey{}, 1))
	}))
	handler.ServeHTTP(httptest.NewRecorder(), get())
	if id == "" || strings.Contains(printed, string(id)) {
		t.Errorf("the context of browser %q prints as %q", id, printed)
	}
}

type testKey struct{}
