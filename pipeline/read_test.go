package pipeline_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/engine"
)

type logging struct {
	Level  string `default:"info" oneof:"debug info"`
	Output string
	Rest   map[string]string `ini:"*"`
}

func TestReadSection(t *testing.T) {
	t.Parallel()
	opts := text(nil, map[string]string{
		"site.ini": "[DEFAULT]\nlevel = error\nroot = /var\n[logging]\nlevel = debug\noutput = " +
			"%(root)s/log %(x)s\nother = %%\n",
		"broken.ini": "nothing\n",
		"errs.ini":   "[logging]\noutput = %(nothing)s\nlevel = loud\n",
		"folder/b":   "[logging]\nlevel = debug\n",
	})
	opts.Global = map[string]string{"x": "y"}
	tests := []struct {
		name, uri string
		want      logging
		wantErr   string
	}{
		{
			"a path", "site.ini#main",
			logging{"debug", "/var/log y", map[string]string{"other": "%"}},
			"",
		},
		{"a URI", "config:folder/b", logging{Level: "debug", Rest: map[string]string{}}, ""},
		{"no file", "egg:x", logging{Level: "info", Rest: map[string]string{}}, ""},
		{"missing file", "other.ini", logging{}, "other.ini: there is no such file"},
		{"broken file", "broken.ini", logging{}, `broken.ini:1: the line stands before the first ` +
			`[section]; write [DEFAULT] above it, or the section that it belongs to`},
		{
			"errs", "errs.ini",
			logging{},
			"errs.ini:2: [logging] output: %(nothing)s: no setting of that name, here or in " +
				"[DEFAULT]; write it in [DEFAULT], or give it: serve FILE nothing=…\n" +
				`errs.ini:3: [logging] level = "loud": want debug or info`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := opts
			opts.RelativeTo = "."
			got, err := pipeline.ReadSection[logging](tt.uri, "logging", opts)
			if tt.wantErr != "" {
				if err == nil || err.Error() != tt.wantErr {
					t.Fatalf("got %v, want %s", err, tt.wantErr)
				}
				return
			}
			if diff := gocmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestReadSectionOfNoStruct(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = pipeline.ReadSection[int]("site.ini", "logging", text(nil, nil))
}

func TestEngine(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	errEngine := errors.New("the engine was asked")
	r.Engine("mine", func(context.Context, *url.URL) (engine.Engine, error) {
		return nil,
			errEngine
	})
	pipeline.App(r, "egg:x", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		_, err := b.Storage("mine://x")
		return nil, err
	})
	if _, err := pipeline.Load(t.Context(), "egg:x", pipeline.Options{Registry: r}); !errors.Is(err,
		errEngine) {
		t.Error(err)
	}
}
