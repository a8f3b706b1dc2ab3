package pipeline_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A manager stands for a session manager with a timeout.
type manager time.Duration

func (m manager) Timeout() time.Duration { return time.Duration(m) }

// registerOrdered has filters and apps that declare offers and requirements, as those of a program
// may.
func registerOrdered(r *pipeline.Registry) {
	filter := func(name string, declare func(b *pipeline.Build)) {
		pipeline.Filter(r, name,
			func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
				declare(b)
				return func(next http.Handler) http.Handler { return next }, nil
			})
	}
	filter("egg:test#tm", func(b *pipeline.Build) { b.Offer(order.TM, nil) })
	filter("egg:test#id", func(b *pipeline.Build) {
		b.Offer(order.BrowserID, order.Cookie{Name: "id", Lifetime: time.Minute})
	})
	filter("egg:test#again", func(b *pipeline.Build) {
		b.Require(
			order.Requirement{
				Filter: order.TM, Place: order.NotInFront, Broken: true,
				Else: "it runs nothing again",
			},
			order.Requirement{
				Filter: order.TM, Place: order.Behind,
				Else: "there is nothing to be run again",
			},
		)
	})
	filter("egg:test#limit", func(b *pipeline.Build) {
		b.Offer("limit", 10)
		b.Require(order.Requirement{
			Filter: "limit", Place: order.NotInFront, Else: "that is the lower one",
			Only: func(value any) bool { return value.(int) <= 10 },
		})
	})
	filter("egg:test#wide", func(b *pipeline.Build) { b.Offer("limit", 100) })
	filter("egg:test#first", func(b *pipeline.Build) {
		b.Require(order.Requirement{
			Filter: "limit", Place: order.NotBehind,
			Else: "it sees what is over the limit",
		})
	})
	filter("egg:test#plain", func(*pipeline.Build) {})
	app := func(*pipeline.Build) (http.Handler, error) { return http.NotFoundHandler(), nil }
	pipeline.App(r, "egg:test#app",
		func(b *pipeline.Build, _ struct{}) (http.Handler, error) { return app(b) })
	pipeline.App(r, "egg:test#sessions", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.RequireSessions(manager(time.Hour))
		return app(b)
	})
	pipeline.App(r, "egg:test#sql", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		b.RequireTransaction()
		return app(b)
	})
	type parts struct {
		Own   bool
		Parts []tree.Setting `ini:"*"`
	}
	// Each setting is a pipeline, as with the composites of OpenStack.
	pipeline.Composite(r, "egg:test#branches",
		func(b *pipeline.Build, s parts) (http.Handler, error) {
			if s.Own {
				b.Offer(order.TM, nil)
			}
			for _, part := range s.Parts {
				words := strings.Fields(part.Value)
				for i, word := range words {
					var err error
					if i < len(words)-1 {
						_, err = b.Filter(word)
					} else {
						_, err = b.App(word)
					}
					if err != nil {
						return nil, err
					}
				}
			}
			return app(b)
		})
}

const waySections = `
[filter:tm]
use = egg:test#tm
[filter:id]
use = egg:test#id
[filter:again]
use = egg:test#again
[app:sessions]
use = egg:test#sessions
[app:sql]
use = egg:test#sql
[app:app]
use = egg:test#app
`

// The ways are judged where the filters were put, each branch by itself.
func TestOrder(t *testing.T) {
	t.Parallel()
	const (
		noID = "needs browserid in front of it: without a browser's id it gets no session, and " +
			"such requests fail; write egg:repoze.browserid#browserid in front of it"
		noTM = "needs tm in front of it: its work is done in the transaction of a request, and " +
			"without one it fails; write egg:repoze.tm2#tm in front of it, and " +
			"egg:repoze.retry#retry in front of that"
		soon = "the browser drops its id after 1m0s, and with it a session that is in use or may " +
			"be for another 1h0m0s: make it much longer, or leave it out"
	)
	for _, tt := range []struct {
		name, main string
		want       []string // warnings; a broken way begins with "!"
	}{
		{"nothing to say", "[pipeline:main]\npipeline = again tm sql", nil},
		{
			"missing", "[pipeline:main]\npipeline =\n  egg:test#plain\n  sql",
			[]string{"!4: [pipeline:main] pipeline: sql " + noTM},
		},
		{"alone", "[app:main]\nuse = egg:test#sql", []string{"!1: [app:main]: " + noTM}},
		{"both missing", "[app:main]\nuse = sessions", []string{
			"!1: [app:main]: " + noID,
			"!1: [app:main]: " + noTM,
		}},
		{
			"behind", "[pipeline:main]\npipeline = tm\n  again\n  app",
			[]string{"!3: [pipeline:main] pipeline: again stands behind tm (site.ini:2): it runs " +
				"nothing again"},
		},
		{"for nothing", "[pipeline:main]\npipeline = again app", []string{"2: [pipeline:main] " +
			"pipeline: again has no tm behind it: there is nothing to be run again"}},
		{"the second of two", "[pipeline:main]\npipeline =\n egg:test#limit\n again\n " +
			"egg:test#limit\n tm app", []string{
			"5: [pipeline:main] pipeline: egg:test#limit stands behind egg:test#limit " +
				"(site.ini:3): that is the lower one",
		}},
		{"only some count", "[pipeline:main]\npipeline = egg:test#wide egg:test#limit app", nil},
		{"in front of", "[pipeline:main]\npipeline = egg:test#first egg:test#plain " +
			"egg:test#limit app", []string{
			"2: [pipeline:main] pipeline: egg:test#first stands in front of egg:test#limit " +
				"(site.ini:2): it sees what is over the limit",
		}},
		{"filter-with", "[app:main]\nuse = egg:test#sql\nfilter-with = tm", nil},
		{"filter-with of a filter", "[pipeline:main]\npipeline = with sql\n[filter:with]\nuse = " +
			"egg:test#plain\nfilter-with = tm", nil},
		{
			"filter-with on the wrong side", "[pipeline:main]\npipeline = again sql\nfilter-with = tm",
			[]string{
				"!2: [pipeline:main] pipeline: again stands behind tm (site.ini:3): it runs " +
					"nothing again",
			},
		},
		{"filter-app", "[filter-app:main]\nuse = egg:test#tm\nnext = sql", nil},
		{
			"filter-app that does nothing", "[filter-app:main]\nuse = egg:test#plain\nnext = sql",
			[]string{"!3: [filter-app:main] next: sql " + noTM},
		},
		{"one branch without", "[composite:main]\nuse = egg:test#branches\n/ = inner\n/sub = " +
			"sql\n[pipeline:inner]\npipeline = tm sql", []string{
			"!4: [composite:main] /sub: sql " + noTM,
		}},
		{
			"a composite with filters",
			"[composite:main]\nuse = egg:test#branches\n/ = again sql\n/sub = tm again app", nil,
		},
		{"in front of all branches", "[pipeline:main]\npipeline = again tm " +
			"both\n[composite:both]\nuse = egg:test#branches\n/ = sql\n/sub = app", nil},
		{"one branch is enough", "[pipeline:main]\npipeline = again both\n[composite:both]\nuse " +
			"= egg:test#branches\n/ = tm sql\n/sub = app", nil},
		{
			"a composite's own", "[composite:main]\nuse = egg:test#branches\nown = true\n/ = sql",
			nil,
		},
		{"a pipeline in a branch", "[composite:main]\nuse = egg:test#branches\n/ = " +
			"inner\n[pipeline:inner]\npipeline = id tm sessions", []string{
			"8: [filter:id] cookie_lifetime: " + soon,
		}},
		{
			"another file", "[pipeline:main]\npipeline = config:other.ini#tm config:other.ini#sql",
			nil,
		},
		{"another file's app", "[pipeline:main]\npipeline = again config:other.ini#sql", []string{
			"!2: [pipeline:main] pipeline: config:other.ini#sql " + noTM,
			"2: [pipeline:main] pipeline: again has no tm behind it: there is nothing to " +
				"be run again",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "site.ini")
			for name, text := range map[string]string{
				path:                            tt.main + waySections,
				filepath.Join(dir, "other.ini"): waySections,
			} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := pipeline.NewRegistry()
			registerOrdered(r)
			p, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: r})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var got []string
			for _, w := range p.Warnings() {
				text := strings.ReplaceAll(w.String(), path, "site.ini")
				if e := w.Err().Error(); e != w.String() {
					t.Errorf("as an error it is %q, as a warning %q", e, w)
				}
				text = strings.TrimPrefix(text, "site.ini:")
				if w.Broken {
					text = "!" + text
				}
				got = append(got, text)
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			part, err := pipeline.Load(t.Context(), path, pipeline.Options{Registry: r, Part: true})
			if err != nil {
				t.Fatal(err)
			}
			defer part.Close()
			for _, w := range part.Warnings() {
				if strings.Contains(w.Message, "needs ") {
					t.Errorf("as a part: %v", w)
				}
			}
		})
	}
}
