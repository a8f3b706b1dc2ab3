package serve

import (
	"context"
	"flag"
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
			"the version of Go. The flag --version does the same.\n\nWith --json the output has " +
			"the keys version, go, os and arch.",
		setup: func(flags *flag.FlagSet) runner {
			o := versionOptions{}
			flags.BoolVar(&o.json, "json", false, "print JSON")
			return o.run
		},
	}
}

// versionOptions are the flags of serve version.
type versionOptions struct{ json bool }

// A versionReport is the output of version --json.
type versionReport struct {
	Version string `json:"version"` // of this library, as versionOf returns it
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (o *versionOptions) run(_ context.Context, c *call, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	if o.json {
		return writeJSON(c.Out, versionReport{
			versionOf(info), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		})
	}
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
