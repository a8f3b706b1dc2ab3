package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	module = "github.com/pasteline/pasteline"
	root   = ".."
	readme = "README.md"
)

// A document is a Markdown file and the fenced blocks in it.
type document struct {
	path   string // from the module's root, such as "docs/ini.md"
	text   string
	blocks []block
}

// A block is the text between two fences. Its info, the words after the fence's backquotes, begins
// with the language. GitHub ignores the rest; for TestListings it is an instruction:
//
//	go, ini … file=PATH      write the block to a file of the document's folder
//	go, ini … append=PATH    add it to one
//	diff file=PATH           change one; hunks are separated by lines "@@"
//	console                  run the commands after "$ ", and compare their output
//	console background       the same, but leave it running
//	console fails            the same, but the exit code must not be 0
//	console alone            first end the command in the background, as with Ctrl-C
//	text log                 wait until the command in the background has printed this
type block struct {
	line     int // of the first line of its text
	language string
	options  map[string]string
	text     string
}

var fence = regexp.MustCompile("(?m)^```([^`\n]*)\n((?s:.*?))^```$")

func readDocument(t *testing.T, path string) document {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	d := document{path: path, text: string(data)}
	for _, m := range fence.FindAllStringSubmatchIndex(d.text, -1) {
		b := block{
			line: 1 + strings.Count(d.text[:m[4]], "\n"), options: map[string]string{},
			text: d.text[m[4]:m[5]],
		}
		for i, word := range strings.Fields(d.text[m[2]:m[3]]) {
			name, value, _ := strings.Cut(word, "=")
			if i == 0 {
				b.language = name
			} else {
				b.options[name] = value
			}
		}
		d.blocks = append(d.blocks, b)
	}
	if fences := strings.Count("\n"+d.text, "\n```"); fences != 2*len(d.blocks) {
		t.Fatalf("%s: %d fences, but %d blocks", path, fences, len(d.blocks))
	}
	return d
}

// documents returns every document of the tree.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: found %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			path, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, readDocument(t, filepath.ToSlash(path)))
		}
	}
	return all
}

// ofTree reports whether the document's commands run in the tree itself, as those of the README do.
func (d document) ofTree() bool { return !strings.Contains(d.path, "/") }

// prose returns the document without its blocks.
func (d document) prose() string { return fence.ReplaceAllString(d.text, "") }

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// TestLinks verifies that links lead to existing files and headings.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(d.prose(), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to, fragment, _ := strings.Cut(m[1], "#")
			path := filepath.ToSlash(filepath.Join(filepath.Dir(d.path), to))
			if to == "" {
				path = d.path
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s, which does not exist", d.path, m[1])
			} else if fragment != "" && !readDocument(t, path).has(fragment) {
				t.Errorf("%s links to %s, which has no such heading", d.path, m[1])
			}
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// has reports whether the document has a heading with that anchor on GitHub.
func (d document) has(anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(d.prose(), -1) {
		text := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(text, " ", "-") == anchor {
			return true
		}
	}
	return false
}

var makeTarget = regexp.MustCompile(`(?m)^make (\S+)`)

// TestMakeTargetsExist checks the make commands in shell listings, which TestListings does not run
// because they run the tests themselves.
func TestMakeTargetsExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language != "sh" {
				continue
			}
			for _, m := range makeTarget.FindAllStringSubmatch(b.text, -1) {
				if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s:%d: the Makefile has no %s", d.path, b.line, m[1])
				}
			}
		}
	}
}

// TestReadmeListingsAreFiles verifies that the listings of the README are parts of files in the
// tree.
func TestReadmeListingsAreFiles(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"*.ini", "examples/*/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: found %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, string(data))
		}
	}
	all := strings.Join(files, "\x00")
	for _, b := range readDocument(t, readme).blocks {
		if (b.language == "go" || b.language == "ini") && !strings.Contains(all, b.text) {
			t.Errorf("%s:%d: no file has this listing:\n%s", readme, b.line, b.text)
		}
	}
}

// TestReadmeShowsTheError verifies the error in the README about a mistake in hello.ini.
func TestReadmeShowsTheError(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "examples/hello/hello.ini"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir() + string(filepath.Separator)
	path := folder + "hello.ini"
	wrong := strings.Replace(string(text), "greeting", "greting", 1)
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./examples/hello", "check", path)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("check found no fault:\n%s", out)
	}
	line, _, _ := strings.Cut(strings.ReplaceAll(string(out), folder, ""), "\n")
	if !strings.Contains(readDocument(t, readme).text, "\n"+line+"\n") {
		t.Errorf("%s does not show this:\n%s", readme, line)
	}
}
