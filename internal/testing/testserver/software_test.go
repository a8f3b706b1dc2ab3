//go:build unix

package testserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
}

func TestLook(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"9.6/bin", "10.3/bin", "10.20/bin", "other/11"} {
		write(t, filepath.Join(dir, folder, "nonesuchd"), 0o755)
	}
	write(t, filepath.Join(dir, "12/bin/nonesuchd"), 0o644) // can't be run
	if err := os.Mkdir(filepath.Join(dir, "path"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../9.6/bin/nonesuchd", filepath.Join(dir, "path/nonesuchd")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		folders    []string
		want       string
	}{
		{"highest version", "", []string{"nowhere/*", "[0-9]*/bin", "other/*"}, "10.20/bin/nonesuchd"},
		{"PATH comes first", "path", []string{"[0-9]*/bin"}, "9.6/bin/nonesuchd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PATH", filepath.Join(dir, tt.path))
			software := testserver.Software{Program: "nonesuchd"}
			for _, folder := range tt.folders {
				software.Folders = append(software.Folders, filepath.Join(dir, folder))
			}
			if got, err := software.Look(); err != nil || got != filepath.Join(dir, tt.want) {
				t.Errorf("got %q, %v, want %q in %s", got, err, tt.want, dir)
			}
		})
	}
}

// outcome is a test that says how it ended.
type outcome struct {
	testing.TB
	said string
}

func (o *outcome) Helper() {}

func (o *outcome) Skip(args ...any) {
	o.said = "skipped: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func (o *outcome) Fatal(args ...any) {
	o.said = "failed: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func TestRequire(t *testing.T) {
	message := "Nonesuch is not installed (no nonesuchd in PATH, /nowhere); on Debian: apt-get install nonesuch"
	for _, tt := range []struct{ name, required, want string }{
		{"not required", "", "skipped: " + message},
		{"required", "1", "failed: " + message},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PASTELINE_REQUIRE_SERVICES", tt.required)
			o := &outcome{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				testserver.Software{Name: "Nonesuch", Program: "nonesuchd", Folders: []string{"/nowhere"}, Package: "nonesuch"}.Require(o)
			}()
			<-done
			if o.said != tt.want {
				t.Errorf("got %s, want %s", o.said, tt.want)
			}
		})
	}
}
