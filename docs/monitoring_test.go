package docs_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction/recovery"
)

const (
	dashboard = "monitoring/dashboard.json"
	alerts    = "monitoring/alerts.yml"
)

// shownMetrics returns the answer of the app metrics of a site that has used everything.
func shownMetrics(t *testing.T) string {
	t.Helper()
	r := registry()
	site := new(status.Site)
	status.Register(r, site)
	type settings struct {
		URIs []string `ini:"uris"`
	}
	pipeline.App(r, "egg:test#all", func(b *pipeline.Build, s settings) (http.Handler, error) {
		for _, uri := range s.URIs {
			if _, err := b.Storage(uri); err != nil {
				return nil, err
			}
		}
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx, seen := r.Context(), observe.FromContext(r.Context())
			const db = "db"
			seen.Conflicted(ctx, observe.Conflict{DB: db})
			seen.Queued(ctx, observe.Queue{DB: db})
			seen.StatementEnd(ctx, observe.Statement{DB: db, Err: http.ErrAbortHandler})
		}), nil
	})
	ini := filepath.Join(t.TempDir(), "site.ini")
	text := "[composite:main]\nuse = egg:Paste#urlmap\n/ = all\n/metrics = metrics\n" +
		"[app:metrics]\nuse = egg:pasteline#metrics\nallow = *\n" +
		"[app:all]\nuse = egg:test#all\nuris = bolt://%(here)s/data.db " + pgtest.Database(t) + "\n"
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := pipeline.Load(t.Context(), ini, pipeline.Options{Registry: r})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	worker := recovery.Start(t.Context(), r.Opener().Recovery(), 1<<40, slog.New(slog.DiscardHandler))
	defer worker.Close()
	site.SetRecovery(worker, 1<<40)
	w := httptest.NewRecorder()
	for _, path := range []string{"/", "/metrics"} {
		w = httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	}
	return w.Body.String()
}

// metricName is a name in an expression of PromQL.
var metricName = regexp.MustCompile(`\b(pasteline|process|go)_[a-z0-9_]+\b`)

// TestMonitoringNames verifies that the dashboard and the alert rules use only metrics that the app
// shows, and only the values of labels that there are.
func TestMonitoringNames(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	text := shownMetrics(t)
	for _, name := range metricName.FindAllString(text, -1) {
		shown[name] = true
	}
	for _, file := range []string{dashboard, alerts} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		used := metricName.FindAllString(string(data), -1)
		if len(used) < 10 {
			t.Errorf("%s: only %d metrics", file, len(used))
		}
		for _, name := range used {
			if !shown[name] {
				t.Errorf("%s: the app shows no metric %s", file, name)
			}
		}
		for _, value := range regexp.MustCompile(`outcome=\\*"([a-z]+)\\*"`).
			FindAllStringSubmatch(string(data), -1) {
			if !strings.Contains(text, `outcome="`+value[1]+`"`) {
				t.Errorf("%s: there is no outcome %s", file, value[1])
			}
		}
	}
}

// TestDashboard verifies that the dashboard is valid JSON in which each panel has a place and
// expressions with balanced brackets.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if ids[p.ID] || places[at] != "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: the id or the place is wrong", p.Title)
		}
		ids[p.ID], places[at] = true, p.Title
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s: no expression", p.Title)
		}
		for _, target := range p.Targets {
			if !balanced(target.Expr) {
				t.Errorf("%s: brackets in %s", p.Title, target.Expr)
			}
		}
	}
	if d.Title == "" || d.UID == "" || len(ids) < 10 {
		t.Errorf("got %q, %q, %d panels", d.Title, d.UID, len(ids))
	}
}

// balanced reports whether each bracket of an expression is closed by one of its kind.
func balanced(expr string) bool {
	var open []rune
	pairs := map[rune]rune{')': '(', ']': '[', '}': '{'}
	for _, c := range expr {
		switch c {
		case '(', '[', '{':
			open = append(open, c)
		case ')', ']', '}':
			if len(open) == 0 || open[len(open)-1] != pairs[c] {
				return false
			}
			open = open[:len(open)-1]
		}
	}
	return len(open) == 0
}
