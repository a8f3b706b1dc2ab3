package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Software is a kind of server, and the places where it is installed.
type Software struct {
	Name    string   // name for messages
	Program string   // the server's program
	Folders []string // patterns of folders, if it is not in PATH
	Package string   // Debian's package
}

// Require returns the path of the program, with symbolic links resolved. If it is not installed,
// the test is skipped, or fails when PASTELINE_REQUIRE_SERVICES is set.
func (s Software) Require(tb testing.TB) string {
	tb.Helper()
	if !supported {
		tb.Skipf("%s is started for tests on Unix systems only", s.Name)
	}
	path, err := s.Look()
	switch {
	case err == nil:
	case os.Getenv("PASTELINE_REQUIRE_SERVICES") != "":
		tb.Fatal(err)
	default:
		tb.Skip(err)
	}
	return path
}

// Look returns the path of the program: from PATH, or else the highest version in the first pattern
// that matches. The error names the package to install.
func (s Software) Look() (string, error) {
	if path, err := exec.LookPath(s.Program); err == nil {
		return filepath.EvalSymlinks(path)
	}
	for _, pattern := range s.Folders {
		found, err := filepath.Glob(filepath.Join(pattern, s.Program))
		if err != nil {
			return "", err
		}
		slices.SortFunc(found,
			func(a, b string) int { return slices.Compare(version(b), version(a)) })
		for _, path := range found {
			if path, err := exec.LookPath(path); err == nil {
				return filepath.EvalSymlinks(path)
			}
		}
	}
	places := strings.Join(append([]string{"PATH"}, s.Folders...), ", ")
	return "", fmt.Errorf("%s is not installed (no %s in %s); on Debian: apt-get install %s",
		s.Name, s.Program, places, s.Package)
}

var numbers = regexp.MustCompile(`[0-9]+`)

// version returns the numbers in a path: /usr/lib/postgresql/9.6/bin comes before
// /usr/lib/postgresql/15/bin.
func version(path string) []int {
	var all []int
	for _, text := range numbers.FindAllString(path, -1) {
		n, _ := strconv.Atoi(text) // a number that is too large becomes the largest
		all = append(all, n)
	}
	return all
}
