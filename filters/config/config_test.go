package config_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/config"
	"github.com/pasteline/pasteline/pipeline"
)

// inside returns the configuration that a handler behind a config filter gets.
func inside(t *testing.T, conf map[string]string) config.Conf {
	t.Helper()
	var c config.Conf
	ok := false
	config.New(conf)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, ok = config.FromContext(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if !ok {
		t.Fatal("no configuration in the context")
	}
	return c
}

func TestTyped(t *testing.T) {
	t.Parallel()
	conf := map[string]string{
		"yes": "On", "n": "1_000", "d": "1m30s", "s": "90", "list": "a b\n c", "empty": "",
		"text": " x ", "bad": "hunter2",
	}
	c := inside(t, conf)
	conf["yes"] = "changed later"
	if v, ok := c.Get("text"); v != " x " || !ok {
		t.Errorf("got %q, %v", v, ok)
	}
	if _, ok := c.Get("none"); ok {
		t.Error("a missing key has a value")
	}
	if c.Text("empty", "y") != "" || c.Text("none", "y") != "y" {
		t.Errorf("got %q, %q", c.Text("empty", "y"), c.Text("none", "y"))
	}
	for _, key := range []string{"yes", "none"} {
		if v, err := c.Bool(key, true); !v || err != nil {
			t.Errorf("%s: got %v, %v", key, v, err)
		}
	}
	if v, err := c.Int("n", 1); v != 1000 || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
	for _, key := range []string{"d", "s", "none"} {
		if v, err := c.Duration(key, 90*time.Second); v != 90*time.Second || err != nil {
			t.Errorf("%s: got %v, %v", key, v, err)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, c.List("list")); diff != "" {
		t.Error(diff)
	}
	if got := c.List("none"); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	_, boolErr := c.Bool("bad", true)
	_, intErr := c.Int("bad", 1)
	_, durationErr := c.Duration("bad", 1)
	for _, err := range []error{boolErr, intErr, durationErr} {
		if err == nil || !strings.HasPrefix(err.Error(), "setting bad: want ") ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	c, ok := config.FromContext(t.Context())
	if ok || c.Text("a", "b") != "b" || len(c.List("a")) != 0 {
		t.Errorf("got %v, %v", c, ok)
	}
	for key := range c.All() {
		t.Errorf("got %q", key)
	}
}

func TestInnerFilterWins(t *testing.T) {
	t.Parallel()
	var got []string
	note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c, _ := config.FromContext(r.Context())
		got = append(got, c.Text("a", "none"), c.Text("b", "none"))
	})
	outer := config.New(map[string]string{"a": "outer", "b": "outer"})
	inner := config.New(map[string]string{"a": "inner"})
	outer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner(note).ServeHTTP(w, r)
		note.ServeHTTP(w, r)
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if diff := cmp.Diff([]string{"inner", "none", "outer", "outer"}, got); diff != "" {
		t.Error(diff)
	}
}

// A printed or logged configuration never contains its values.
func TestHidesValues(t *testing.T) {
	t.Parallel()
	c := inside(t, map[string]string{"key": "hunter2", "other": "hunter2"})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("conf", slog.Any("conf", c), slog.Any("pointer", &c))
	text, err := json.Marshal(map[string]any{"conf": c})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %d %v", c, c, c, c, &c),
		log.String(), string(text),
	} {
		if strings.Contains(printed, "hunter2") || !strings.Contains(printed, "key") ||
			!strings.Contains(printed, "other") {
			t.Errorf("got %s", printed)
		}
	}
}

func TestFromINI(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	config.Register(registry)
	var got config.Conf
	pipeline.App(registry, "egg:test#app", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got,
				_ = config.FromContext(r.Context())
		}), nil
	})
	for _, use := range []string{
		"use = egg:PasteDeploy#config", "use = egg:Paste#config", "use = egg:pasteline#config",
		"paste.filter_factory = paste.deploy.config:make_config_filter",
	} {
		ini := "[DEFAULT]\ncolor = red\nsize = 1\n[pipeline:main]\npipeline = conf " +
			"egg:test#app\n[filter:conf]\n" + use + "\ntitle = Site\nset size = 2\n"
		p, err := pipeline.Load(context.Background(), "/srv/site.ini", pipeline.Options{
			Registry: registry, Global: map[string]string{"from": "outside"},
			ReadFile: func(string) ([]byte, error) { return []byte(ini), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		want := map[string]string{
			"here": "/srv", "__file__": "/srv/site.ini", "color": "red",
			"size": "2", "title": "Site", "from": "outside",
		}
		if diff := cmp.Diff(want, maps.Collect(got.All())); diff != "" {
			t.Errorf("%s: %s", use, diff)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
