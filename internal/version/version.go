// Package version finds the version of this library in the build information of a program.
//
//	info, _ := debug.ReadBuildInfo()
//	fmt.Println(version.Of(info))
package version

import "runtime/debug"

// Module is the path of this library in a program's build information.
const Module = "github.com/pasteline/pasteline"

// unknown is the version of a program without build information.
const unknown = "(unknown)"

// Of returns the version of this library: that of the module, or the revision for a build from a
// working tree. It is "(unknown)" if info is nil or does not tell.
func Of(info *debug.BuildInfo) string {
	if info == nil {
		return unknown
	}
	if info.Main.Path != Module {
		for _, dep := range info.Deps {
			if dep.Path == Module {
				return dep.Version
			}
		}
		return unknown
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
