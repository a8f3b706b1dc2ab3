package version_test

import (
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/pasteline/pasteline/internal/version"
)

func Example() {
	info := &debug.BuildInfo{Deps: []*debug.Module{
		{Path: "github.com/pasteline/pasteline", Version: "v0.1.0"},
	}}
	fmt.Println(version.Of(info))
	// Output: v0.1.0
}

// What a program says of its version depends on how it was built: installed, from a working tree,
// or as a program of one's own.
func TestOf(t *testing.T) {
	t.Parallel()
	revision := []debug.BuildSetting{{
		Key:   "vcs.revision",
		Value: "0123456789abcdef0123456789abcdef01234567",
	}, {Key: "vcs.modified", Value: "false"}}
	changed := []debug.BuildSetting{revision[0], {Key: "vcs.modified", Value: "true"}}
	for _, tt := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"no information", nil, "(unknown)"},
		{
			"installed", &debug.BuildInfo{Main: debug.Module{Path: version.Module, Version: "v1.2.3"}},
			"v1.2.3",
		},
		{"a working tree", &debug.BuildInfo{
			Main:     debug.Module{Path: version.Module, Version: "(devel)"},
			Settings: revision,
		}, "0123456789ab"},
		{"with changes", &debug.BuildInfo{
			Main:     debug.Module{Path: version.Module, Version: "(devel)"},
			Settings: changed,
		}, "0123456789ab+changes"},
		{"no repository", &debug.BuildInfo{Main: debug.Module{Path: version.Module}}, "(devel)"},
		{"a program", &debug.BuildInfo{
			Main: debug.Module{Path: "a"},
			Deps: []*debug.Module{{Path: "b"}, {Path: version.Module, Version: "v0.9.0"}},
		}, "v0.9.0"},
		{"a program without it", &debug.BuildInfo{Main: debug.Module{Path: "a"}}, "(unknown)"},
	} {
		if got := version.Of(tt.info); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
