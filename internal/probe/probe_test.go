package probe_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pasteline/pasteline/internal/probe"
)

// Create returns the same kind of error as creating the file, and creates none.
func TestCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := t.TempDir()
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	folders := []string{dir, gone, file, closed}
	if runtime.GOOS == "linux" {
		folders = append(folders, "/proc", "/sys", "/dev/shm")
	}
	for _, folder := range folders {
		before, _ := os.ReadDir(folder)
		name := filepath.Join(folder, "pasteline-probe-test")
		got := probe.Create(name)
		if after, _ := os.ReadDir(folder); len(after) != len(before) && folder != "/proc" {
			t.Errorf("%s: a file was created", folder)
		}
		f, want := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if want == nil {
			f.Close()
			os.Remove(name)
		}
		if (got == nil) != (want == nil) {
			t.Errorf("%s: got %v, want %v", folder, got, want)
		}
		if errors.Is(want, fs.ErrPermission) && folder != "/proc" && folder != "/sys" && !errors.Is(got, fs.ErrPermission) {
			t.Errorf("%s: got %v, want %v", folder, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("as it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := probe.Write(name); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(name); string(text) != "as it is" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := probe.Write(filepath.Join(dir, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if err := probe.Write(dir); err == nil {
		t.Error("no error for a folder")
	}
}
