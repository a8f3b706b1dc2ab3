package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// text gives Options a file that is not on disk.
func text(r *pipeline.Registry, files map[string]string) pipeline.Options {
	return pipeline.Options{Registry: r, ReadFile: func(name string) ([]byte, error) {
		if text, ok := files[filepath.ToSlash(filepath.Clean(name))]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}}
}

// saying registers an app that answers with a word.
func saying(r *pipeline.Registry, name, word string) {
	pipeline.App(r, name, func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w,
				word)
		}), nil
	})
}

func answer(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	return w.Body.String()
}

func TestNames(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	saying(r, "egg:My.App", "main")
	saying(r, "egg:My.App#other", "other")
	saying(r, "acme.web:site", "site")
	r.Alias("egg:old", "egg:my_app")
	tests := []struct{ name, section, want string }{
		{"main is the default", "use = egg:my-app", "main"},
		{"spelled out", "use = egg:MY.APP#main", "main"},
		{"by its own name", "use = egg:My.App#other", "other"},
		{"alias", "use = egg:old#main", "main"},
		{"call", "use = call:acme.web:site", "site"},
		{"explicit", "paste.app_factory = acme.web:site", "site"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := pipeline.Load(t.Context(), "site.ini",
				text(r, map[string]string{"site.ini": "[app:main]\n" + tt.section}))
			if err != nil {
				t.Fatal(err)
			}
			if got := answer(t, p); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMiddleware(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	saying(r, "egg:a", "inner")
	pipeline.Middleware(r, "egg:m", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "outer ")
			next.ServeHTTP(w, r)
		})
	})
	p, err := pipeline.Load(t.Context(), "site.ini",
		text(r, map[string]string{"site.ini": "[pipeline:main]\npipeline = egg:m egg:a"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := answer(t, p), "outer inner"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err = pipeline.Load(t.Context(), "site.ini", text(r, map[string]string{
		"site.ini": "[filter:m]\nuse = egg:m\nlevel = 5\n[pipeline:main]\npipeline = m egg:a",
	}))
	if want := "site.ini:3: [filter:m] level: unknown setting; it takes no settings"; err == nil ||
		err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRegistrationPanics(t *testing.T) {
	t.Parallel()
	type twice struct {
		A string `ini:"x"`
		X string
	}
	tests := []struct {
		name string
		f    func(r *pipeline.Registry)
		want []string
	}{
		{"twice", func(r *pipeline.Registry) {
			saying(r, "egg:x", "")
			saying(r, "egg:X#main",
				"")
		}, []string{`app "egg:X#main" is registered twice`, "registry_test.go"}},
		{"alias twice", func(r *pipeline.Registry) {
			saying(r, "egg:x", "")
			r.Alias("egg:x",
				"egg:x")
		}, []string{"registered twice"}},
		{
			"alias of nothing", func(r *pipeline.Registry) { r.Alias("egg:y", "egg:x") },
			[]string{`nothing is registered as "egg:x"`},
		},
		{
			"alias with a bad name", func(r *pipeline.Registry) { r.Alias("y", "egg:x") },
			[]string{`"y": want egg:Dist#name`},
		},
		{
			"alias of a bad name", func(r *pipeline.Registry) { r.Alias("egg:y", "x") },
			[]string{`"x": want egg:Dist#name`},
		},
		{
			"bad name", func(r *pipeline.Registry) { saying(r, "hello", "") },
			[]string{`"hello": want egg:Dist#name`},
		},
		{"value twice", func(r *pipeline.Registry) {
			pipeline.Value(r, "a", 1)
			pipeline.Value(r,
				"a", 2)
		}, []string{`int "a" is registered twice`}},
		{"no struct", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x",
				func(*pipeline.Build, int) (http.Handler, error) { return nil, nil })
		}, []string{"settings are a struct, not int"}},
		{"bad default", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x", func(*pipeline.Build, struct {
				N int `default:"many"`
			},
			) (http.Handler, error) {
				return nil, nil
			})
		}, []string{`N: tag "many": want a whole number`}},
		{"unknown type", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x", func(*pipeline.Build,
				struct{ N chan int },
			) (http.Handler, error) {
				return nil, nil
			})
		}, []string{"settings of type chan int are not known"}},
		{"key twice", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x",
				func(*pipeline.Build, twice) (http.Handler, error) { return nil, nil })
		}, []string{`X: the key "x" is A's already`}},
		{"bad rest", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x", func(*pipeline.Build, struct {
				Rest string `ini:"*"`
			},
			) (http.Handler, error) {
				return nil, nil
			})
		}, []string{`is a map[string]string or a []tree.Setting, not string`}},
		{"two rests", func(r *pipeline.Registry) {
			pipeline.App(r, "egg:x", func(*pipeline.Build, struct {
				Rest  map[string]string `ini:"*"`
				Other []tree.Setting    `ini:"*"`
			},
			) (http.Handler, error) {
				return nil, nil
			})
		}, []string{"a second field"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				got := fmt.Sprint(recover())
				for _, want := range tt.want {
					if !strings.Contains(got, want) {
						t.Errorf("panic %q, want %q in it", got, want)
					}
				}
				if strings.Contains(got, "registered twice") &&
					strings.Count(got, "registry_test.go:") != 2 {
					t.Errorf("panic %q, want both places in it", got)
				}
			}()
			tt.f(pipeline.NewRegistry())
		})
	}
}

func TestKindsHaveNamespaces(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	saying(r, "egg:x", "app")
	pipeline.Filter(r, "egg:x",
		func(*pipeline.Build, struct{}) (func(http.Handler) http.Handler, error) {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					fmt.Fprint(w,
						"filter ")
					next.ServeHTTP(w, r)
				})
			}, nil
		})
	r.Alias("egg:y", "egg:x")
	p, err := pipeline.Load(t.Context(), "site.ini",
		text(r, map[string]string{"site.ini": "[pipeline:main]\npipeline = egg:y egg:x egg:y"}))
	if err != nil {
		t.Fatal(err)
	}
	if got := answer(t, p); got != "filter filter app" {
		t.Errorf("got %q", got)
	}
	pipeline.Composite(r, "egg:x", func(*pipeline.Build,
		struct{},
	) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	_, err = pipeline.Load(t.Context(), "site.ini",
		text(r, map[string]string{"site.ini": "[app:main]\nuse = egg:x"}))
	if want := `site.ini:2: [app:main] use = "egg:x": egg:x#main is registered both as an app ` +
		`and as a composite; write paste.app_factory or paste.composite_factory`; err == nil ||
		err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	pipeline.Value(r, "answer", 42)
	pipeline.Value(r, "answer", "text")
	type settings struct{ Name string }
	pipeline.App(r, "egg:x", func(b *pipeline.Build, s settings) (http.Handler, error) {
		n, err := pipeline.Lookup[int](b, s.Name)
		if err != nil {
			return nil, &pipeline.Error{Key: "name", Err: err}
		}
		if n != 42 {
			t.Errorf("got %d, want 42", n)
		}
		return http.NotFoundHandler(), nil
	})
	load := func(name string) error {
		_, err := pipeline.Load(t.Context(), "site.ini",
			text(r, map[string]string{"site.ini": "[app:main]\nuse = egg:x\nname = " + name}))
		return err
	}
	if err := load("answer"); err != nil {
		t.Error(err)
	}
	if err, want := load("anser"), `site.ini:3: [app:main] name = "anser": "anser" is not `+
		`registered; did you mean "answer"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err, want := load("zzz"), `site.ini:3: [app:main] name = "zzz": "zzz" is not registered; `+
		`have: answer`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	type common struct {
		Host string `default:"localhost"`
	}
	type settings struct {
		common
		Common  common `ini:"-"`
		URL     anchor // a TextUnmarshaler
		HTTPTLS string `ini:"tls"`
		MaxSize pipeline.Bytes
		Delay   time.Duration
		Wait    time.Duration `default:"1m30s"`
		Words   []string
		Debug   bool
		N       int8 `default:"-7"`
		U       uint64
		F       float32
		Secret  pipeline.Secret
		Rest    map[string]string `ini:"*"`
	}
	r := pipeline.NewRegistry()
	var got settings
	pipeline.App(r, "egg:x", func(_ *pipeline.Build, s settings) (http.Handler, error) {
		got = s
		return http.NotFoundHandler(), nil
	})
	site := "[DEFAULT]\nhidden = 1\n[app:main]\nuse = egg:x\nurl = U\ntls = yes\nmax_size = 1.5 " +
		"MiB\ndelay = 0.25\nwords = a b\n  c\n" +
		"debug = On\nu = 1_000\nf = 0.5\nsecret = s3cret\nhidden = 2\nother key = %(hidden)s\n"
	if _, err := pipeline.Load(t.Context(), "site.ini",
		text(r, map[string]string{"site.ini": site})); err != nil {
		t.Fatal(err)
	}
	want := settings{
		common: common{Host: "localhost"}, URL: "<U>", HTTPTLS: "yes", MaxSize: 3 << 19,
		Delay: 250 * time.Millisecond, Wait: 90 * time.Second,
		Words: []string{"a", "b", "c"}, Debug: true, N: -7, U: 1000, F: 0.5, Secret: "s3cret",
		Rest: map[string]string{"other key": "2"},
	}
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(settings{}, common{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type anchor string

func (u *anchor) UnmarshalText(text []byte) error {
	*u = anchor("<" + string(text) + ">")
	return nil
}

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	secret := pipeline.Secret("hunter2")
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", slog.Any("secret", secret))
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", slog.Any("secret", secret))
	marshalled, err := json.Marshal(map[string]any{"secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%s %v %+v %#v %q %x %d %v", secret, secret, secret, secret, secret,
		secret, secret, struct{ S pipeline.Secret }{secret}) + b.String() + string(marshalled)
	if strings.Contains(printed, "hunter2") || strings.Contains(printed, "68756e74657232") ||
		strings.Count(printed, "***") != 11 {
		t.Error(printed)
	}
	if secret.Reveal() != "hunter2" || pipeline.Secret("").String() != "" {
		t.Error("Reveal or String")
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]pipeline.Bytes{
		"0": 0, "17": 17, " 2MB ": 2 << 20, "2mb": 2 << 20, "1k": 1024, "1 KiB": 1024,
		"3 G": 3 << 30, "1TB": 1 << 40, "0.5kb": 512, "7 b": 7,
	} {
		var b pipeline.Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: got %d, %v, want %d", text, b, err, want)
		}
		var again pipeline.Bytes
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%q: %v does not read as itself", text, b)
		}
	}
	for _, text := range []string{
		"", "MB", "-1", "2 pounds", "1e400", "99999999999999999999",
		"9999999999GB", "NaN", "2M B",
	} {
		var b pipeline.Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d, want an error", text, b)
		}
	}
}

func TestAsInt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"١٢": 12, "\u00a07\u3000": 7,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63, "𝟘𝟙𝟚": 12,
	} {
		if got, err := convert.AsInt(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"_1", "1_", "1__0", "+-1", "-", "1 2", "9223372036854775808", "½",
		"7\x1c", "\x1f٧",
	} {
		if got, err := convert.AsInt(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	type settings struct {
		Tries  int             `default:"3" min:"1" max:"9" help:"How often."`
		Key    pipeline.Secret `required:"true"`
		Mode   string          `oneof:"fast safe"`
		Anchor anchor
		Rest   map[string]string `ini:"*"`
	}
	pipeline.Filter(r, "egg:b", func(*pipeline.Build,
		settings,
	) (func(http.Handler) http.Handler, error) {
		return nil, nil
	})
	saying(r, "egg:a", "")
	r.Alias("egg:old.b", "egg:b")
	r.Alias("egg:older.b", "egg:old.b")
	want := tree.FactoryInfo{
		Kind: tree.KindFilter, Name: "egg:b", Usual: "egg:b", Aliases: []string{"egg:old.b", "egg:older.b"},
		Others: true,
		Settings: []tree.SettingInfo{
			{
				Key: "tries", Type: "a whole number", Default: "3", HasDefault: true, Min: "1",
				Max: "9", Help: "How often.", OneOf: []string{},
			},
			{Key: "key", Type: "a secret", Required: true, Secret: true, OneOf: []string{}},
			{Key: "mode", Type: "text", OneOf: []string{"fast", "safe"}},
			{Key: "anchor", OneOf: []string{}},
		},
	}
	for _, name := range []string{"egg:b", "egg:Older_B#main"} {
		got, ok := r.Describe(tree.KindFilter, name)
		if diff := gocmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, ok, diff)
		}
	}
	if _, ok := r.Describe(tree.KindApp, "egg:b"); ok {
		t.Error("an app egg:b")
	}
	if _, ok := r.Describe(tree.KindApp, "nonsense"); ok {
		t.Error("an app nonsense")
	}
	all := r.DescribeAll()
	if len(all) != 2 || all[0].Name != "egg:a" || all[1].Name != "egg:b" {
		t.Errorf("got %v", all)
	}
}

type quietServer struct{ closed *bool }

func (quietServer) Listen(context.Context) ([]net.Addr, error) { return nil, nil }
func (quietServer) Serve(http.Handler) error                   { return nil }
func (quietServer) Shutdown(context.Context) error             { return nil }

func TestLoadServer(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	closed := false
	type settings struct {
		Port int `default:"8080"`
	}
	pipeline.ServerFactory(r, "egg:http",
		func(b *pipeline.Build, s settings) (pipeline.Server, error) {
			if s.Port == 0 {
				return nil, errors.New("no port")
			}
			b.OnClose(func() error { closed = true; return nil })
			return quietServer{&closed}, nil
		})
	opts := text(r, map[string]string{"site.ini": "[server:main]\nuse = " +
		"egg:http\n[server:none]\nuse = egg:http\nport = 0\n"})
	s, err := pipeline.LoadServer(t.Context(), "site.ini", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || !closed || s.Tree().Root.Kind != tree.KindServer {
		t.Errorf("closed: %v, %v, %v", closed, err, s.Tree().Root.Kind)
	}
	opts.Name = "none"
	if _, err := pipeline.LoadServer(t.Context(), "site.ini", opts); err == nil ||
		err.Error() != "site.ini:3: [server:none]: no port" {
		t.Error(err)
	}
	if _, err := pipeline.LoadServer(t.Context(), "site.ini", pipeline.Options{}); err == nil {
		t.Error("loaded without a registry")
	}
}
