package browserid_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

// FuzzCookie checks that a signed value verifies, and that it does not after a change of any byte.
func FuzzCookie(f *testing.F) {
	for _, c := range readGolden(f).CookieValues {
		f.Add(c.SecretKey, c.Environ["HTTP_USER_AGENT"], uint(len(c.CookieValue)/2), byte(1),
			byte(len(c.BrowserID)%3))
	}
	f.Fuzz(func(t *testing.T, secret, agent string, position uint, flip, mode byte) {
		if secret == "" {
			t.Skip("refused")
		}
		filter := mustNew(t, browserid.Config{
			SecretKey: pipeline.Secret(secret), Vary: []string{"HTTP_USER_AGENT"},
			Compat: []browserid.Compat{
				browserid.CompatNone, browserid.CompatRead,
				browserid.CompatRepoze,
			}[mode%3],
		})
		request := func(cookie string) *http.Request {
			r := get()
			r.Header.Set("User-Agent", agent)
			if cookie != "" {
				r.Header.Set("Cookie", "repoze.browserid="+cookie)
			}
			return r
		}
		first := visitWith(t, filter, request(""))
		value := strings.TrimPrefix(first.cookie(), "repoze.browserid=")
		if again := visitWith(t, filter, request(value)); again.id != first.id ||
			again.setCookie != "" {
			t.Fatalf("signed %q does not verify", value)
		}
		forged := []byte(value)
		if forged[position%uint(len(forged))] ^= flip; flip == 0 {
			return
		}
		if got := visitWith(t, filter, request(string(forged))); got.id == first.id {
			t.Fatalf("changed %q verifies in place of %q", forged, value)
		}
	})
}

// FuzzVerify checks that a value that was not signed never verifies.
func FuzzVerify(f *testing.F) {
	for _, c := range readGolden(f).PresentedValues {
		f.Add(c.CookieValue)
	}
	f.Add("fb91d5f5412b2d7a7b407b2042f16990." + strings.Repeat("A", 43))
	filter := mustNew(f, browserid.Config{SecretKey: testSecret, Compat: browserid.CompatRead})
	f.Fuzz(func(t *testing.T, value string) {
		if got := visitWith(t, filter, get("repoze.browserid="+value)); got.setCookie == "" {
			t.Fatalf("%q was accepted as %q", value, got.id)
		}
	})
}

// FuzzCookieHeader compares this package's reader of the header with net/http's, and checks that
// SimpleCookie's does not panic.
func FuzzCookieHeader(f *testing.F) {
	for _, c := range readGolden(f).PresentedHeaders {
		if c.CookieHeader != nil {
			f.Add(*c.CookieHeader, "repoze.browserid")
		}
	}
	f.Add(`a="b"; a=""; a="; a=b c; a`, "a")
	f.Fuzz(func(t *testing.T, line, name string) {
		var ours []string
		for rest := line; ; {
			value, after, found := browserid.CutCookie(rest, name)
			if !found {
				break
			}
			if len(after) >= len(rest) || len(value) > len(rest) {
				t.Fatalf("%q does not get shorter: %q, %q", rest, value, after)
			}
			ours, rest = append(ours, value), after
		}
		next := 0
		for _, want := range get(line).CookiesNamed(name) {
			if want.Value == "" {
				continue // net/http reads "a" as "a="
			}
			for next < len(ours) && ours[next] != strings.Trim(want.Value, " \t") {
				// net/http drops values with invalid characters; here the tag decides
				next++
			}
			if next == len(ours) {
				t.Fatalf("net/http reads %q in %q, we read %q", want.Value, line, ours)
			}
			next++
		}
		if value, found := browserid.SimpleCookie([]string{line}, name); !found && value != "" {
			t.Fatalf("SimpleCookie found %q without finding it", value)
		}
	})
}
