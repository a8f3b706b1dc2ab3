package pipeline_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// oraclePython names a variable with a Python that has PasteDeploy; oracleSeed one with the seed of
// an earlier run.
const (
	oraclePython = "PASTEDEPLOY_PYTHON"
	oracleSeed   = "PASTEDEPLOY_SEED"
)

// TestOracle generates some thousand .ini files, and compares the results of PasteDeploy itself with
// ours. Each seed reaches cases that were not recorded.
func TestOracle(t *testing.T) {
	t.Parallel()
	python := os.Getenv(oraclePython)
	if python == "" {
		t.Skip("no PasteDeploy to compare with: set " + oraclePython + " to a Python that has it")
	}
	seed, err := strconv.ParseUint(os.Getenv(oracleSeed), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%s=%d", oracleSeed, seed)

	g, recorded := readGolden(t)
	here := t.TempDir()
	if err := os.CopyFS(here, os.DirFS(recorded)); err != nil {
		t.Fatal(err)
	}
	a := &author{rand.New(rand.NewPCG(seed, 0))}
	var cases []goldenCase
	for i := range 3000 {
		file := filepath.Join(here, fmt.Sprintf("oracle-%d.ini", i))
		var site string
		switch i % 3 {
		case 0:
			site = a.sections()
		case 1:
			site = a.lines()
		default:
			site = a.mutated(t, recorded)
		}
		if err := os.WriteFile(file, []byte(site), 0o600); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, a.call(fmt.Sprintf("%d-%d", seed, i), "config:"+file))
	}
	registry := fakeRegistry(g)
	composed := 0
	for _, c := range g.ask(t, python, cases) {
		if c.Context != nil {
			composed++
		}
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			g.compare(t, c, registry, here)
			if t.Failed() {
				site, _ := os.ReadFile(strings.TrimPrefix(c.URI, "config:"))
				t.Logf("%s %v, global conf %v:\n%s", c.Type, c.Name, c.GlobalConf, site)
			}
		})
	}
	t.Logf("the original composes %d of %d", composed, len(cases))
}

// ask has PasteDeploy record the cases.
func (g golden) ask(t *testing.T, python string, cases []goldenCase) (recorded []goldenCase) {
	t.Helper()
	question, err := json.Marshal(map[string]any{"distributions": g.Distributions, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "oracle.py"))
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if err := json.Unmarshal(answer, &recorded); err != nil {
		t.Fatal(err)
	}
	return recorded
}

// An author makes up files that PasteDeploy likes, more or less.
type author struct{ *rand.Rand }

func (a *author) one(of ...string) string { return of[a.IntN(len(of))] }

func (a *author) chance(percent int) bool { return a.IntN(100) < percent }

// call is one way to ask for something of a file.
func (a *author) call(id, uri string) goldenCase {
	c := goldenCase{ID: id, URI: uri, Type: "app"}
	if a.chance(20) {
		c.Type = []tree.Kind{"filter", "server"}[a.IntN(2)]
	}
	if name := a.one("main", "n1", "n2", "f0", "f1", "", "absent"); a.chance(30) {
		c.Name = &name
	}
	if a.chance(30) {
		c.GlobalConf = map[string]string{}
		for range a.IntN(3) {
			c.GlobalConf[a.one("g1", "g2", "gx", "x1", "use", "here", "set g1",
				"filter-with")] = a.one("GC", "", "50%%", "%(here)s", "%")
		}
	}
	return c
}

// sections writes a file with sections of all kinds, which refer to each other and to the recorded
// files.
func (a *author) sections() string {
	odd := 2 + 10*a.IntN(2)*a.IntN(2) // percent of what is hardly right
	afterApp, afterFilter := 0, 0     // the sections up to these have been written
	value := func() string {
		if a.chance(odd) {
			return a.one("%(nope)s", "%", "%(x1)s", "%(here)", "50%", "%()s", "%(a b)s", "%s")
		}
		return a.one("1", "", "50%%", "%(here)s/d", "%(__file__)s", "a\n   b\n\n   c",
			"http://h:80/", "x # y", "a;b", "%(g1)s", "café")
	}
	app := func() string {
		if a.chance(odd) {
			return a.one("absent", "", "egg:Nope", "egg:DemoPkg#absent", "egg:DemoPkg#caps",
				"call:demopkg", "foo:bar", "config:nope.ini")
		}
		// else most would go round in circles
		if later := 1 + afterApp + a.IntN(4); later <= 4 || a.chance(odd) {
			return fmt.Sprintf("n%d", later%5)
		}
		return a.one("egg:DemoPkg#home", "egg:DemoPkg", "egg:DemoPkg#map", "call:demopkg:make_api",
			"config:basic-main.ini#blog", "config:sub/blog.ini", "config:q%%20blog.ini", "config:filter-with.ini", "config:oracle-0.ini#n4")
	}
	filter := func() string {
		if a.chance(odd) {
			return a.one("absent", "egg:DemoPkg#home", "n1", "config:filter-with.ini#f1")
		}
		if later := afterFilter + a.IntN(4); later <= 2 || a.chance(odd) {
			return fmt.Sprintf("f%d", later%3)
		}
		return a.one("egg:DemoPkg#caps", "egg:DemoPkg#both", "egg:demopkg#auth",
			"egg:other_dotted.pkg#log", "egg:DemoPkg")
	}
	var b strings.Builder
	section := func(name string, must map[string]string) {
		settings := maps.Clone(must)
		for range a.IntN(4) {
			kind := a.IntN(4)
			if strings.HasPrefix(name, "pipeline") && !a.chance(odd) {
				kind = 0
			}
			switch kind {
			case 0:
				settings["set "+a.one("g1", "g2", "gnew", "x1", "here", "__file__")] = value()
			case 1:
				settings["get "+a.one("k9", "x1", "alpha")] = a.one("here", "__file__",
					"g1", "gnew")
			default:
				settings[a.one("x1", "alpha", "Alpha", "opt_q", "opt_a b", "use", "g1", "here",
					"opt_é", "global_conf", "opt_app")] = value()
			}
		}
		if a.chance(20) && !strings.HasPrefix(name, "server") {
			settings["filter-with"] = filter()
		}
		fmt.Fprintf(&b, "[%s]\n", name)
		keys := slices.Sorted(maps.Keys(settings))
		a.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, key := range keys {
			if must[key] == "" || a.chance(odd) {
				must[key] = settings[key]
			}
			fmt.Fprintf(&b, "%s%s%s\n", key, a.one(" = ", "=", ": ", " : "), must[key])
		}
	}
	if a.chance(70) {
		section("DEFAULT", map[string]string{
			"g1":                    a.one("%(here)s/g", "", "v"),
			a.one("g2", "g3", "x1"): value(),
		})
	}
	for i, name := range []string{"main", "n1", "n2", "n3", "n4"} {
		afterApp = i
		switch kind := a.one("app", "app", "app", "application", "composite", "composit",
			"pipeline", "pipeline", "filter-app"); kind {
		case "pipeline":
			members := a.one("", "\n   ", "\n\n   ")
			for range a.IntN(3) {
				members += filter() + a.one(" ", "\n   ")
			}
			section(kind+":"+name, map[string]string{"pipeline": members + app()})
		case "filter-app":
			section(kind+":"+name, map[string]string{"use": filter(), "next": app()})
		case "composite", "composit":
			section(kind+":"+name, map[string]string{"use": a.one("egg:DemoPkg#map",
				"egg:DemoPkg#cascade", "call:demopkg:make_map"), "/": app(), "/a b": app()})
		default:
			key := a.one("use", "use", "use", "paste.app_factory", "paste.composite_factory")
			section(kind+":"+name, map[string]string{key: map[string]string{
				"use": app(), "paste.app_factory": "demopkg" + a.one(":", " : ") + "make_main",
				"paste.composite_factory": "demopkg:make_map",
			}[key]})
		}
	}
	for i, name := range []string{"f0", "f1", "f2"} {
		afterFilter = i + 1
		key := a.one("use", "use", "paste.filter_factory", "paste.filter_app_factory")
		section("filter:"+name, map[string]string{key: map[string]string{
			"use": filter(), "paste.filter_factory": "demopkg:make_caps",
			"paste.filter_app_factory": "demopkg:make_log",
		}[key]})
	}
	section("server:main", map[string]string{"use": a.one("egg:DemoPkg#http", "egg:DemoPkg#run",
		"call:demopkg:make_http", "egg:DemoPkg#home")})
	return b.String()
}

// oddities are the parts of which lines are made.
var oddities = []string{
	"=", ":", "[", "]", "#", ";", " ", "\t", "\v", "\f", "\x1c", "\x1f", "\x00", "\u0085", "\u00a0",
	"\u2028", "\u3000", "\ufeff", "\u200b", "é", "\\", `"`, "'",
	"a", "b1", "rem ", "set ", "get ", "[app:x]", "[a]b]", "[ ]", "[]", "[DEFAULT]", " ;c", " #c", "%%", "%(here)s", "%", "key = v",
	"\n", "\n ", "\n\t", "\n\n  ", "\r", "\r\n", "\n# c\n  ", "\n\u3000",
}

// lines writes a file that parses, or does not.
func (a *author) lines() string {
	var b strings.Builder
	if a.chance(20) {
		b.WriteString(a.one(oddities...))
	}
	b.WriteString("[app:main]" + a.one("\n", "\r\n", "\r", " ; x\n") + "use = egg:DemoPkg#home" +
		a.one("\n", "\r\n", "\r", "\n\n", "\n  \n"))
	for i := range 1 + a.IntN(8) {
		if a.chance(90) {
			fmt.Fprintf(&b, "k%d%s", i, a.one("=", ":", " = ", " : ", "\t=\t"))
		}
		for range a.IntN(5) {
			b.WriteString(a.one(oddities...))
		}
		b.WriteString(a.one("\n", "\n", "\r\n", "\r", ""))
	}
	return b.String()
}

// mutated changes a recorded file here and there.
func (a *author) mutated(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.ini"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(a.one(files...))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(data), "\n")
	for range 1 + a.IntN(2) {
		i, j := a.IntN(len(lines)), a.IntN(len(lines))
		switch at := a.IntN(len(lines[i]) + 1); a.IntN(5) {
		case 0:
			lines[i], lines[j] = lines[j], lines[i]
		case 1:
			lines[i] += lines[j]
		case 2:
			lines[i] = lines[i][:at] + lines[i][min(at+1, len(lines[i])):]
		case 3:
			lines[i] += a.one("[filter:f1]\n", "[app:n1]\n", "use = egg:DemoPkg#home\n",
				"filter-with = f1\n", "set g1 = 1\n", "  on\n", "\n", "# c\n", "[DEFAULT]\n")
		default:
			lines[i] = lines[i][:at] + a.one(oddities...) + lines[i][at:]
		}
	}
	return strings.Join(lines, "")
}
