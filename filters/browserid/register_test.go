package browserid_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// load builds a pipeline of one filter section and an app that writes the browser id.
func load(t *testing.T, debug bool, settings string) (*pipeline.Pipeline, error) {
	t.Helper()
	r := pipeline.NewRegistry()
	browserid.Register(r)
	pipeline.App(r, "egg:test#app", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, _ := browserid.FromContext(r.Context())
			_, _ = w.Write([]byte(id))
		}), nil
	})
	text := "[pipeline:main]\npipeline = browserid egg:test#app\n\n[filter:browserid]\nuse = " +
		"egg:repoze.browserid#browserid\n" + settings
	if debug {
		text = "[DEFAULT]\ndebug = true\n" + text
	} else {
		text = "[DEFAULT]\nx = y\n" + text
	}
	path := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"the-secret":  {testSecret + "\n", 0o600},
		"secrets":     {testSecret + "\nchangeme\n", 0o640},
		"open-secret": {testSecret + "\n", 0o644},
		"empty":       {" \n\n", 0o600},
	} {
		name = filepath.Join(filepath.Dir(path), name)
		if err := errors.Join(os.WriteFile(name, []byte(file.text), file.mode),
			os.Chmod(name, file.mode)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: r})
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return p, err
}

func TestLoadedSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings string
		want     string // the Set-Cookie header, with V for the value
	}{
		{
			"defaults", "secret_key = " + testSecret,
			"repoze.browserid=V; Path=/; HttpOnly; SameSite=Lax",
		},
		{
			"secret of a file", "secret_key_file = the-secret",
			"repoze.browserid=V; Path=/; HttpOnly; SameSite=Lax",
		},
		{
			"all", `
secret_key = a key with blanks, 100 characters
old_secret_keys =
    another with blanks
    and one more of them
cookie_name = bid
cookie_path = /sub
cookie_domain = .example.org
cookie_lifetime = 3600
cookie_secure = on
cookie_httponly = no
cookie_samesite = strict
vary = REMOTE_ADDR HTTP_USER_AGENT
lazy = true
compat = none
`, "bid=V; Path=/sub; Domain=example.org; Expires=E; Max-Age=3600; Secure; SameSite=Strict",
		},
		{
			"empty settings", "secret_key = " + testSecret +
				"\ncookie_path =\ncookie_domain =\ncookie_lifetime =\ncookie_secure =\nvary =\n",
			"repoze.browserid=V; HttpOnly; SameSite=Lax",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t, false, tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			if w := p.Warnings(); len(w) > 0 {
				t.Errorf("warnings: %v", w)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, get())
			parts := strings.Split(w.Header().Get("Set-Cookie"), "; ")
			for i, part := range parts {
				if i == 0 {
					name, _, _ := strings.Cut(part, "=")
					parts[i] = name + "=V"
				}
				if strings.HasPrefix(part, "Expires=") {
					parts[i] = "Expires=E"
				}
			}
			if got := strings.Join(parts, "; "); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestGoldenFactory loads the recorded settings; see differences.
func TestGoldenFactory(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).Factory {
		var text strings.Builder
		text.WriteString("compat = repoze\n")
		for key, value := range c.LocalConf {
			text.WriteString(key + " = " + strings.ReplaceAll(value, "\n", "\n\t") + "\n")
		}
		p, err := load(t, true, text.String())
		refused := c.Raises != ""
		secret, given := c.LocalConf["secret_key"]
		lifetime, _ := number(c)
		// differences: empty secret, negative lifetime
		refused = refused || given && secret == "" || lifetime < 0
		if refused {
			if err == nil {
				t.Errorf("factory[%d] %v: loaded, want an error", i, c.LocalConf)
			}
			continue
		}
		if err != nil {
			t.Errorf("factory[%d] %v: %v", i, c.LocalConf, err)
			continue
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, get())
		cookie := w.Header().Get("Set-Cookie")
		name, _, _ := strings.Cut(cookie, "=")
		want := c.Attributes
		has := func(part string) bool { return strings.Contains(cookie, part) }
		secure := want.CookieSecure
		switch strings.ToLower(strings.TrimSpace(c.LocalConf["cookie_secure"])) {
		case "on", "1", "t", "true": // differences: boolean words
			secure = true
		}
		if name != want.CookieName || !has("Path="+want.CookiePath+";") ||
			has("Domain=") != (want.CookieDomain != "") ||
			!has(want.CookieDomain) || has("Expires=") != (lifetime != 0) ||
			has("Secure;") != secure {
			t.Errorf("factory[%d] %v: got %q, want %+v", i, c.LocalConf, cookie, want)
		}
		if got := strings.TrimSuffix(strings.SplitAfter(strings.TrimPrefix(cookie, name+"="),
			";")[0], ";"); len(want.Vary) == 0 {
			if _, ok := browserid.RepozeVerify(want.SecretKey, nil, got); !ok {
				t.Errorf("factory[%d] %v: %q is not signed with %q", i, c.LocalConf, got,
					want.SecretKey)
			}
		}
	}
}

// number returns the recorded lifetime: a number, an empty text, or nothing.
func number(c goldenFactory) (int, bool) {
	if c.Attributes == nil {
		return 0, false
	}
	n, ok := c.Attributes.CookieLifetime.(float64)
	return int(n), ok
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings string
		line     string // the line in the file
		want     []string
	}{
		{"no secret", "", "", []string{"secret_key", "openssl rand -hex 32"}},
		{
			"empty secret", "secret_key =", "site.ini:8:",
			[]string{"secret_key", "openssl rand -hex 32"},
		},
		{"placeholder", "secret_key = my-secret-key", "site.ini:8:", []string{
			"well-known example",
			"openssl rand -hex 32", "debug",
		}},
		{
			"two sources", "secret_key = " + testSecret + "\nsecret_key_env = X", "site.ini:9:",
			[]string{"secret_key_env", "keep one"},
		},
		{
			"no such file", "secret_key_file = nowhere", "site.ini:8:",
			[]string{"secret_key_file", "no such file", "openssl rand -hex 32 >"},
		},
		{
			"empty file", "secret_key_file = empty", "site.ini:8:",
			[]string{"secret_key_file", "has no secret in it", "openssl rand -hex 32"},
		},
		{
			"folder", "secret_key_file = .", "site.ini:8:",
			[]string{"secret_key_file", "is a directory"},
		},
		{
			"no such variable", "secret_key_env = BROWSERID_TEST_UNSET", "site.ini:8:",
			[]string{"BROWSERID_TEST_UNSET", "not set"},
		},
		{"host and path", "secret_key = " + testSecret + "\ncookie_name = __Host-id\ncookie_path " +
			"= /sub", "site.ini:10:", []string{"cookie_path", "__Host-"}},
		{
			"unknown key", "secret_key = " + testSecret + "\ncookie_nam = x", "site.ini:9:",
			[]string{"cookie_name"},
		},
		{
			"bad boolean", "secret_key = " + testSecret + "\ncookie_secure = maybe", "site.ini:9:",
			[]string{"cookie_secure", "maybe", "true, false or auto"},
		},
		{
			"httponly auto", "secret_key = " + testSecret + "\ncookie_httponly = auto", "site.ini:9:",
			[]string{"cookie_httponly", "true or false"},
		},
		{
			"bad lifetime", "secret_key = " + testSecret + "\ncookie_lifetime = 1.5", "site.ini:9:",
			[]string{"cookie_lifetime", "86400"},
		},
		{
			"bad compat", "secret_key = " + testSecret + "\ncompat = python", "site.ini:9:",
			[]string{"compat", "none, read or repoze"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, false, tt.settings)
			if err == nil {
				t.Fatal("loaded")
			}
			text := err.Error()
			for _, want := range append(tt.want, tt.line) {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in the error:\n%s", want, text)
				}
			}
			if strings.Contains(text, "\n") {
				t.Errorf("more than one line:\n%s", text)
			}
			if strings.Contains(text, testSecret) || strings.Contains(text, "my-secret") {
				t.Errorf("the error contains the secret:\n%s", text)
			}
		})
	}
}

func TestLoadWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		debug    bool
		settings string
		want     []string // a part of each warning
	}{
		{
			"placeholder in development", true, "secret_key = my-secret-key",
			[]string{"well-known example"},
		},
		{"short", true, "secret_key = 0a1b2c", []string{"6 characters"}},
		{"placeholder among old secrets", false, "secret_key = " + testSecret +
			"\nold_secret_keys = changeme", []string{"old_secret_keys"}},
		{
			"placeholder on the second line", false, "secret_key_file = secrets",
			[]string{"secret_key_file"},
		},
		{"short secret among old secrets", false, "secret_key = " + testSecret + "\nold_secret_keys = " +
			testSecret + "\n  0a1b2c", []string{"6 characters"}},
		{"file that all users can read", false, "secret_key_file = open-secret", []string{"mode 0644"}},
		{
			"header's name", false, "secret_key = " + testSecret + "\nvary = User-Agent",
			[]string{`did you mean "HTTP_USER_AGENT"`},
		},
		{
			"no such variable", false, "secret_key = " + testSecret + "\nvary = HTTP_",
			[]string{"it has no effect"},
		},
		{
			"cookie", false, "secret_key = " + testSecret + "\nvary = HTTP_COOKIE",
			[]string{"every request gets a new id"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := load(t, tt.debug, tt.settings)
			if err != nil {
				t.Fatal(err)
			}
			warnings := p.Warnings()
			if len(warnings) != len(tt.want) {
				t.Fatalf("got %d warnings, want %d: %v", len(warnings), len(tt.want), warnings)
			}
			for i, w := range warnings {
				text := w.String()
				if !strings.Contains(text, tt.want[i]) || !strings.Contains(text, "site.ini:") {
					t.Errorf("got %q, want %q with a position", text, tt.want[i])
				}
				if strings.Contains(text, testSecret) {
					t.Errorf("the warning contains the secret: %q", text)
				}
			}
		})
	}
}

func TestRegisteredNames(t *testing.T) {
	t.Parallel()
	for _, use := range []string{
		"use = egg:pasteline#browserid", "use = egg:repoze.browserid#browserid",
		"paste.filter_app_factory = repoze.browserid.middleware:make_middleware",
	} {
		r := pipeline.NewRegistry()
		browserid.Register(r)
		path := filepath.Join(t.TempDir(), "site.ini")
		if err := os.WriteFile(path, []byte("[filter:main]\n"+use+"\nsecret_key = "+testSecret),
			0o600); err != nil {
			t.Fatal(err)
		}
		resolved, err := tree.Resolve(path, tree.KindFilter, tree.Options{Catalog: r})
		if err != nil {
			t.Errorf("%s: %v", use, err)
			continue
		}
		if !resolved.Root.Registered {
			t.Errorf("%s: not registered", use)
		}
	}
}
