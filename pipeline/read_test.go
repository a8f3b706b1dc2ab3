package pipeline_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage/engine"
)

type logging struct {
	Level  string `default:"info" oneof:"debug info"`
	Output string
	Rest   map[string]string `ini:"*"`
}

func TestReadSection(t *testing.T) {
	t.Parallel()
	opts := text(nil, map[string]string{
		"site.ini": "[DEFAULT]\nlevel = error\nroot = /var\n[logging]\nlevel = debug\noutput = " +
			"%(root)s/log %(x)s\nother = %%\n",
		"broken.ini": "nothing\n",
		"faults.ini": "[logging]\noutput = %(nothing)s\nlevel = loud\n",
		"folder/b":   "[logging]\nlevel = debug\n",
	})
	opts.Global = map[string]string{"x": "y"}
	tests := []struct {
		name, uri string
		want      logging
		wantErr   string
	}{
		{
			"a path", "site.ini#main",
			logging{"debug", "/var/log y", map[string]string{"other": "%"}},
			"",
		},
		{"a URI", "config:folder/b", logging{Level: "debug", Rest: map[string]string{}}, ""},
		{"no file", "egg:x", logging{Level: "info", Rest: map[string]string{}}, ""},
		{"missing file", "other.ini", logging{}, "other.ini: there is no such file"},
		{"broken file", "broken.ini", logging{}, `broken.ini:1: the line stands before the first ` +
			`[section]; write [DEFAULT] above it, or the section that it belongs to`},
		{
			"faults", "faults.ini",
			logging{},
			"faults.ini:2: [logging] output: %(nothing)s: no setting of that name, here or in " +
				"[DEFAULT]; write it in [DEFAULT], or give it: serve FILE nothing=…\n" +
				`faults.ini:3: [logging] level = "loud": want debug or info`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := opts
			opts.RelativeTo = "."
			got, err := pipeline.ReadSection[logging](tt.uri, "logging", opts)
			if tt.wantErr != "" {
				if err == nil || err.Error() != tt.wantErr {
					t.Fatalf("got %v, want %s", err, tt.wantErr)
				}
				return
			}
			if diff := gocmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestReadSectionOfNoStruct(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = pipeline.ReadSection[int]("site.ini", "logging", text(nil, nil))
}

// References to other files: which file is opened, and what it is called.
func TestPaths(t *testing.T) {
	t.Parallel()
	const app = "[app:main]\nuse = egg:found\n"
	tests := []struct {
		name, use, file string
		want            string // the fault, if there is one
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
			tree, err := pipeline.Resolve("conf/site.ini", pipeline.KindApp,
				text(nil, map[string]string{
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
			if got := tree.Root.Factory.String(); got != "egg:found#main" || len(tree.Files) != 2 ||
				tree.Files[1] != tt.file {
				t.Errorf("got %s from %v, want it from %s", got, tree.Files, tt.file)
			}
		})
	}
}

// Python keeps two slashes in front of a path, and looks for the ".." of a path where the system
// finds it.
func TestPathsAsPythonHasThem(t *testing.T) {
	t.Parallel()
	const site = "[app:main]\nuse = egg:x\nat = %(here)s %(__file__)s\n"
	files := text(nil, map[string]string{
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
		tree, err := pipeline.Resolve(tt.uri, pipeline.KindApp, files)
		if err != nil {
			t.Errorf("%s: %v", tt.uri, err)
			continue
		}
		if at, _ := tree.Root.LocalConf.Get("at"); at.Value != tt.at {
			t.Errorf("%s: got %s, want %s", tt.uri, at.Value, tt.at)
		}
		if diff := gocmp.Diff(tt.opened, opened); diff != "" {
			t.Errorf("%s: opened (-want +got):\n%s", tt.uri, diff)
		}
	}
}

func TestPercentSignInPath(t *testing.T) {
	t.Parallel()
	tree, err := pipeline.Resolve("config:/100%25/site.ini", pipeline.KindApp,
		text(nil, map[string]string{
			"/100%/site.ini": "[app:main]\nuse = config:other.ini\n",
			"/100%/other.ini": "[DEFAULT]\nroot = %(here)s\n[app:main]\nuse = egg:x\nget root = " +
				"root\nat = %(root)s %(__file__)s\n",
		}))
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := tree.Root.LocalConf.Get("at"); at.Value != "/100% /100%/other.ini" {
		t.Errorf("got %s", at.Value)
	}
}

// What the caller gives hides what a section needs.
func TestHiddenFromOutside(t *testing.T) {
	t.Parallel()
	opts := text(nil, map[string]string{"site.ini": "[pipeline:main]\npipeline = egg:x\n"})
	opts.Global = map[string]string{"pipeline": "egg:y"}
	const want = `site.ini:2: [pipeline:main] pipeline = "egg:x": ignored, because it is given ` +
		`from outside; take it out there`
	if _, err := pipeline.Resolve("site.ini", pipeline.KindApp, opts); err == nil ||
		err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
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
			opts := pipeline.Options{ReadFile: func(name string) ([]byte, error) {
				switch name {
				case "site.ini":
					return []byte("[app:main]\nuse = config:" + folder + "\n"), nil
				case "closed.ini": // those who run this may be allowed everything
					return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EACCES}
				}
				return os.ReadFile(name)
			}}
			_, err := pipeline.Resolve(tt.uri, pipeline.KindApp, opts)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRelativeURIWithoutFolder(t *testing.T) {
	t.Parallel()
	_, err := pipeline.Resolve("config:site.ini", pipeline.KindApp, text(nil, nil))
	if err == nil || !strings.Contains(err.Error(), "nothing says what the path is relative to") {
		t.Error(err)
	}
}

func TestParsedFile(t *testing.T) {
	t.Parallel()
	f, err := pipeline.Parse("site.ini", []byte("[DEFAULT]\na = 1\n[x]\nb : 2\n   3\n\n[y]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"x", "y"}, f.Sections()); diff != "" || f.Name() != "site.ini" {
		t.Errorf("%s: %s", f.Name(), diff)
	}
	if s := f.Settings("x"); len(s) != 1 || s[0].Key != "b" || s[0].Raw != "2\n3" ||
		s[0].Line != 4 || s[0].Section != "x" {
		t.Errorf("got %+v", s)
	}
	if s := f.Settings("nothing"); s != nil {
		t.Errorf("got %+v", s)
	}
	if want := "[DEFAULT]\na = 1\n\n[x]\nb = 2\n\t3\n\n[y]\n"; f.String() != want {
		t.Errorf("got %q, want %q", f, want)
	}
	if _, err := pipeline.Parse("big.ini", make([]byte, 1<<20+1)); err == nil ||
		err.Error() != "big.ini: larger than 1MB; is it an .ini file?" {
		t.Error(err)
	}
}

// What a file, or an error from elsewhere, says never breaks the line of a message, and never shows
// a password.
func TestErrorText(t *testing.T) {
	t.Parallel()
	rule := errors.New("first\nsecond\x1b[2J")
	tests := []struct {
		name string
		err  *pipeline.Error
		want string
	}{
		{
			"all", &pipeline.Error{
				File: "f", Line: 2, Section: "app:x", Key: "k", Value: "v\n",
				Origin: "o", Err: rule, Hint: "h",
			},
			`f:2: [app:x] k = "v\n" (o): first\nsecond\x1b[2J; h`,
		},
		{
			"section", &pipeline.Error{File: "f", Line: 2, Section: "a\tb", Err: errors.New("odd")},
			`f:2: [a\tb]: odd`,
		},
		{"key alone", &pipeline.Error{Key: "k", Err: errors.New("odd")}, `k: odd`},
		{"nothing", &pipeline.Error{Err: errors.New("odd")}, `odd`},
		{"what nobody sees", &pipeline.Error{
			File: "f", Section: "app:\u00a0x\u2028",
			Err: errors.New("é \u202e"),
		}, `f: [app:\u00a0x\u2028]: é \u202e`},
		{"password", &pipeline.Error{
			Key: "k", Value: "postgres://u:p@ss/wd@host/db",
			Err: errors.New("odd"),
		}, `k = "postgres://***@host/db": odd`},
		{"password in a query", &pipeline.Error{
			Key: "k", Value: "host=h password=hunter2 user=u",
			Err: errors.New("odd"),
		}, `k = "host=h password=*** user=u": odd`},
		{"no password", &pipeline.Error{
			Key: "k", Value: "http://host:80/a@b",
			Err: errors.New("odd"),
		}, `k = "http://***@b": odd`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !errors.Is(tt.err, tt.err.Err) {
				t.Error("does not unwrap")
			}
		})
	}
}

func TestEngine(t *testing.T) {
	t.Parallel()
	r := pipeline.NewRegistry()
	errEngine := errors.New("the engine was asked")
	r.Engine("mine", func(context.Context, *url.URL) (engine.Engine, error) {
		return nil,
			errEngine
	})
	pipeline.App(r, "egg:x", func(b *pipeline.Build, _ struct{}) (http.Handler, error) {
		_, err := b.Storage("mine://x")
		return nil, err
	})
	if _, err := pipeline.Load(t.Context(), "egg:x", pipeline.Options{Registry: r}); !errors.Is(err,
		errEngine) {
		t.Error(err)
	}
}
