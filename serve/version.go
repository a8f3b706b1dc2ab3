package serve

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// module is the path of this library in a program's build information.
const module = "github.com/pasteline/pasteline"

func versionCommand() command {
	return command{
		name: "version", summary: "print the version",
		about: "\nPrints the version of Pasteline, or the revision that it was built from, and " +
			"the version of Go. The flag --version does the same.",
		setup: withoutFlags(version),
	}
}

func version(_ context.Context, c *call, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintf(c.Out, "pasteline %s, %s %s/%s\n", versionOf(info), runtime.Version(),
		runtime.GOOS, runtime.GOARCH)
	return err
}

// versionOf returns the version of this library from a program's build information: that of the
// module, or the revision for a build from a working tree.
func versionOf(info *debug.BuildInfo) string {
	if info == nil {
		return "(unknown)"
	}
	if info.Main.Path != module {
		for _, dep := range info.Deps {
			if dep.Path == module {
				return dep.Version
			}
		}
		return "(unknown)"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if revision == "" {
		return "(devel)"
	}
	return revision + modified
}
