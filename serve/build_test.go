package serve_test

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/pasteline/pasteline/serve"
)

const module = "github.com/pasteline/pasteline"

// A project requires a published version if the program was built from one, and else this folder.
func TestSourceOf(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if flags := os.Getenv("GOFLAGS"); flags != "" {
		t.Skipf("GOFLAGS=%s may hide the folder", flags)
	}
	for _, tt := range []struct {
		name                string
		info                *debug.BuildInfo
		wantVersion, wantIn string
	}{
		{"no information", nil, "", ""},
		{"installed", &debug.BuildInfo{Main: debug.Module{
			Path: module, Version: "v1.2.3",
			Sum: "h1:x",
		}}, "v1.2.3", ""},
		{
			"a working tree", &debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"}},
			"", here,
		},
		{"a program", &debug.BuildInfo{
			Main: debug.Module{Path: "a"},
			Deps: []*debug.Module{{Path: module, Version: "v0.9.0", Sum: "h1:x"}},
		}, "v0.9.0", ""},
		{
			"a program with a replacement", &debug.BuildInfo{
				Main: debug.Module{Path: "a"}, Deps: []*debug.Module{{
					Path:    module,
					Version: "v0.9.0", Replace: &debug.Module{Path: "../x"},
				}},
			}, "", here,
		},
	} {
		if version, folder := serve.SourceOf(tt.info); version != tt.wantVersion ||
			folder != tt.wantIn {
			t.Errorf("%s: got %q, %q, want %q, %q", tt.name, version, folder,
				tt.wantVersion, tt.wantIn)
		}
	}
}

func TestBrowserCommand(t *testing.T) {
	t.Parallel()
	const url = "http://localhost:6543"
	for system, want := range map[string]string{
		"linux": "xdg-open", "freebsd": "xdg-open",
		"darwin": "open", "windows": "rundll32",
	} {
		name, args := serve.BrowserCommand(system, url)
		if name != want || args[len(args)-1] != url {
			t.Errorf("%s: got %s %q, want %s", system, name, args, want)
		}
	}
}

func TestQuoteForShell(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"guestbook": "guestbook", "../my-site_2/v1.0": "../my-site_2/v1.0", "my site": "'my site'",
		"it's": `'it'\''s'`, "$HOME": "'$HOME'",
	} {
		if got := serve.QuoteForShell(path); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
	}
}
