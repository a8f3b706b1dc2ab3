package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/command/changes"
)

// sourceFiles are what makes a program change: folders, whose files of Go and C count, and single
// files.
type sourceFiles struct{ folders, single []string }

// have reports whether a file belongs to the sources.
func (f sourceFiles) have(name string) bool {
	return slices.Contains(f.single, name) || slices.Contains(f.folders, filepath.Dir(name))
}

// A listed package is the part of the output of go list that counts here.
type listed struct {
	Dir    string
	Module *struct {
		Main    bool
		Dir     string
		GoMod   string
		Replace *struct{ Version, Dir, GoMod string }
	}
}

// local returns the folder and the go.mod of a package's module if it is no downloaded one.
func (p *listed) local() (folder, mod string, ok bool) {
	switch m := p.Module; {
	case m == nil:
		return "", "", false
	case m.Main:
		return m.Dir, m.GoMod, true
	case m.Replace != nil && m.Replace.Version == "":
		return m.Replace.Dir, m.Replace.GoMod, true
	}
	return "", "", false
}

// files returns the sources of the program. If they can't be listed, as in a folder without a
// module, those are the files of the working folder.
func (w *watcher) files(ctx context.Context) sourceFiles {
	var found sourceFiles
	add := func(list *[]string, name string) {
		if name != "" && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	//nolint:gosec // the package is the user's
	list := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-json=Dir,Module", w.Package)
	out, _ := list.Output() // with -e, go build reports the errors
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if decoder.Decode(&p) != nil {
			break
		}
		folder, mod, ok := p.local()
		if !ok {
			continue
		}
		add(&found.folders, p.Dir)
		add(&found.single, mod)
		add(&found.single, filepath.Join(folder, "go.sum"))
	}
	env, _ := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	if work := strings.TrimSpace(string(env)); work != "off" {
		add(&found.single, work)
	}
	if len(found.folders) == 0 {
		add(&found.folders, ".")
		add(&found.single, "go.mod")
	}
	return found
}

// extensions are those of the files that go build compiles.
var extensions = []string{".go", ".c", ".cc", ".cpp", ".h", ".s", ".S", ".syso"}

// look returns the stamps of all files that are there now.
func (w *watcher) look(files sourceFiles) changes.Stamps {
	names := slices.Clone(files.single)
	for _, folder := range files.folders {
		entries, _ := os.ReadDir(folder) // a folder that is gone has no files
		for _, e := range entries {
			if slices.Contains(extensions, filepath.Ext(e.Name())) &&
				!strings.HasSuffix(e.Name(), "_test.go") && !strings.HasPrefix(e.Name(), ".") {
				names = append(names, filepath.Join(folder, e.Name()))
			}
		}
	}
	return changes.Look(names, changes.StatStamp)
}
