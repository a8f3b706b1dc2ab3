package pipeline_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/memory"
)

type noting struct {
	Fail  bool
	Close string
	Panic bool
}

// closing registers a filter and an app that record their closing, and fail as their settings say.
func closing(closed *[]string) *pipeline.Registry {
	r := pipeline.NewRegistry()
	build := func(b *pipeline.Build, s noting) error {
		name := b.Name()
		b.OnClose(func() error {
			*closed = append(*closed, name)
			if s.Close != "" {
				return errors.New(s.Close)
			}
			return nil
		})
		if s.Panic {
			panic("a factory panics")
		}
		if s.Fail {
			return errors.New("no luck")
		}
		return nil
	}
	pipeline.App(r, "egg:n", func(b *pipeline.Build, s noting) (http.Handler, error) {
		return http.NotFoundHandler(), build(b, s)
	})
	pipeline.Filter(r, "egg:n",
		func(b *pipeline.Build, s noting) (func(http.Handler) http.Handler, error) {
			return func(next http.Handler) http.Handler { return next }, build(b, s)
		})
	return r
}

const threeNodes = "[pipeline:main]\npipeline = f g a\n[filter:f]\nuse = " +
	"egg:n\n%s\n[filter:g]\nuse = egg:n\n%s\n[app:a]\nuse = egg:n\n%s\n"

func TestCloseInReverseOrder(t *testing.T) {
	t.Parallel()
	var closed []string
	site := fmt.Sprintf(threeNodes, "close = first", "", "close = third")
	p, err := pipeline.Load(t.Context(), "site.ini",
		text(closing(&closed), map[string]string{"site.ini": site}))
	if err != nil {
		t.Fatal(err)
	}
	if len(closed) != 0 {
		t.Fatalf("closed %v before Close", closed)
	}
	for range 2 {
		if err := p.Close(); err == nil || err.Error() != "first\nthird" {
			t.Errorf("got %v, want both errors", err)
		}
	}
	if want := []string{"filter:g", "filter:f", "app:a"}; !slices.Equal(closed, want) {
		t.Errorf("closed %v, want %v", closed, want)
	}
}

// A panic of one closer neither keeps other resources open nor ends the program.
func TestCloseContainsPanics(t *testing.T) {
	t.Parallel()
	var closed []string
	registry := closing(&closed)
	pipeline.Filter(registry, "egg:panics",
		func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
			b.OnClose(func() error { panic("no luck") })
			return func(next http.Handler) http.Handler { return next }, nil
		})
	var log strings.Builder
	options := text(registry, map[string]string{"site.ini": "[pipeline:main]\npipeline = f " +
		"egg:panics a\n[filter:f]\nuse = egg:n\n[app:a]\nuse = egg:n\n"})
	options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p, err := pipeline.Load(t.Context(), "site.ini", options)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err == nil || err.Error() != "panic: no luck" {
		t.Errorf("got %v, want panic: no luck", err)
	}
	if want := []string{"filter:f", "app:a"}; !slices.Equal(closed, want) {
		t.Errorf("closed %v, want %v", closed, want)
	}
	if !strings.Contains(log.String(), "load_test.go") {
		t.Errorf("no stack in the log: %s", &log)
	}
}

func TestFailedLoadCloses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		f, g, a string
		closed  []string
		want    string
	}{
		{
			"all errors", "fail = true", "", "fail = true",
			[]string{"filter:g", "filter:f", "app:a"},
			"site.ini:3: [filter:f]: no luck\nsite.ini:9: [app:a]: no luck",
		},
		{"closing fails too", "", "fail = true", "close = stuck", []string{
			"filter:g", "filter:f",
			"app:a",
		}, "site.ini:6: [filter:g]: no luck\nclosing after the error: stuck"},
		{
			"a setting", "", "fail = perhaps", "",
			[]string{"filter:f", "app:a"},
			`site.ini:8: [filter:g] fail = "perhaps": want true or false`,
		},
		{
			"a panic", "", "panic = true", "",
			[]string{"filter:g", "filter:f", "app:a"},
			"panic: a factory panics",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var closed []string
			site := fmt.Sprintf(threeNodes, tt.f, tt.g, tt.a)
			err := func() (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = fmt.Errorf("panic: %v", p)
					}
				}()
				_, err = pipeline.Load(t.Context(), "site.ini",
					text(closing(&closed), map[string]string{"site.ini": site}))
				return err
			}()
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if !slices.Equal(closed, tt.closed) {
				t.Errorf("closed %v, want %v", closed, tt.closed)
			}
		})
	}
}

// Composing adds no handler: the result is the one of calling the filters by hand.
func TestHandlerIsComposedByHand(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	type layer struct {
		http.Handler
		name string
		next http.Handler
	}
	for _, name := range []string{"a", "b", "c"} {
		pipeline.Filter(r, "egg:"+name,
			func(*pipeline.Build, struct{}) (func(http.Handler) http.Handler, error) {
				return func(next http.Handler) http.Handler {
						return &layer{
							name: name,
							next: next,
						}
					},
					nil
			})
	}
	app := &layer{name: "app"}
	pipeline.App(r, "egg:app",
		func(*pipeline.Build, struct{}) (http.Handler, error) { return app, nil })
	site := "[pipeline:main]\npipeline = egg:a b nested\nfilter-with = egg:c\n[filter:b]\nuse = " +
		"egg:b\nfilter-with = egg:a\n" +
		"[filter-app:nested]\nuse = egg:c\nnext = egg:app\n"
	p, err := pipeline.Load(t.Context(), "site.ini", text(r, map[string]string{"site.ini": site}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	h := p.Handler
	for h != http.Handler(app) {
		l, ok := h.(*layer)
		if !ok {
			t.Fatalf("a %T is between %v and the app", h, names)
		}
		names, h = append(names, l.name), l.next
	}
	if want := []string{"c", "a", "a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestStorageIsSharedAndClosed(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	memory.Register(r.Opener())
	var opened []*storage.DB
	pipeline.App(r, "egg:s", func(b *pipeline.Build, s struct{ URI string }) (http.Handler, error) {
		db, err := b.Storage(s.URI)
		if err != nil {
			return nil, &pipeline.Error{Key: "uri", Err: err}
		}
		opened = append(opened, db)
		return http.NotFoundHandler(), nil
	})
	opts := text(r, map[string]string{"site.ini": "[app:main]\nuse = egg:s\nuri = " +
		"memory://x\n[app:bad]\nuse = main\nuri = memry://x\n"})
	var loaded []*pipeline.Pipeline
	for range 2 { // as a reload does: the new one is there before the old one is closed
		p, err := pipeline.Load(t.Context(), "site.ini", opts)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, p)
	}
	if opened[0].Engine() != opened[1].Engine() {
		t.Error("the second load opened the database again")
	}
	for i, p := range loaded {
		if err := p.Close(); err != nil {
			t.Errorf("closing %d: %v", i, err)
		}
	}
	if _, err := opened[1].Engine().Begin(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("open after the last Close: %v", err)
	}
	opts.Name = "bad"
	if _, err := pipeline.Load(t.Context(), "site.ini", opts); err == nil ||
		!strings.HasPrefix(err.Error(), `site.ini:6: [app:bad] uri = "memry://x": `) {
		t.Error(err)
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	var logged strings.Builder
	pipeline.Filter(r, "egg:f",
		func(*pipeline.Build, struct{}) (func(http.Handler) http.Handler, error) {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w,
						"f ")
					next.ServeHTTP(w, r)
				})
			}, nil
		})
	r.Alias("egg:Old.Dist#filter", "egg:f")
	pipeline.App(r, "egg:leaf",
		func(b *pipeline.Build, s struct{ Word string }) (http.Handler, error) {
			prefix, ok := b.Global("prefix")
			if _, none := b.Global("nothing"); !ok || none {
				t.Errorf("global conf: %v %v", ok, none)
			}
			b.Warn("word", "is only a word")
			b.Warn("", "is a leaf")
			b.Warn("prefix", "is before it")
			b.Logger().Info("made")
			if b.Context() == nil {
				t.Error("no context")
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, prefix,
					s.Word, b.Debug())
			}), nil
		})
	pipeline.Composite(r, "egg:c",
		func(b *pipeline.Build, s struct{ Child, Around string }) (http.Handler, error) {
			app, err := b.App(s.Child)
			if err != nil {
				return nil, err
			}
			filter, err := b.Filter(s.Around)
			if err != nil {
				return nil, err
			}
			return filter(app), nil
		})
	site := "[DEFAULT]\nprefix = -\n[composite:main]\nuse = egg:c\nchild = leaf\naround = " +
		"egg:f\nset prefix = >\n" +
		"[app:leaf]\nuse = egg:leaf\nword = hi\n" +
		"[composite:bad]\nuse = egg:c\nchild = leef\n[composite:worse]\nuse = egg:c\nchild = " +
		"leaf\naround = egg:g\n" +
		"[composite:old]\nuse = egg:c\nchild = leaf\naround = egg:Old.Dist#filte\n"
	opts := text(r, map[string]string{"site.ini": site})
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	opts.Global = map[string]string{"debug": "yes"}
	p, err := pipeline.Load(t.Context(), "site.ini", opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(t, p); got != "f >hitrue" {
		t.Errorf("got %q", got)
	}
	var warnings []string
	for _, w := range p.Warnings() {
		warnings = append(warnings, w.String())
	}
	want := []string{
		"site.ini:7: [composite:main] set prefix: is before it",
		"site.ini:8: [app:leaf]: is a leaf", "site.ini:10: [app:leaf] word: is only a word",
	}
	if diff := gocmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	for _, w := range append(want, "section=app:leaf") {
		if strings.Count(logged.String(), w) != 1 {
			t.Errorf("%q is not logged once: %s", w, &logged)
		}
	}
	if !slices.Equal(p.Tree().Files(), []string{"site.ini"}) || p.Tree().Root.Kind != tree.KindComposite {
		t.Errorf("files %v, tree %v", p.Tree().Files(), p.Tree().Root.Kind)
	}
	for name, want := range map[string]string{
		"bad": `site.ini:13: [composite:bad] child = "leef": no app "leef"; did you mean ` +
			`"leaf" (site.ini:8)?`,
		"worse": `site.ini:17: [composite:worse] around = "egg:g": no filter of that name is ` +
			`registered; did you mean "egg:f"? A program of your own registers others: ` +
			`pipeline.Filter(r, "egg:g", …)`,
		"old": `site.ini:21: [composite:old] around = "egg:Old.Dist#filte": no filter of that ` +
			`name is registered; did you mean "egg:Old.Dist#filter"? A program of your own ` +
			`registers others: pipeline.Filter(r, "egg:Old.Dist#filte", …)`,
	} {
		opts.Name = name
		if _, err := pipeline.Load(t.Context(), "site.ini", opts); err == nil ||
			err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFactoryThatReturnsNothing(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	pipeline.App(r, "egg:n",
		func(*pipeline.Build, struct{}) (http.Handler, error) { return nil, nil })
	_, err := pipeline.Load(t.Context(), "site.ini",
		text(r, map[string]string{"site.ini": "[app:main]\nuse = egg:n\n"}))
	if want := "site.ini:1: [app:main]: its factory returned nothing"; err == nil ||
		err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestJoinErrors(t *testing.T) {
	t.Parallel()
	opts := text(pipeline.NewRegistry(), map[string]string{"site.ini": "[DEFAULT]\nx = " +
		"%\n[server:main]\nuse = nothing\n[app:main]\nuse = nobody\n"})
	_, app := tree.Resolve("site.ini", tree.KindApp, opts.Tree())
	_, server := tree.Resolve("site.ini", tree.KindServer, opts.Tree())
	err := tree.JoinErrors(app, nil, server)
	var errs tree.Errors
	if !errors.As(err, &errs) || len(errs) != 1 || errs[0].Line != 2 {
		t.Errorf("got %v", err)
	}
	if tree.JoinErrors(nil, nil) != nil {
		t.Error("an error of nothing")
	}
	rule := errors.New("rule")
	joined := tree.JoinErrors(fmt.Errorf("outside: %w", rule), &pipeline.Error{
		File: "b.ini",
		Err:  rule,
	}, &pipeline.Error{File: "a.ini", Line: 3, Err: rule})
	if joined == nil || joined.Error() != "outside: rule\na.ini:3: rule\nb.ini: rule" ||
		!errors.Is(joined, rule) {
		t.Errorf("got %v", joined)
	}
	if !reflect.DeepEqual(tree.Warning{
		File: "a.ini", Line: 1, Key: "k",
		Message: "odd",
	}.String(), "a.ini:1: k: odd") {
		t.Error("Warning.String")
	}
}

// A value that is neither true nor false counts as false, with a warning.
func TestDebug(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text, warning string
		want          bool
	}{
		{"debug = true", "", true},
		{"debug = no", "", false},
		{"", "", false},
		{
			"debug = maybe",
			`site.ini:2: [DEFAULT] debug: "maybe" is taken for false; write true or false`, false,
		},
	} {
		var got bool
		r := pipeline.NewRegistry()
		pipeline.App(r, "egg:x", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
			_ = b.Debug() // asked twice, told once
			got = b.Debug()
			return http.NotFoundHandler(), nil
		})
		p, err := pipeline.Load(t.Context(), "site.ini", text(r,
			map[string]string{"site.ini": "[DEFAULT]\n" + tt.text + "\n[app:main]\nuse = egg:x\n"}))
		if err != nil {
			t.Fatal(err)
		}
		var warnings []string
		for _, w := range p.Warnings() {
			warnings = append(warnings, w.String())
		}
		if got != tt.want || strings.Join(warnings, "\n") != tt.warning {
			t.Errorf("%q: got %v, %q, want %v, %q", tt.text, got, warnings, tt.want, tt.warning)
		}
	}
}
