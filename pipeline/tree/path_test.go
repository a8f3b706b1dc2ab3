package tree_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// References to other files: the file that is opened, and its name.
func TestPaths(t *testing.T) {
	t.Parallel()
	const app = "[app:main]\nuse = egg:found\n"
	tests := []struct {
		name, use, file string
		want            string // the error, or ""
	}{
		{"beside", "config:other.ini", "conf/other.ini", ""},
		{"below", "config:sub/other.ini#main", "conf/sub/other.ini", ""},
		{"above", "config:../other.ini", "other.ini", ""},
		{"absolute", "config:/etc/other.ini", "/etc/other.ini", ""},
		{"three slashes", "config:///etc/other.ini", "/etc/other.ini", ""},
		{"a space", "config:my%%20other.ini", "conf/my other.ini", ""},
		{"lower and upper hex", "config:%%c3%%A9.ini", "conf/é.ini", ""},
		{"not UTF-8", "config:%%ff.ini", "conf/\ufffd.ini", ""},
		{"not encoded", "config:100%%.ini", "conf/100%.ini", ""},
		{"not hex", "config:%%zz.ini", "conf/%zz.ini", ""},
		{"backslash", `config:sub\other.ini`, "conf/sub/other.ini", ""},
		{"scheme in capitals", "CONFIG:other.ini", "conf/other.ini", ""},
		{
			"missing", "config:nope.ini", "",
			`conf/site.ini:2: [app:main] use = "config:nope.ini": there is no file conf/nope.ini`,
		},
		{"scheme of one letter", "c:x", "", `conf/site.ini:2: [app:main] use = "c:x": the scheme ` +
			`"c" is not known; config:, egg: and call: are; did you mean "call:c:x"?`},
		{"call without a module", "call::x", "", `conf/site.ini:2: [app:main] use = "call::x": ` +
			`want call:module:function, without spaces`},
		{"egg with a space", "egg:found #main", "", `conf/site.ini:2: [app:main] use = ` +
			`"egg:found #main": "found " is no name of a distribution; want egg:Dist#name`},
		{"egg with an empty name", "egg:found#", "", `conf/site.ini:2: [app:main] use = ` +
			`"egg:found#": "" is no name of an entry point; want egg:Dist#name`},
		{
			"egg over two lines", "egg:found\n  color = red", "",
			`conf/site.ini:2: [app:main] use = "egg:found\ncolor = red": the name of a ` +
				`distribution can't go on in the next line; is that line indented by mistake?`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resolved, err := tree.Resolve("conf/site.ini", tree.KindApp,
				from(map[string]string{
					"conf/site.ini": "[app:main]\nuse = " + tt.use + "\n", tt.file: app,
				}))
			if tt.want != "" {
				if err == nil || err.Error() != tt.want {
					t.Fatalf("got %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := resolved.Root.Factory.String(); got != "egg:found#main" || len(resolved.Files()) != 2 ||
				resolved.Files()[1] != tt.file {
				t.Errorf("got %s from %v, want it from %s", got, resolved.Files(), tt.file)
			}
		})
	}
}

// Python keeps two slashes in front of a path, and looks for the ".." of a path where the system
// finds it.
func TestPathsAsPythonHasThem(t *testing.T) {
	t.Parallel()
	const site = "[app:main]\nuse = egg:x\nat = %(here)s %(__file__)s\n"
	files := from(map[string]string{
		"/etc/site.ini":     site,
		"/etc/sub/site.ini": "[app:main]\nuse = config:../site.ini\n",
	})
	var opened []string
	read := files.ReadFile
	files.ReadFile = func(name string) ([]byte, error) {
		opened = append(opened, name)
		return read("/" + strings.TrimLeft(name, "/"))
	}
	tests := []struct {
		uri, at string
		opened  []string
	}{
		{"config://etc/site.ini", "//etc //etc/site.ini", []string{"//etc/site.ini"}},
		{"config:///etc/site.ini", "/etc /etc/site.ini", []string{"/etc/site.ini"}},
		{"config:/etc/a/../sub/site.ini", "/etc /etc/site.ini", []string{
			"/etc/a/../sub/site.ini",
			"/etc/a/../sub/../site.ini",
		}},
	}
	for _, tt := range tests {
		opened = nil
		resolved, err := tree.Resolve(tt.uri, tree.KindApp, files)
		if err != nil {
			t.Errorf("%s: %v", tt.uri, err)
			continue
		}
		if at, _ := resolved.Root.LocalConf.Get("at"); at.Value != tt.at {
			t.Errorf("%s: got %s, want %s", tt.uri, at.Value, tt.at)
		}
		if diff := gocmp.Diff(tt.opened, opened); diff != "" {
			t.Errorf("%s: opened (-want +got):\n%s", tt.uri, diff)
		}
	}
}

func TestPercentSignInPath(t *testing.T) {
	t.Parallel()
	resolved, err := tree.Resolve("config:/100%25/site.ini", tree.KindApp,
		from(map[string]string{
			"/100%/site.ini": "[app:main]\nuse = config:other.ini\n",
			"/100%/other.ini": "[DEFAULT]\nroot = %(here)s\n[app:main]\nuse = egg:x\nget root = " +
				"root\nat = %(root)s %(__file__)s\n",
		}))
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := resolved.Root.LocalConf.Get("at"); at.Value != "/100% /100%/other.ini" {
		t.Errorf("got %s", at.Value)
	}
}

func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	tests := []struct{ name, uri, want string }{
		{"a folder", folder, folder + ": is a directory: name a file in it"},
		{"a folder from a file", "site.ini", `site.ini:2: [app:main] use = "config:` + folder +
			`": ` + folder + `: is a directory: name a file in it`},
		{
			"not ours", "closed.ini",
			`closed.ini: permission denied: the user that runs this must be allowed to read it`,
		},
		{"a name of two lines", "no\nfile.ini", `no\nfile.ini: there is no such file`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := tree.Options{ReadFile: func(name string) ([]byte, error) {
				switch name {
				case "site.ini":
					return []byte("[app:main]\nuse = config:" + folder + "\n"), nil
				case "closed.ini": // those who run this may be allowed everything
					return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EACCES}
				}
				return os.ReadFile(name)
			}}
			_, err := tree.Resolve(tt.uri, tree.KindApp, opts)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRelativeURIWithoutFolder(t *testing.T) {
	t.Parallel()
	_, err := tree.Resolve("config:site.ini", tree.KindApp, from(nil))
	if err == nil || !strings.Contains(err.Error(), "nothing says what the path is relative to") {
		t.Error(err)
	}
}
