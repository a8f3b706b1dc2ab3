package tm_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction"
)

// load builds tm, with settings, around an app that joins d and answers with 404.
func load(t *testing.T, d *trace, settings string) (*pipeline.Pipeline, error) {
	t.Helper()
	r := pipeline.NewRegistry()
	tm.Register(r)
	pipeline.Value(r, "never", tm.Activate(func(*http.Request) bool { return false }))
	pipeline.Value(r, "anna", tm.User(func(*http.Request) string { return "anna" }))
	pipeline.App(r, "egg:test#app", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			txn, ok := transaction.FromContext(r.Context())
			if !ok {
				fmt.Fprint(w, "no transaction")
				return
			}
			join(t, r.Context(), d)
			fmt.Fprint(w, txn.User())
		}), nil
	})
	text := "[DEFAULT]\nx = y\n[pipeline:main]\npipeline = tm egg:test#app\n[filter:tm]\nuse = " +
		"egg:repoze.tm2#tm\n" + settings
	path := filepath.Join(t.TempDir(), "site.ini")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
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
	for settings, want := range map[string]string{
		"":                   "txn.commit",
		"commit_veto = none": "txn.commit",
		"commit_veto = repoze.tm:default_commit_veto":  "txn.abort",
		"commit_veto = repoze.tm2:default_commit_veto": "txn.abort",
		"activate = never":                    "no transaction",
		"user = anna":                         "anna txn.commit",
		"highwater = 1MB\nmax_response = 0\n": "txn.commit",
		"highwater = 0":                       "txn.commit",
	} {
		d := &trace{}
		p, err := load(t, d, settings)
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		got := strings.TrimSpace(get(t, p, "/").Body.String() + " " + strings.Join(d.all(), " "))
		if got != want {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"commit_veto = strict": `have: none, repoze.tm2:default_commit_veto, ` +
			`repoze.tm:default_commit_veto`,
		"activate = nefer":  `did you mean "never"`,
		"user = ana":        `did you mean "anna"`,
		"commit_veto =":     `commit_veto: empty: want a value, or no such line`,
		"activate =":        `empty: want`,
		"user =":            `empty: want`,
		"comit_veto = none": `did you mean "commit_veto"`,
	} {
		if _, err := load(t, &trace{}, settings); err == nil || !strings.Contains(err.Error(),
			want) || !strings.Contains(err.Error(), "site.ini:7: ") {
			t.Errorf("%s: got %v, want something with %q", settings, err, want)
		}
	}
}
