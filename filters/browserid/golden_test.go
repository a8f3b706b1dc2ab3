package browserid_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

// golden is testdata/browserid.json, recorded from repoze.browserid 0.3.
type golden struct {
	CookieValues []struct {
		goldenRequest
		BrowserID   string `json:"browser_id"`
		CookieValue string `json:"cookie_value"`
	} `json:"cookie_values"`
	PresentedValues []struct {
		goldenRequest
		CookieValue string `json:"cookie_value"`
		Accepted    *string
	} `json:"presented_values"`
	PresentedHeaders []struct {
		goldenRequest
		CookieHeader  *string `json:"cookie_header"`
		Accepted      *string
		NewCookieSent bool `json:"new_cookie_sent"`
	} `json:"presented_headers"`
	SetCookies []struct {
		goldenRequest
		BrowserID      string  `json:"browser_id"`
		CookieName     string  `json:"cookie_name"`
		CookiePath     *string `json:"cookie_path"`
		CookieDomain   string  `json:"cookie_domain"`
		CookieLifetime int     `json:"cookie_lifetime"`
		CookieSecure   bool    `json:"cookie_secure"`
		Now            int64
		SetCookie      string `json:"set_cookie"`
	} `json:"set_cookies"`
	Responses []struct {
		goldenRequest
		BrowserID    string  `json:"browser_id"`
		CookieHeader *string `json:"cookie_header"`
		App          [][]any
		Body         []string
		ServerSees   [][]any `json:"server_sees"`
		Raises       string
	}
	Factory []goldenFactory
	NewIDs  []struct {
		BrowserIDs []string `json:"browser_ids"`
	} `json:"new_ids"`
}

type goldenFactory struct {
	LocalConf  map[string]string `json:"local_conf"`
	Attributes *struct {
		CookieDomain   string `json:"cookie_domain"`
		CookieLifetime any    `json:"cookie_lifetime"`
		CookieName     string `json:"cookie_name"`
		CookiePath     string `json:"cookie_path"`
		CookieSecure   bool   `json:"cookie_secure"`
		SecretKey      string `json:"secret_key"`
		Vary           []string
	}
	Raises string
}

type goldenRequest struct {
	SecretKey string `json:"secret_key"`
	Environ   map[string]string
	Vary      []string
}

// differences lists the deliberate differences between CompatRepoze and the recording. Everything
// else must agree exactly.
var differences = []struct{ name, original, ours, why string }{
	{
		"new ids", "SHA-1 of clock, pid and an 8-digit random number",
		"40 hexadecimal digits from crypto/rand",
		"an attacker that knows roughly when a server issued an id could guess it",
	},
	{
		"negative lifetime", "issues a cookie that has expired", "refused",
		"no browser ever sends it, so every request is a new visitor",
	},
	{
		"empty secret", "accepted", "refused",
		"any client could sign cookies",
	},
	{
		"boolean words", `"on" and "1", and every word that it does not know, are false`,
		"PasteDeploy's booleans; other words are refused",
		"with cookie_secure = on, a site must get a secure cookie",
	},
	{
		"cache-control", "leaves a response with a new cookie cacheable",
		"adds Cache-Control: private",
		"a shared cache would give one visitor's id to the next",
	},
	{
		"no start_response", "starts a response with the status None",
		"200, as for every Go handler that writes no status",
		"net/http has no start_response",
	},
	{
		"second start_response", "the last one counts if a cookie is issued",
		"the first one always counts",
		"a Go handler can't take back a status that it wrote",
	},
	{
		"raise after start_response", "nothing has been sent if a cookie is issued",
		"the header has been sent, with the cookie",
		"buffering responses is the task of tm and retry: inside them nothing has been sent",
	},
}

func readGolden(tb testing.TB) *golden {
	tb.Helper()
	data, err := os.ReadFile("testdata/browserid.json")
	if err != nil {
		tb.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		tb.Fatal(err)
	}
	return &g
}

// values are the values that repoze.browserid appends to the secret.
func (g goldenRequest) values() []string {
	var values []string
	for _, name := range g.Vary {
		values = append(values, g.Environ[name])
	}
	return values
}

// request returns a request with this environ.
func (g goldenRequest) request(cookieHeader *string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = ""
	for name, value := range g.Environ {
		if name == "REMOTE_ADDR" {
			r.RemoteAddr = value
			if value != "" {
				r.RemoteAddr = "[" + value + "]:4711"
			}
			continue
		}
		r.Header.Set(strings.ReplaceAll(strings.TrimPrefix(name, "HTTP_"), "_", "-"), value)
	}
	if cookieHeader != nil {
		r.Header.Set("Cookie", *cookieHeader)
	}
	return r
}

func TestGoldenCookieValues(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).CookieValues {
		if got := browserid.RepozeSign(c.SecretKey, c.values(), browserid.ID(c.BrowserID)); got !=
			c.CookieValue {
			t.Errorf("cookie_values[%d]: got %q, want %q", i, got, c.CookieValue)
		}
	}
}

func TestGoldenPresentedValues(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).PresentedValues {
		id, ok := browserid.RepozeVerify(c.SecretKey, c.values(), c.CookieValue)
		if ok != (c.Accepted != nil) || ok && string(id) != *c.Accepted {
			t.Errorf("presented_values[%d] %q: got %q, %v, want %v", i, c.CookieValue, id,
				ok, c.Accepted)
		}
	}
}

func TestGoldenPresentedHeaders(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).PresentedHeaders {
		filter := mustNew(t, browserid.Config{
			SecretKey: pipeline.Secret(c.SecretKey), Vary: c.Vary,
			Compat: browserid.CompatRepoze,
		})
		got := visitWith(t, filter, c.request(c.CookieHeader))
		if sent := got.setCookie != ""; sent != c.NewCookieSent {
			t.Errorf("presented_headers[%d] %q: new cookie sent: %v, want %v", i, *c.CookieHeader,
				sent, c.NewCookieSent)
		}
		if c.Accepted != nil && string(got.id) != *c.Accepted {
			t.Errorf("presented_headers[%d] %q: got %q, want %q", i, *c.CookieHeader, got.id,
				*c.Accepted)
		}
	}
}

func TestGoldenSetCookies(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).SetCookies {
		config := browserid.Config{
			SecretKey: pipeline.Secret(c.SecretKey), Vary: c.Vary, Compat: browserid.CompatRepoze,
			CookieName: c.CookieName, CookiePath: browserid.NoPath, CookieDomain: c.CookieDomain,
			CookieLifetime: time.Duration(c.CookieLifetime) * time.Second,
		}
		if c.CookiePath != nil && *c.CookiePath != "" {
			config.CookiePath = *c.CookiePath
		}
		if c.CookieSecure {
			config.CookieSecure = browserid.SecureOn
		}
		if c.CookieLifetime < 0 { // differences: negative lifetime
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(),
				"cookie_lifetime") {
				t.Errorf("set_cookies[%d]: a lifetime of %d: got %v, want an error", i,
					c.CookieLifetime, err)
			}
			continue
		}
		config = config.WithClock(func() time.Time { return time.Unix(c.Now, 0) })
		config = config.WithIDs(func() browserid.ID { return browserid.ID(c.BrowserID) })
		got := visitWith(t, mustNew(t, config), c.request(nil))
		if got.setCookie != c.SetCookie {
			t.Errorf("set_cookies[%d]:\n got %q\nwant %q", i, got.setCookie, c.SetCookie)
		}
	}
}

func TestGoldenResponses(t *testing.T) {
	t.Parallel()
	for i, c := range readGolden(t).Responses {
		config := browserid.Config{
			SecretKey: pipeline.Secret(c.SecretKey),
			Compat:    browserid.CompatRepoze,
		}
		config = config.WithIDs(func() browserid.ID { return browserid.ID(c.BrowserID) })
		app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for _, step := range c.App {
				switch step[0] {
				case "start_response":
					for _, pair := range step[2].([]any) {
						w.Header().Add(pair.([]any)[0].(string), pair.([]any)[1].(string))
					}
					var status int
					_, _ = fmt.Sscan(step[1].(string), &status)
					w.WriteHeader(status)
				case "write":
					_, _ = w.Write([]byte(step[1].(string)))
				case "raise":
					panic("raised by the app")
				}
			}
			for _, chunk := range c.Body {
				_, _ = w.Write([]byte(chunk))
			}
		})
		w := httptest.NewRecorder()
		raised := func() (raised bool) {
			defer func() { raised = recover() != nil }()
			mustNew(t, config)(app).ServeHTTP(w, c.request(c.CookieHeader))
			return false
		}()
		if raised != (c.Raises != "") {
			t.Errorf("responses[%d]: raised: %v, want %q", i, raised, c.Raises)
		}
		status, header, body := serverSees(c.ServerSees)
		if raised && len(c.App) == 1 {
			if len(w.Header()) > 0 {
				t.Errorf("responses[%d]: a header left although the app raised: %v", i, w.Header())
			}
			continue
		}
		if raised { // differences: raise after start_response
			continue
		}
		// differences: second start_response
		if first, again := c.App[0:min(1, len(c.App))], len(c.App) > 1 &&
			c.App[1][0] == "start_response"; again {
			cookie := header["Set-Cookie"]
			if status, header, _ = serverSees(first); cookie != nil {
				header["Set-Cookie"] = cookie
			}
		}
		if status == 0 { // differences: no start_response
			status = http.StatusOK
		}
		// differences: cache-control
		if _, cookie := header["Set-Cookie"]; cookie && c.CookieHeader == nil {
			header.Add("Cache-Control", "private")
		}
		if w.Code != status || w.Body.String() != body {
			t.Errorf("responses[%d]: got %d %q, want %d %q", i, w.Code, w.Body, status, body)
		}
		got := w.Result().Header
		got.Del("Content-Type") // net/http detects the type
		header.Del("Content-Type")
		if diff := cmp.Diff(header, got); diff != "" {
			t.Errorf("responses[%d]: header (-want +got):\n%s", i, diff)
		}
	}
}

// serverSees returns the response as the server receives it; the first start_response counts.
func serverSees(steps [][]any) (status int, header http.Header, body string) {
	header = http.Header{}
	for _, step := range steps {
		switch step[0] {
		case "start_response":
			if status != 0 {
				continue
			}
			if text, ok := step[1].(string); ok {
				_, _ = fmt.Sscan(text, &status)
			}
			for _, pair := range step[2].([]any) {
				header.Add(pair.([]any)[0].(string), pair.([]any)[1].(string))
			}
		default:
			body += step[1].(string)
		}
	}
	return status, header, body
}

func TestGoldenNewIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{40}$`)
	for _, c := range readGolden(t).NewIDs { // differences: new ids
		for _, id := range c.BrowserIDs {
			if !form.MatchString(id) {
				t.Errorf("the original's id %q has another form", id)
			}
		}
	}
	filter := mustNew(t, browserid.Config{SecretKey: testSecret, Compat: browserid.CompatRepoze})
	if id := visitWith(t, filter, httptest.NewRequest(http.MethodGet, "/",
		nil)).id; !form.MatchString(string(id)) {
		t.Errorf("new id %q does not have the form of the original's", id)
	}
}

func TestDifferencesAreExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range differences {
		if seen[d.name] || d.original == "" || d.ours == "" || d.why == "" {
			t.Errorf("difference %q is listed twice, or has no explanation", d.name)
		}
		seen[d.name] = true
	}
}
