package browserid_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/transaction"
)

// signed returns a cookie in the current format.
func signed(id browserid.ID, issued time.Time) string {
	return "repoze.browserid=" + browserid.OwnSign(testSecret, "repoze.browserid", nil, nil, id,
		issued.UnixMilli())
}

// Of several valid cookies the newest is used, whatever its position in the header.
func TestNewestCookieWins(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, young := signed("old", now.Add(-time.Hour)), signed("young", now)
	former := "repoze.browserid=" + browserid.FormerSign(testSecret, "repoze.browserid", nil,
		nil, "former")
	other := "repoze.browserid=" + browserid.FormerSign(testSecret, "repoze.browserid", nil,
		nil, "other")
	original := "repoze.browserid=" + browserid.RepozeSign(testSecret, nil,
		"0123456789abcdef0123456789abcdef01234567")
	forged := "repoze.browserid=" + browserid.OwnSign("another secret of that length",
		"repoze.browserid", nil, nil, "forged", now.Add(time.Hour).UnixMilli())
	wellShaped := strings.Repeat(forged+"; ", 300)
	shapeless := strings.Repeat("repoze.browserid=junk; ", 2000)
	for name, tt := range map[string]struct {
		cookies string
		want    browserid.ID
		issues  bool
	}{
		"newest last":                      {old + "; " + young, "young", false},
		"newest first":                     {young + "; " + old, "young", false},
		"format 1 is older":                {former + "; " + old, "old", false},
		"the original's are older":         {original + "; " + old, "old", false},
		"the first of several in format 1": {former + "; " + other, "former", true},
		"format 1 is replaced":             {former, "former", true},
		"a forged one does not count":      {forged + "; " + old, "old", false},
		"8 of our form in front":           {strings.Repeat(forged+"; ", 8) + old, "old", false},
		"many of the same format in front": {wellShaped + old, "old", false},
		"thousands of others in front":     {shapeless + old, "old", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filter := mustNew(t, browserid.Config{
				SecretKey: testSecret,
				Compat:    browserid.CompatRead,
			})
			if got := visitWith(t, filter, get(tt.cookies)); got.id != tt.want ||
				got.setCookie != "" != tt.issues {
				t.Errorf("got %q, cookie %q", got.id, got.setCookie)
			}
		})
	}
}

// After log-in the new id is used, whatever older cookies the browser sends before it: one of a
// longer path, of an earlier cookie_domain, or of a machine whose clock is ahead.
func TestRenewedIDOverridesOlderCookies(t *testing.T) {
	t.Parallel()
	ahead := time.Now().Add(time.Hour)
	for name, planted := range map[string]string{
		"format 1": "repoze.browserid=" + browserid.FormerSign(testSecret, "repoze.browserid",
			nil, nil, "planted"),
		"older":       signed("planted", time.Now().Add(-time.Minute)),
		"clock ahead": signed("planted", ahead),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			filter := mustNew(t, browserid.Config{SecretKey: testSecret})
			var renewed browserid.ID
			var login visited
			w := httptest.NewRecorder()
			filter(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx, txn := transaction.Begin(r.Context())
				renewed, _ = renew(ctx)
				if err := txn.Commit(ctx); err != nil {
					t.Error(err)
				}
			})).ServeHTTP(w, get(planted))
			login.setCookie = w.Header().Get("Set-Cookie")
			after := visitWith(t, filter, get(planted+"; "+login.cookie()))
			if renewed == "" || after.id != renewed || after.setCookie != "" {
				t.Errorf("after log-in: id %q, cookie %q, want %q", after.id,
					after.setCookie, renewed)
			}
		})
	}
}

func TestWeakSecrets(t *testing.T) {
	t.Parallel()
	for secret, weak := range map[string]bool{
		"x": true, "0123456789abcde": true, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": true,
		"abcdabcdabcdabcdabcdabcd": true, "secret12secret12": true,
		"012345678901234567890123": true, "1234567890123456": true, "trustno1 me trustno1": true,
		"ababababababababc": true,
		testSecret:          false, "correct horse battery staple": false, "5f4dcc3b5aa765d6": false,
		"a key with blanks, 100 characters": false,
	} {
		_, err := load(t, false, "secret_key = "+secret)
		if (err != nil) != weak || err != nil &&
			strings.Contains(err.Error(), fmt.Sprintf("%q", secret)) {
			t.Errorf("%q: %v", secret, err)
		}
		if _, err := load(t, true, "secret_key = "+secret); err != nil {
			t.Errorf("%q, with debug: %v", secret, err)
		}
	}
}

func TestDomainAndPartitioned(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"cookie_domain = com":            "public suffix",
		"cookie_domain = .org":           "public suffix",
		"cookie_domain = co.uk":          "want a domain such as example.co.uk",
		"cookie_domain = .Co.Uk.":        "public suffix",
		"cookie_domain = github.io":      "public suffix",
		"cookie_domain = intranet":       "public suffix",
		"cookie_domain = example.org":    "",
		"cookie_domain = .example.co.uk": "",
		"cookie_domain = ann.github.io":  "",
		"cookie_domain = shop.intranet":  "",
		"cookie_domain = localhost":      "",
		"cookie_partitioned = true":      "cookie_secure = true",
		"cookie_partitioned = true\ncookie_secure = true\ncookie_samesite = none": "",
	} {
		_, err := load(t, false, "secret_key = "+testSecret+"\n"+lines)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", lines, err)
		}
	}
	filter := mustNew(t, browserid.Config{
		SecretKey: testSecret, CookiePartitioned: true,
		CookieSecure: browserid.SecureOn,
	})
	if got := visitWith(t, filter, get()); !strings.HasSuffix(got.setCookie, "; Partitioned") {
		t.Errorf("got %q", got.setCookie)
	}
}

// A reload keeps the old secrets if none of them is among the new ones, for example because the
// file is half written.
func TestReloadKeepsSecrets(t *testing.T) {
	t.Parallel()
	const one, two, three = "11111-first-secret-of-all", "22222-second-secret-of-all", "33333-third-secret-of-all"
	registry := pipeline.NewRegistry()
	loaded := func(lines string) (*pipeline.Pipeline, []tree.Warning) {
		t.Helper()
		registry = registry.Renew()
		browserid.Register(registry)
		pipeline.App(registry, "egg:test#app",
			func(*pipeline.Build, struct{}) (http.Handler, error) {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					id, _ := browserid.FromContext(r.Context())
					_, _ = w.Write([]byte(id))
				}), nil
			})
		p, err := pipeline.Load(t.Context(), "site.ini", pipeline.Options{
			Registry: registry,
			ReadFile: func(string) ([]byte, error) {
				return []byte("[pipeline:main]\npipeline = browserid " +
						"egg:test#app\n[filter:browserid]\nuse = egg:repoze.browserid#browserid\n" + lines),
					nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p, p.Warnings()
	}
	cookie := ""
	state := func(p *pipeline.Pipeline) (known bool) {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, get(cookie))
		if set := w.Header().Get("Set-Cookie"); set != "" {
			cookie, _, _ = strings.Cut(set, ";")
			return false
		}
		return true
	}
	for i, step := range []struct {
		lines string
		keeps bool // the reload keeps the old secrets, with a warning
		known bool // the browser keeps its id, and gets no new cookie
	}{
		{"secret_key = " + one, false, false},
		{"secret_key = " + one[:20], true, true},
		{"secret_key = " + three, true, true},
		// the same id, signed with the new secret
		{"secret_key = " + two + "\nold_secret_keys = " + one, false, false},
		{"secret_key = " + two, false, true},
		{"secret_key = " + three + "\nreplace_secrets = true", false, false},
		{"secret_key = " + three, false, true},
	} {
		p, warnings := loaded(step.lines)
		if got := len(warnings) > 0; got != step.keeps {
			t.Errorf("step %d: warnings %v", i, warnings)
		}
		if got := state(p); got != step.known {
			t.Errorf("step %d: known %v, want %v", i, got, step.known)
		}
		p.Close()
	}
}

func TestSharedCookieName(t *testing.T) {
	t.Parallel()
	const another = "another-secret-0123456789"
	for lines, clash := range map[string]bool{
		"secret_key = " + another:                                   true,
		"secret_key = " + another + "\ncookie_path = /sub":          true,
		"secret_key = " + another + "\ncookie_domain = example.org": true,
		"secret_key = " + testSecret:                                false,
		"secret_key = " + another + "\ncookie_name = other":         false,
		// only one of the two accepts the other's cookies
		"secret_key = " + another + "\nold_secret_keys = " + testSecret: true,
	} {
		p, err := load(t, false, "secret_key = "+testSecret+"\nfilter-with = "+
			"second\n[filter:second]\nuse = egg:repoze.browserid#browserid\n"+lines)
		if err != nil {
			t.Fatal(err)
		}
		warned := slices.ContainsFunc(p.Warnings(), func(w tree.Warning) bool {
			return strings.Contains(w.Message,
				"of the same name to the same pages with another secret")
		})
		if warned != clash {
			t.Errorf("%s: warnings %v", lines, p.Warnings())
		}
	}
}
