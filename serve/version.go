package serve

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	programversion "github.com/pasteline/pasteline/internal/version"
)

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
	Version string `json:"version"` // of this library, as version.Of returns it
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
			programversion.Of(info), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintf(c.Out, "pasteline %s, %s %s/%s\n", programversion.Of(info),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
