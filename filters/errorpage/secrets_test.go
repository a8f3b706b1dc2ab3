package errorpage_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/redact/redacttest"
	"github.com/pasteline/pasteline/pipeline"
)

// The page of a site whose file is of redacttest shows none of its secrets. A file that can't be
// loaded has no page.
func TestNoSecretsOfFiles(t *testing.T) {
	for name, value := range redacttest.Env {
		t.Setenv(name, value)
	}
	served := 0
	for _, c := range redacttest.Cases() {
		registry := func(r *pipeline.Registry) {
			pipeline.App(r, "egg:myapp#app", func(b *pipeline.Build, s struct {
				Others map[string]string `ini:"*"`
			},
			) (http.Handler, error) {
				return handler.Func(func(http.ResponseWriter, *http.Request) error {
					return fmt.Errorf("can't open %s with %v", s.Others["zodb_uri"], s.Others)
				}), nil
			})
		}
		t.Run(c.Name, func(t *testing.T) {
			if _, err := load(t, c.INI, registry); err != nil || !strings.Contains(c.INI, "\nport = 0\n") ||
				strings.HasSuffix(c.Name, " of the server") {
				return
			}
			served++
			s := serveINI(t, c.INI, registry)
			for form, body := range s.each("/") {
				if found := c.Found(body); found != "" || !strings.Contains(body, "can't open") && !strings.Contains(body, "can&#39;t open") {
					t.Errorf("%s shows %q:\n%s", form, found, body)
				}
			}
		})
	}
	if served < 30 {
		t.Errorf("only %d of the files can be served", served)
	}
}

// Nor is a secret of a request or of a session shown, even if the error quotes it.
func TestNoSecretsOfRequests(t *testing.T) {
	t.Parallel()
	const mark = redacttest.Mark
	s := serveINI(t, whole)
	quoting := serveINI(t, strings.Replace(whole, "egg:shop", "egg:quote", 1), registerQuote)
	fields := []string{
		"Authorization: Bearer xyzzy-bearer-token", "Proxy-Authorization: Basic xyzzyxyzzyxyzzy",
		"X-Api-Key: xyzzy-api-key", "X-Auth-Token: xyzzy-auth-token", "X-Csrf-Token: xyzzy-csrf",
		"X-Session-Id: xyzzy-session-id", "Cookie: other=xyzzyxyzzyxyzzyxyzzy.xyzzyxyzzyxyzzyxyzzy; lang=de",
		"Referer: https://ann:xyzzy-of-referer@example.org/?token=xyzzy-of-referer&page=2",
		"X-Amz-Security-Token: xyzzy-amz", "X-Upstream: postgres://site:xyzzy-of-a-uri@db/site",
		"Sec-Websocket-Key: xyzzy-websocket", "Content-Type: application/x-www-form-urlencoded",
	}
	form := "name=ann&password=xyzzy-password&new_password2=xyzzy%20two&csrf=xyzzy-form-csrf&pin=xyzzy1&" +
		"card=xyzzy4111&otp=xyzzy6&client_secret=xyzzy-client&dsn=postgres://a:xyzzy-dsn@h/d"
	for _, path := range []string{"/error", "/panic"} {
		path += "?access_token=xyzzy-access&page=2&api_key=xyzzy%2Dkey&sig=xyzzy-sig&SAMLResponse=xyzzy-saml"
		for _, site := range []*testSite{s, quoting} {
			for _, accept := range []string{asHTML, asJSON, asText} {
				basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("ann:xyzzy-basic"))
				for _, authorization := range []string{fields[0], basic} {
					all := append([]string{accept, authorization}, fields[1:]...)
					got := site.send("POST", path, form, all...).body
					if at := strings.Index(strings.ToLower(got), mark); at >= 0 || strings.Contains(got, basic[len("Authorization: Basic "):]) {
						t.Errorf("%s, %s: a secret is shown: …%s…", path, accept, got[max(at-150, 0):min(max(at, 0)+80, len(got))])
					}
					if site == quoting && accept == asHTML && !strings.Contains(got, "page=2") {
						t.Errorf("what is no secret is missing:\n%s", got)
					}
				}
			}
		}
	}
	s.get("/session", asHTML) // the browser gets its id
	for form, body := range s.each("/session") {
		if strings.Contains(body, "xyzzy") || form != "text" && (!strings.Contains(body, "milk") || !strings.Contains(body, "paid with")) {
			t.Errorf("%s of a session:\n%s", form, body)
		}
	}
	for _, c := range s.cookies() {
		id, _, _ := strings.Cut(c.Value, ".")
		for form, body := range s.each("/session") {
			if len(id) < 16 || strings.Contains(body, id) {
				t.Errorf("%s shows the browser's id %q:\n%s", form, id, body)
			}
		}
	}
}

// A long secret is hidden from its begin on, even if it is not kept to its end.
func TestLongSecrets(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	for _, size := range []int{900, 5_000, 20_000, 200_000} {
		form := "name=ann&password=" + strings.Repeat("xyzzy", size/5)
		got := s.send("POST", "/body", form, asHTML, "Content-Type: application/x-www-form-urlencoded").body
		if strings.Contains(got, "xyzzy") || !strings.Contains(got, "no account for") {
			t.Errorf("%d bytes: %s", size, got)
		}
	}
}

// JSON is shown without its secret members.
func TestNoSecretsOfJSON(t *testing.T) {
	t.Parallel()
	s := serveINI(t, whole)
	got := s.send("POST", "/body", `{"name": "ann", "auth": {"password": "xyzzy", "parts": ["xyzzy1"]}, "list": [{"token": "xyzzy2"}]}`,
		asHTML, "Content-Type: application/json").body
	if strings.Contains(got, "xyzzy") || !strings.Contains(got, "ann") {
		t.Errorf("got %s", got)
	}
}

func (s *testSite) cookies() []*http.Cookie {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.client.Jar.Cookies(r.URL)
}
