package tree_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/tree"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"settings", "[a]\n  x=1\n  y :  2 \nz =\n", "[a]\nx = 1\ny = 2\nz =\n"},
		{"line ends", "[a]\r\nx = 1\rz = 2  ", "[a]\nx = 1\nz = 2\n"},
		{
			"empty lines", "\n\n[a]\n\n\nx = 1\n\n\n\ny = 2\n[b]\nz = 3\n\n\n",
			"[a]\n\nx = 1\n\ny = 2\n\n[b]\nz = 3\n",
		},
		{
			"a header keeps its comment", "# of the file\n[a]\nx = 1\n# of b\n[b]\n  ; of y\ny = 1",
			"# of the file\n[a]\nx = 1\n\n# of b\n[b]\n; of y\ny = 1\n",
		},
		{
			"a comment that is apart", "[a]\nx = 1\n# of a\n\n[b]\ny = 1\n# the end\n\n",
			"[a]\nx = 1\n# of a\n\n[b]\ny = 1\n# the end\n",
		},
		{
			"values of several lines", "[a]\n  x =\n       one\n\n\n       # not two\n       two\n  y = 1\n",
			"[a]\nx =\n     one\n\n\n     # not two\n     two\ny = 1\n",
		},
		{"a tab", "[a]\nx = 1\n\ty = 2\n\t\tz\n", "[a]\nx = 1\n    y = 2\n        z\n"},
		{"a tab before the key", "[a]\n\tx = 1\n  y = 2\n", "[a]\nx = 1\n y = 2\n"},
		{"aligned", "[a]\nx =\n    deep\n  flat\n      deeper\n", "[a]\nx =\n    deep\n    flat\n      deeper\n"},
		{"text after a header", "  [a]  ; ignored\nx = [1]\n", "[a]  ; ignored\nx = [1]\n"},
		{"a space in a name", "[ app : main ]\nset  x = 1\n", "[ app : main ]\nset  x = 1\n"},
		{"nothing", "", ""},
		{"comments alone", "\n# one\n\n\n# two\n\n", "# one\n\n# two\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tree.Format("site.ini", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := tree.Format("site.ini", []byte("[a]\nx\n")); err == nil {
		t.Error("a file with errors: got no error")
	}
}

// The files of the repository have the canonical layout.
func TestFilesAreFormatted(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "bench") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".ini" {
			return nil
		}
		found++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got, err := tree.Format(path, text)
		if err != nil {
			return err
		}
		if diff := gocmp.Diff(string(text), string(got)); diff != "" {
			t.Errorf("%s (-as it is +formatted):\n%s", path, diff)
		}
		return nil
	})
	if err != nil || found < 3 {
		t.Errorf("%d files, %v", found, err)
	}
}

// Formatting keeps sections, keys and values, and does nothing to a formatted file.
func FuzzFormat(f *testing.F) {
	for _, pattern := range []string{"../testdata/*.ini", "../testdata/pastedeploy/*.ini"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("[a]\n\tx = 1\n  y\n #\n\n  z\n[b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := tree.Parse("f.ini", data)
		text, formatErr := tree.Format("f.ini", data)
		if err != nil || formatErr != nil {
			if err == nil || formatErr == nil || err.Error() != formatErr.Error() {
				t.Fatalf("parsing: %v, formatting: %v", err, formatErr)
			}
			return
		}
		after, err := tree.Parse("f.ini", text)
		if err != nil {
			t.Fatalf("%q was formatted to %q: %v", data, text, err)
		}
		if before.String() != after.String() {
			t.Errorf("%q was changed by formatting to %q", data, text)
		}
		again, err := tree.Format("f.ini", text)
		if err != nil || string(again) != string(text) {
			t.Errorf("%q was formatted again to %q, %v", text, again, err)
		}
	})
}
