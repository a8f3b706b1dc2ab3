package guard_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/pipeline"
)

func TestSameSite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields map[string]string
		ok     bool
	}{
		{"a program", nil, true},
		{"its own page", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:1"}, true},
		{"the address bar", map[string]string{"Sec-Fetch-Site": "none"}, true},
		{"a link elsewhere", map[string]string{
			"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
		}, true},
		{"a frame elsewhere", map[string]string{
			"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe",
		}, false},
		{"a script elsewhere", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, false},
		{"a sibling", map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		{"an old browser elsewhere", map[string]string{"Origin": "http://evil.example"}, false},
		{"an opaque origin", map[string]string{"Origin": "null"}, false},
		{"another port", map[string]string{"Origin": "http://localhost:2"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = "localhost:1"
		for name, value := range tt.fields {
			r.Header.Set(name, value)
		}
		if err := guard.SameSite(r); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

func TestPass(t *testing.T) {
	t.Parallel()
	make := func(token string) *guard.Guard {
		t.Helper()
		g, err := guard.New(guard.Settings{Token: pipeline.Secret(token)})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g, other, none := make(secret), make(secret+"x"), make("")
	with := func(value string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.AddCookie(&http.Cookie{Name: "c", Value: value})
		return r
	}
	if !g.HasPass(with(g.Pass()), "c") || g.HasPass(with(g.Pass()), "d") || g.HasPass(with(other.Pass()), "c") ||
		g.HasPass(with(secret), "c") || none.HasPass(with(""), "c") || none.HasPass(with(none.Pass()), "c") {
		t.Error("a pass is valid only for its token and its cookie")
	}
	if !g.IsToken(secret) || g.IsToken("") || none.IsToken("") || !g.HasToken() || none.HasToken() {
		t.Error("the token")
	}
}
