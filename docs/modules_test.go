//go:build unix

package docs_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

const version = "v0.1.0" // the version of the tree for the go commands in documents

// modules is a module proxy for the go commands in documents: it has the tree as a released module,
// and other modules from this machine's cache, so that "go install …@latest" works without a
// network.
type modules struct {
	proxy string // a folder in the form of a module proxy
	cache string // the module cache of the commands
	local string // the part of this machine's module cache in the form of a proxy
	more  string // this machine's GOPROXY, for modules that are not in its cache; may be "off"
}

func newModules(t *testing.T) modules {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	// Each command unpacks modules: thousands of small files, which a disk takes longer for.
	cache, err := os.MkdirTemp(testserver.Memory(), "modules") //nolint:usetesting // not on the disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(cache) })
	m := modules{
		proxy: t.TempDir(), cache: cache,
		local: filepath.Join(lines[0], "cache", "download"), more: lines[1],
	}
	folder := filepath.Join(m.proxy, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `"}`,
		version + ".mod":  string(goMod),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack(filepath.Join(folder, version+".zip")); err != nil {
		t.Fatal(err)
	}
	return m
}

// pack writes the module's archive, without the files that only its own tests need.
func pack(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	archive := zip.NewWriter(file)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(filepath.ToSlash(path), root+"/")
		switch {
		case err != nil || path == root:
			return err
		case strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || rel == "docs" ||
			rel == "bench":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir() || strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(rel, ".db"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		w, err := archive.Create(module + "@" + version + "/" + rel)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err == nil {
		err = archive.Close()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}

// environ returns the environment variables of a document's commands.
func (m modules) environ(home string) []string {
	bin := filepath.Join(home, "go", "bin")
	return []string{
		"GOPROXY=file://" + m.proxy + ",file://" + m.local + "," + m.more,
		"GOSUMDB=off", "GOMODCACHE=" + m.cache, "GOWORK=off",
		"GOFLAGS=-modcacherw -trimpath -ldflags=-s", "GOBIN=" + bin,
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
}
