package serve_test

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// TestCompletion has each shell that is installed load its script, and complete lines with it.
func TestCompletion(t *testing.T) {
	t.Parallel()
	lines := []struct {
		name    string
		words   []string // the last one is to be completed
		want    []string
		wantNot []string
	}{
		{"commands and files", []string{""}, []string{
			"show", "check", "version", "site.ini",
			"my site.ini",
		}, []string{"notes.txt", "--json"}},
		{"half a command", []string{"sh"}, []string{"show"}, []string{"check", "site.ini"}},
		{
			"files",
			[]string{"check", ""},
			[]string{"site.ini", "my site.ini"},
			[]string{"notes.txt", "show"},
		},
		{
			"flags",
			[]string{"show", "--"},
			[]string{"--json", "--reveal", "--app-name"},
			[]string{"--strict", "site.ini"},
		},
		{
			"flags behind a file",
			[]string{"show", "site.ini", "--j"},
			[]string{"--json"},
			[]string{"--reveal"},
		},
		{
			"flags for serving",
			[]string{"site.ini", "--"},
			[]string{"--addr-file", "--server-name"},
			[]string{"--json"},
		},
		{
			"kinds",
			[]string{"list", ""},
			[]string{"app", "composite", "filter", "server"},
			[]string{"show", "site.ini"},
		},
		{"what help knows", []string{"help", ""}, []string{
			"show", "filter", "browserid", "urlmap",
			"waitress", "guests",
		}, []string{"main", "site.ini"}},
		{"shells", []string{"completion", ""}, []string{"bash", "zsh", "fish"}, []string{"show"}},
	}
	for shell, try := range map[string]string{
		"bash": `source ./script
complete=$(complete -p guestbook | sed 's/.*-F \([^ ]*\) .*/\1/')
try() {
	COMP_WORDS=(guestbook "$@") COMP_CWORD=$# COMPREPLY=()
	$complete
	printf '%s\n' "${COMPREPLY[@]}"
}
`,
		"fish": `source ./script
function try
	complete -C "guestbook $(string join ' ' -- $argv)" | string replace -r '\t.*' '' | string unescape
end
`,
		// The functions that zsh draws its menus with are replaced by some that print what they are
		// to offer.
		"zsh": `autoload -Uz compinit && compinit -u -D && source ./script
_describe() { print -rl -- ${${(P)2}%%:*} }
_files() { print -rl -- *.ini }
_arguments() {
	local spec
	for spec; do
		case $spec in
			('*:word:('*) print -rl -- ${=${${spec#*\(}%\)}} ;;
			('*:file:'*) [[ $words[CURRENT] == -* ]] || _files ;;
			(*) [[ $words[CURRENT] == -* ]] && print -r -- ${spec%%\[*} ;;
		esac
	done
}
try() {
	words=(guestbook "$@") CURRENT=$(($# + 1))
	$_comps[guestbook] | while IFS= read -r line; do [[ $line == "$words[CURRENT]"* ]] && print -r -- $line; done
}
`,
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(shell)
			switch {
			case err == nil:
			case os.Getenv("PASTELINE_REQUIRE_SERVICES") != "":
				t.Fatalf("%s is not installed", shell)
			default:
				t.Skip(shell + " is not installed")
			}
			var script, errs bytes.Buffer
			code := serve.Run(t.Context(), []string{"completion", shell, "--program", "guestbook"},
				serve.Stdio{Out: &script, Err: &errs}, registerGuests)
			if code != serve.ExitOK {
				t.Fatal(errs.String())
			}
			dir := t.TempDir()
			for name, text := range map[string]string{
				"my site.ini": "", "site.ini": "",
				"notes.txt": "", "script": script.String(),
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, line := range lines {
				try += "try '" + strings.Join(line.words, "' '") + "'\necho %%\n"
			}
			run := exec.CommandContext(t.Context(), path, append(bare[shell], "-c", try)...)
			run.Dir = dir
			run.Env = append(os.Environ(), "HOME="+dir, "TERM=dumb")
			text, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			answers := strings.Split(string(text), "%%\n")
			if len(answers) != len(lines)+1 {
				t.Fatalf("got %d answers, want %d:\n%s", len(answers)-1, len(lines), text)
			}
			for i, line := range lines {
				got := strings.Split(strings.TrimSpace(answers[i]), "\n")
				for _, want := range line.want {
					if !slices.Contains(got, want) {
						t.Errorf("%s: got %q, want %q among them", line.name, got, want)
					}
				}
				for _, unwanted := range line.wantNot {
					if shell == "fish" && strings.Contains(unwanted, ".") {
						continue // it offers other files too, behind those that fit
					}
					if slices.Contains(got, unwanted) {
						t.Errorf("%s: got %q, want no %q", line.name, got, unwanted)
					}
				}
			}
		})
	}
}

// bare are the flags that make a shell read no file of its user.
var bare = map[string][]string{"bash": {"--norc"}, "fish": {"--no-config"}, "zsh": {"-f"}}

func registerGuests(r *pipeline.Registry) {
	pipeline.App(r, "egg:acme#guests", func(*pipeline.Build,
		struct{},
	) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
}
