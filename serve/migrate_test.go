package serve_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// source is the source of this module.
const source = ".."

// A file of each family of programs becomes a project: what is printed of it is a golden file, and
// all projects are compiled, vetted, and their tests run, which load the copy and ask for the first
// page.
func TestMigrateFamilies(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/migrate/*.ini")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	for _, file := range files {
		before := readText(t, file)
		family := strings.TrimSuffix(filepath.Base(file), ".ini")
		said := migrated(t, file, filepath.Join(parent, family))
		said = strings.NewReplacer(parent, "/tmp", filepath.ToSlash(here),
			"/home/you").Replace(said)
		golden := strings.TrimSuffix(file, ".ini") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(said), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if diff := gocmp.Diff(readText(t, golden), said); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
		if readText(t, file) != before {
			t.Errorf("%s was changed", file)
		}
	}
	testProjects(t, parent, "pylons")
}

// migrated runs serve migrate, and returns what it prints.
func migrated(t *testing.T, file, dir string, more ...string) string {
	t.Helper()
	code, out, errs := run(t, "",
		append([]string{"migrate", file, dir, "--source", source}, more...))
	if code != 0 || errs != "" {
		t.Fatalf("%s: exit code %d: %s", file, code, errs)
	}
	return out
}

// testProjects type-checks and vets all projects in a folder, as one module, so that it is done
// once. It runs the tests of those that are named, as a program takes long to link.
func testProjects(t *testing.T, parent string, tested ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		projects, err := filepath.Glob(filepath.Join(parent, "*", name))
		if err != nil || len(projects) == 0 {
			t.Fatal(projects, err)
		}
		for i, project := range projects {
			if i == 0 {
				err = os.Rename(project, filepath.Join(parent, name))
			} else {
				err = os.Remove(project)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	args := []string{"test"}
	for _, name := range tested {
		args = append(args, "./"+name)
	}
	for _, args := range [][]string{{"vet", "./..."}, args} {
		if len(args) == 1 {
			continue
		}
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir = parent
		command.Env = append(os.Environ(),
			"GOFLAGS=-ldflags=-s", "GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off")
		if out, err := command.CombinedOutput(); err != nil ||
			strings.Contains(string(out), "no test files") {
			t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	format := exec.CommandContext(t.Context(), "gofmt", "-l", parent)
	if out, err := format.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %v\n%s", err, out)
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever names a file has, the project compiles, and nothing is written beside it.
func TestMigrateHostileNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "old.ini")
	entryPoints := []string{
		`a"b`, "a`b", `a\b`, "func", "main", "init", "Register", "../../../etc/passwd", "naïve", "日本語", "x y", "1st", "*/", "//go:build ignore",
		"%s", "<<.Name>>", "{{.}}", "'", "App", "notWritten", "a-b", "a_b", "a.b", strings.Repeat("long", 100), "\u202eevil", "$(rm)", "?",
	}
	var b strings.Builder
	b.WriteString("[app:main]\nuse = egg:Paste#test\n[composite:all]\nuse = egg:Paste#cascade\n")
	for i := range entryPoints {
		fmt.Fprintf(&b, "app%d = app%d\n", i, i)
	}
	for i, name := range entryPoints {
		name = strings.ReplaceAll(name, "%", "%%")
		fmt.Fprintf(&b, "[app:app%d]\nuse = egg:Site#%s\n\"quoted`key = 1\ngo:build = x\n  goes on\n", i, name)
		fmt.Fprintf(&b, "[filter:filter%d]\nuse = egg:Site#%s\n", i, name)
	}
	// One name under several spellings, as an app and as a composite, and names of modules.
	b.WriteString("[app:again]\nuse = egg:sITE#main\n[app:more]\nuse = " +
		"egg:Site\n[composite:both]\nuse = egg:site\n/ = main\n")
	b.WriteString("[app:module]\npaste.app_factory = " +
		"acme.web:make\n[app:class]\npaste.app_factory = acme.web:Make.it.so\n[app:keyword]\nuse " +
		"= call:type:func\n")
	b.WriteString("[filter:module]\npaste.filter_app_factory = " +
		"acme.web:make\n[filter-app:wrapped]\nuse = egg:Site#wrap\nnext = main\n")
	b.WriteString("[composite:`\"]\nuse = call:site:urlmap_factory\n/ = main\n[app:..]\nuse = egg:Site#up\n")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	parent := filepath.Join(dir, "projects")
	migrated(t, file, filepath.Join(parent, "hostile"))
	testProjects(t, parent)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the project: %v, %v", entries, err)
	}
}

// A project is written whole, or not at all, and the old file stays as it is.
func TestMigrateLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	const site = "[app:main]\nuse = egg:wiki\n[server:main]\nuse = egg:Paste#http\n"
	tests := []struct {
		name, ini string
		there     string // a file of the folder
		want      string
		more      []string
	}{
		{"a file is there", site, "new/apps.go", "has apps.go already, and nothing is overwritten", nil},
		{"the copy is there", site, "new/old.ini", "has old.ini already, and nothing is overwritten", nil},
		{"the folder is a file", site, "new", "can't make the folder", nil},
		{"no app", "[filter:x]\nuse = egg:x\n", "", "the file describes no app", nil},
		{"a value is missing", "[app:main]\nuse = egg:wiki\ndb = %(db)s\n[server:main]\nuse = egg:Paste#http\n", "", "is the setting itself", nil},
		{"from outside", site + "port = %(http_port)s\n", "", "old.ini:5: [server:main] port: %(http_port)s: no setting of that name, here or in [DEFAULT]; " +
			"write it in [DEFAULT], or give it: serve migrate FILE FOLDER http_port=…", nil},
		{"no setting of that kind", "[app:main]\nuse = egg:Paste#static\ndocument_root = /nowhere/at/all\n", "", `old.ini:3: [app:main] document_root = "/nowhere/at/all": no folder`, nil},
		{"a decision of a person", "[app:main]\nuse = egg:wiki\n[server:main]\nuse = egg:gunicorn\nca_certs = ca.pem\n", "", "where something may rely on it", nil},
		{
			"a child is missing", "[composite:main]\nuse = egg:Paste#urlmap\n/ = wiki\n/x = nowhere\n[app:wiki]\nuse = egg:wiki\nfilter-with = gone\n", "",
			`old.ini:7: [app:wiki] filter-with = "gone": no filter "gone"; write a section [filter:gone]`, nil,
		},
		{"the main app is faulty", "[pipeline:main]\npipeline = egg:acme#one wik\n[app:wiki]\nuse = egg:wiki\n", "", `old.ini:2: [pipeline:main] pipeline: no app "wik"; did you mean "wiki"`, nil},
		{"a name that is no key", site, "", "[x=… was given, which can't be a line of an .ini file", []string{"[x=1"}},
		{"an include is missing", "[app:main]\nuse = config:other.ini\n", "", `old.ini:2: [app:main] use = "config:other.ini": there is no file `, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "old.ini")
			if err := os.WriteFile(file, []byte(tt.ini), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.there != "" {
				path := filepath.Join(dir, tt.there)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, dir)
			code, out, errs := run(t, "", append([]string{"migrate", file, filepath.Join(dir, "new"), "--source", source}, tt.more...))
			if code != 1 || out != "" || !strings.Contains(errs, tt.want) || strings.Contains(errs, "registered") || strings.Contains(errs, "serve-migrate-") {
				t.Errorf("exit code %d, %q, %q; want %q", code, out, errs, tt.want)
			}
			if diff := gocmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("the folder has changed:\n%s", diff)
			}
		})
	}
}

// tree returns all files of a folder, and what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(rel)] = ""
		if !d.IsDir() {
			found[filepath.ToSlash(rel)] = readText(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The copy has the lines of the old file at the same numbers, but for those that can't stay.
func TestMigrateCopies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, ini string
		args      []string
		want      []string // lines of the copy
		gone      []string
	}{
		{
			"a server for Python", "[app:main]\nuse = egg:wiki\n[server:main]\nuse = egg:plone.recipe.zope2instance\nfast-listen = a:1\n  b:2\nport = 8080\n", nil,
			[]string{"use = egg:Paste#http", "# (migrate) fast-listen = a:1", "# (migrate) b:2", "port = 8080"},
			[]string{"use = egg:plone.recipe.zope2instance", "fast-listen = a:1"},
		},
		{
			"from outside", "[app:main]\nuse = egg:wiki\n[server:main]\nuse = egg:Paste#http\nport = %(http_port)s\n",
			[]string{"http_port=8080"},
			[]string{"port = %(http_port)s", "[DEFAULT]", "http_port = 8080"},
			nil,
		},
		{
			"set", "[app:main]\nuse = egg:wiki\n[server:main]\nuse = egg:Paste#http\nport = %(port)s\n",
			[]string{"--set", "server:main.port=8080"},
			[]string{"port = 8080"},
			[]string{"port = %(port)s"},
		},
		{
			"uWSGI", "[app:main]\nuse = egg:wiki\n[uwsgi]\nhttp-socket = :9090\nmaster = true\n", nil,
			[]string{"[server:main]", "use = egg:Paste#http", "host = 127.0.0.1", "port = 9090"},
			nil,
		},
		{
			"no app called main", "[app:one]\nuse = egg:wiki\n[pipeline:two]\npipeline = one\n", nil,
			[]string{"[app:main]", "use = two"},
			nil,
		},
		{
			"a secret of a tutorial", "[app:a]\nuse = egg:wiki\n[filter:b]\nuse = egg:repoze.browserid#browserid\nsecret_key = my-secret-key\n" +
				"[pipeline:main]\npipeline = b a\n", nil, nil, []string{"secret_key = my-secret-key"},
		},
		{
			"a setting that is not here", "[app:main]\nuse = egg:Paste#urlmap\n/ = egg:Paste#test\n[server:main]\nuse = egg:waitress\nurl_prefx = /x\n", nil,
			[]string{"# (migrate) url_prefx = /x"},
			nil,
		},
		{
			"a log in a folder that is not there", "[app:main]\nuse = egg:wiki\n[loggers]\nkeys = root\n[handlers]\nkeys = a, b\n[formatters]\nkeys =\n" +
				"[logger_root]\nlevel = WARN\nhandlers = a, b\n[handler_a]\nclass = FileHandler\nargs = ('/nowhere/at/all/a.log', 'a')\n" +
				"[handler_b]\nclass = FileHandler\nargs = ('%(here)s/logs/b.log', 'a')\n", nil,
			[]string{"args = ('%(here)s/a.log', 'a')", "args = ('%(here)s/logs/b.log', 'a')"},
			[]string{"args = ('/nowhere/at/all/a.log', 'a')"},
		},
		{
			"percent signs from outside", "[app:main]\nuse = egg:wiki\n",
			[]string{"discount=5%% of %(here)s"},
			[]string{"discount = 5%% of %(here)s"},
			nil,
		},
		{
			"a weak secret where debug is off", "[app:main]\nuse = egg:wiki\nfilter-with = id\n[filter:id]\nuse = egg:repoze.browserid#browserid\nsecret_key = short\n", nil,
			nil,
			[]string{"secret_key = short"},
		},
		{
			"lines that end with CRLF", "[app:main]\r\nuse = egg:wiki\r\n[server:main]\r\nuse = egg:waitress\r\nurl_prefx = /x\r\n", nil,
			[]string{"[app:main]\r", "# (migrate) url_prefx = /x\r"},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "old.ini")
			if err := os.WriteFile(file, []byte(tt.ini), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, 0o640); err != nil {
				t.Fatal(err)
			}
			migrated(t, file, filepath.Join(dir, "new"), tt.args...)
			copied := filepath.Join(dir, "new", "old.ini")
			lines, oldLines := strings.Split(readText(t, copied), "\n"), strings.Split(tt.ini, "\n")
			for _, want := range tt.want {
				if !slices.Contains(lines, want) {
					t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
				}
			}
			for _, gone := range tt.gone {
				if slices.Contains(lines, gone) {
					t.Errorf("a line %q in\n%s", gone, strings.Join(lines, "\n"))
				}
			}
			for i, line := range oldLines[:len(oldLines)-1] {
				if lines[i] != line && slices.Contains(lines[i+1:], line) {
					t.Errorf("line %d is %q, was %q", i+1, lines[i], line)
				}
			}
			info, err := os.Stat(copied)
			if err != nil || info.Mode().Perm()&^0o640 != 0 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

// Files that others include keep their places to one another; one that a full path names stays where it is.
func TestMigrateIncludes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	far := filepath.Join(t.TempDir(), "far.ini")
	files := map[string]string{
		far: "[filter:far]\nuse = egg:acme#far\n",
		filepath.Join(dir, "etc", "site", "old.ini"): "[app:main]\nuse = config:../common/base.ini#wiki\nfilter-with = config:" + far + "#far\n" +
			"[app:other]\nuse = config:%(here)s/more/more.ini\n",
		filepath.Join(dir, "etc", "common", "base.ini"):     "[app:wiki]\nuse = egg:wiki\ncolour = red\n",
		filepath.Join(dir, "etc", "site", "more/more.ini"):  "[app:main]\nuse = egg:more\n",
		filepath.Join(dir, "etc", "site", "unrelated.ini"):  "[app:main]\nuse = egg:unrelated\n",
		filepath.Join(dir, "etc", "site", "more/who.ini"):   "nothing that is read",
		filepath.Join(dir, "etc", "common", "unused.ini"):   "[app:main]\nuse = egg:unused\n",
		filepath.Join(dir, "etc", "common", "secrets.yaml"): "x",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parent := filepath.Join(dir, "projects")
	said := migrated(t, filepath.Join(dir, "etc", "site", "old.ini"), filepath.Join(parent, "new"))
	if !strings.Contains(said, "Included by its full path, and so not copied: "+far) || !strings.Contains(said, "go run . site/old.ini") {
		t.Errorf("it says:\n%s", said)
	}
	var inis []string
	for name := range tree(t, filepath.Join(parent, "new")) {
		if filepath.Ext(name) == ".ini" {
			inis = append(inis, name)
		}
	}
	slices.Sort(inis)
	if want := []string{"common/base.ini", "site/more/more.ini", "site/old.ini"}; !slices.Equal(inis, want) {
		t.Errorf("copied %q, want %q", inis, want)
	}
	testProjects(t, parent)
}

// The files of which PasteDeploy's tree was recorded become projects whose Go code has no fault of syntax, or say why not.
func TestMigrateRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../pipeline/testdata/pastedeploy/*.ini")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var made atomic.Int64
	t.Cleanup(func() {
		if int(made.Load()) < len(files)/10 {
			t.Errorf("of %d files %d became projects", len(files), made.Load())
		}
	})
	for chunk := range slices.Chunk(files, 50) {
		t.Run(filepath.Base(chunk[0]), func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			for i, file := range chunk {
				dir := filepath.Join(parent, fmt.Sprint("p", i))
				code, out, errs := run(t, "", []string{"migrate", file, dir, "--source", source})
				if code > 1 || (code == 0) == (out == "") || (code == 1) == (errs == "") ||
					strings.Contains(out+errs, "panic") {
					t.Errorf("%s: exit code %d\n%s%s", file, code, out, errs)
				}
				if code == 0 {
					made.Add(1)
				}
			}
		})
	}
}

// No secret of a file is printed, or stands in a file of the project other than the copy.
func TestMigrateSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "old.ini")
	ini := "[app:main]\nuse = egg:wiki\nsqlalchemy.url = postgresql://wiki:kettle-and-leaves@db/wiki\nsession.secret = oolong-before-noon\n" +
		"secret_key aGVsbG8gd29ybGQ= = x\n[server:main]\nuse = egg:Paste#http\n"
	if err := os.WriteFile(file, []byte(ini), 0o600); err != nil {
		t.Fatal(err)
	}
	said := migrated(t, file, filepath.Join(dir, "new"), "db_password=three-wet-crows", "--set", "app:main.session.secret=assam-after-noon")
	all := bytes.NewBufferString(said)
	for name, text := range tree(t, filepath.Join(dir, "new")) {
		if name != "old.ini" {
			all.WriteString(name + text)
		}
	}
	for _, secret := range []string{"kettle-and-leaves", "oolong", "assam", "three-wet-crows", "aGVsbG8gd29ybGQ="} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%q is shown:\n%s", secret, all)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "new", "old.ini")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode: %v, %v", info, err)
	}
}
