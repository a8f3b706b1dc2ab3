package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/serve"
)

// TestScriptsNameEverything keeps a command, or a flag under any of its names, from being forgotten
// by the scripts. What there is, the command's own help tells.
func TestScriptsNameEverything(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	commands := helpFor(t, `(?m)^  serve ([a-z]+)`)
	used := map[string][]string{} // the words behind each command, in all scripts
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut("\n"+string(text), "\n-- ")
		for line := range strings.Lines(head) {
			_, call, ok := strings.Cut(line, "exec serve ")
			if !ok {
				continue
			}
			words := strings.Fields(call)
			name := ""
			if slices.Contains(commands, words[0]) {
				name, words = words[0], words[1:]
			}
			used[name] = append(append(used[name], ""), words...)
		}
	}
	for _, name := range append(commands, "") {
		if len(used[name]) == 0 {
			t.Errorf("serve %s: no script runs it", name)
		}
		page := name
		if page == "" {
			page = "serve"
		}
		for _, flag := range helpFor(t, `(?m)^  (-.*?)  `, page) {
			for f := range strings.SplitSeq(flag, ", ") {
				f, _, _ = strings.Cut(f, " ")
				if !slices.ContainsFunc(used[name], func(word string) bool {
					return word == f ||
						strings.HasPrefix(word, f+"=")
				}) {
					t.Errorf("serve %s: no script gives it the flag %s", name, f)
				}
			}
		}
	}
}

// helpFor returns what a pattern finds in the help.
func helpFor(t *testing.T, pattern string, page ...string) []string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := serve.Run(t.Context(), append([]string{"help"}, page...),
		serve.Stdio{Out: &out, Err: &errs}); code != serve.ExitOK {
		t.Fatalf("help %v: exit code %d: %s", page, code, errs.String())
	}
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(out.String(), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 && len(page) == 0 {
		t.Fatalf("no commands in:\n%s", out.String())
	}
	return found
}
