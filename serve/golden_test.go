package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/serve"
)

// What PasteDeploy made of several hundred .ini files was recorded; see
// pipeline/testdata/pastedeploy.json. TestGoldenShow gives each that a command line can express to
// serve show --json, and compares. The factories are registered nowhere.

// otherGolden names a variable with the folder of another recorded set, for comparisons by hand.
const otherGolden = "PASTEDEPLOY_GOLDEN"

type goldenCase struct {
	ID         string            `json:"id"`
	URI        string            `json:"uri"`
	Type       string            `json:"type"`
	Name       *string           `json:"name"`
	RelativeTo string            `json:"relative_to"`
	GlobalConf map[string]string `json:"global_conf"`
	API        string            `json:"api"`
	Context    *goldenNode       `json:"context"`
	Error      *goldenError      `json:"error"`
}

type goldenError struct{ Class, Message string }

// A goldenNode is a node as it was recorded.
type goldenNode struct {
	Kind         string            `json:"kind"`
	Protocol     string            `json:"protocol"`
	Object       any               `json:"object"`
	Distribution string            `json:"distribution"`
	EntryPoint   string            `json:"entry_point"`
	GlobalConf   map[string]string `json:"global_conf"`
	LocalConf    map[string]string `json:"local_conf"`
	Filters      []*goldenNode     `json:"filters"`
	App          *goldenNode       `json:"app"`
	Filter       *goldenNode       `json:"filter"`
	Next         *goldenNode       `json:"next"`
}

// A shownNode is a node as serve show --json prints it; it has no other keys.
type shownNode struct {
	Kind       string            `json:"kind"`
	Name       string            `json:"name"`
	Use        *string           `json:"use"`
	Protocol   *string           `json:"protocol"`
	Registered *bool             `json:"registered"`
	GlobalConf map[string]string `json:"global_conf"`
	LocalConf  map[string]string `json:"local_conf"`
	Source     *string           `json:"source"`
	Filters    []*shownNode      `json:"filters"`
	App        *shownNode        `json:"app"`
	Filter     *shownNode        `json:"filter"`
	Next       *shownNode        `json:"next"`
}

// shownAnyway are the cases that PasteDeploy refuses and we show, by what it says to them.
var shownAnyway = []struct {
	why   string
	says  *regexp.Regexp
	cases int // of the recorded set
}{
	{
		"Python imports what a reference names. Here the node is shown, and marked as not " +
			"registered.",
		regexp.MustCompile(`^(PackageNotFoundError|ModuleNotFoundError|AttributeError)|^LookupError: (Entry point|Ambiguous entry points)`), 18,
	},
	{
		"The command takes the path of a file, and paths that are relative to the working directory.",
		regexp.MustCompile(`no scheme: '/|^ValueError: Cannot resolve relative uri`), 2,
	},
}

// inexpressible reports whether no command line is the same as a recorded call: one that asks for a
// section without a name.
func (c goldenCase) inexpressible() bool { return c.API == "loader" && c.Name == nil }

func (c goldenCase) args() []string {
	args := []string{"show", "--json", "--reveal"}
	if c.Type != "app" {
		args = append(args, "--"+c.Type)
	}
	if c.Name != nil {
		args = append(args, "-n", *c.Name)
	}
	args = append(args, "--", c.URI)
	for _, name := range slices.Sorted(maps.Keys(c.GlobalConf)) {
		args = append(args, name+"="+c.GlobalConf[name])
	}
	return args
}

func TestGoldenShow(t *testing.T) { // not parallel: it has a working directory of its own
	folder := os.Getenv(otherGolden)
	if folder == "" {
		folder = "../pipeline/testdata"
	}
	data, err := os.ReadFile(filepath.Join(folder, "pastedeploy.json"))
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(filepath.Join(folder, "pastedeploy"))
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Cases []goldenCase `json:"cases"`
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(data), "@HERE@", here)),
		&set); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here) // what relative paths are relative to
	shown, refused, inexpressible, anyway := 0, 0, 0, make([]int, len(shownAnyway))
	for _, c := range set.Cases {
		if c.inexpressible() {
			inexpressible++
			continue
		}
		difference := -1
		for i, d := range shownAnyway {
			if c.Error != nil && d.says.MatchString(c.Error.Class+": "+c.Error.Message) {
				difference = i
			}
		}
		t.Run(c.ID, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := serve.Run(t.Context(), c.args(), serve.Stdio{Out: &out, Err: &errs})
			switch {
			case code == serve.ExitOK && c.Error != nil && difference < 0:
				t.Fatalf("shown, but PasteDeploy says %v", *c.Error)
			case code == serve.ExitOK:
				shown++
				if difference >= 0 {
					anyway[difference]++
				}
				node := decode(t, out.Bytes())
				if c.Context != nil {
					c.Context.compare(t, c.Type, node)
				}
				node.check(t)
			case c.Error == nil:
				t.Fatalf("exit code %d: %s", code, errs.String())
			default:
				refused++
				checkFaults(t, c, here, out.String(), errs.String(), code)
			}
		})
	}
	if os.Getenv(otherGolden) != "" {
		return
	}
	for i, d := range shownAnyway {
		if anyway[i] != d.cases {
			t.Errorf("%d cases, not %d, differ like this: %s", anyway[i], d.cases, d.why)
		}
	}
	if shown != 260 || refused != 107 || inexpressible != 7 {
		t.Errorf("%d shown, %d refused, %d inexpressible", shown, refused, inexpressible)
	}
}

func decode(t *testing.T, text []byte) *shownNode {
	t.Helper()
	var n *shownNode
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return n
}

// checkFaults checks the lines of a refusal: where a file is to blame, each begins with its name,
// and a line of it if there is one.
func checkFaults(t *testing.T, c goldenCase, here, out, errs string, code int) {
	t.Helper()
	if out != "" {
		t.Errorf("refused, but the output has %q", out)
	}
	if c.Name != nil && *c.Name == "" { // -n "" is no name
		if code != serve.ExitUsage {
			t.Errorf("exit code %d, want 2", code)
		}
		return
	}
	if code != serve.ExitFailed {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.HasSuffix(errs, "\n") || strings.Contains(errs, "\n\n") {
		t.Errorf("got %q, want one line for each fault", errs)
	}
	for line := range strings.Lines(errs) {
		if !strings.HasPrefix(strings.ToLower(c.URI), "config:") || c.Name != nil &&
			strings.Contains(*c.Name, ":") {
			continue // what is wrong is on the command line
		}
		m := regexp.MustCompile(`^(.+?\.(?:ini|cfg|conf))(?::(\d+))?: .`).FindStringSubmatch(line)
		if m == nil {
			if !strings.Contains(line, here) {
				t.Errorf("%q names no file", line)
			}
			continue
		}
		if m[2] == "" {
			continue
		}
		n, err := strconv.Atoi(m[2])
		if text, fileErr := os.ReadFile(m[1]); err != nil || fileErr != nil || n < 1 ||
			n > len(lines(text)) {
			t.Errorf("%q: there is no such line", line)
		}
	}
}

func lines(text []byte) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text)), "\n")
}

// families are the protocols of one kind: which of them an entry point has is known to whoever has
// installed it.
var families = [][]string{
	{"paste.app_factory", "paste.composite_factory", "paste.composit_factory"},
	{"paste.filter_factory", "paste.filter_app_factory"},
	{"paste.server_factory", "paste.server_runner"},
}

func (n *goldenNode) compare(t *testing.T, at string, got *shownNode) {
	t.Helper()
	if n == nil || got == nil {
		if (n == nil) != (got == nil) {
			t.Errorf("%s: there in one of the trees only", at)
		}
		return
	}
	// as they are called there
	kinds := map[string]string{
		"composite": "app", "filter-app": "filter_app",
		"filter-with": "filtered_with",
	}
	kind := got.Kind
	if there, ok := kinds[kind]; ok {
		kind = there
	}
	if kind != n.Kind {
		t.Errorf("%s: got kind %s, want %s", at, got.Kind, n.Kind)
	}
	switch {
	case n.Distribution != "":
		same := func(family []string) bool { return slices.Contains(family, n.Protocol) }
		if i := slices.IndexFunc(families, same); got.Protocol == nil ||
			!slices.Contains(families[i], *got.Protocol) {
			t.Errorf("%s: got protocol %q, want %q", at, deref(got.Protocol), n.Protocol)
		}
	case n.Protocol == "":
		if got.Protocol != nil {
			t.Errorf("%s: got protocol %q, want none", at, *got.Protocol)
		}
	case got.Protocol == nil || *got.Protocol != n.Protocol:
		t.Errorf("%s: got protocol %q, want %q", at, deref(got.Protocol), n.Protocol)
	}
	switch object, isName := n.Object.(string); {
	case n.Distribution != "":
		want := "egg:" + n.Distribution + "#" + n.EntryPoint
		normal := func(s string) string {
			return strings.NewReplacer("_", "-", ".",
				"-").Replace(strings.ToLower(s))
		}
		if got.Use == nil || normal(*got.Use) != normal(want) {
			t.Errorf("%s: got use %q, want %q", at, deref(got.Use), want)
		}
	case isName && strings.Contains(object, ":"):
		if got.Use == nil || *got.Use != "call:"+object {
			t.Errorf("%s: got use %q, want %q", at, deref(got.Use), "call:"+object)
		}
	case n.Object == nil:
		if got.Use != nil || got.Registered != nil {
			t.Errorf("%s: got use %q, or registered, of what is made of others", at, deref(got.Use))
		}
	}
	for name, conf := range map[string][2]map[string]string{"global_conf": {
		n.GlobalConf,
		got.GlobalConf,
	}, "local_conf": {n.LocalConf, got.LocalConf}} {
		if diff := gocmp.Diff(conf[0], conf[1]); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", at, name, diff)
		}
	}
	if (n.Filters == nil) != (got.Filters == nil) || len(n.Filters) != len(got.Filters) {
		t.Fatalf("%s: got %d filters, want %d", at, len(got.Filters), len(n.Filters))
	}
	for i := range n.Filters {
		n.Filters[i].compare(t, fmt.Sprintf("%s.filters[%d]", at, i), got.Filters[i])
	}
	n.App.compare(t, at+".app", got.App)
	n.Filter.compare(t, at+".filter", got.Filter)
	n.Next.compare(t, at+".next", got.Next)
}

// check checks what was not recorded: name, source, registered.
func (n *shownNode) check(t *testing.T) {
	t.Helper()
	if n == nil {
		return
	}
	if n.Use != nil && (n.Registered == nil || *n.Registered) {
		t.Errorf("%s: not marked as not registered", n.Name)
	}
	if n.Name == "" {
		t.Errorf("a %s has no name", n.Kind)
	}
	if n.Source != nil {
		file, line, _ := cutLast(*n.Source, ":")
		number, err := strconv.Atoi(line)
		text, fileErr := os.ReadFile(file)
		if all := lines(text); err != nil || fileErr != nil || number < 1 || number > len(all) {
			t.Errorf("%s: there is no line %s", n.Name, *n.Source)
		} else if written := strings.TrimPrefix(all[number-1], "\ufeff"); !strings.HasPrefix(written, "["+n.Name+"]") && !strings.Contains(written, strings.TrimSuffix(n.Name, "#main")) {
			t.Errorf("%s: line %s is %q", n.Name, *n.Source, written)
		}
	} else if n.Use == nil {
		t.Errorf("%s has no source", n.Name)
	}
	for _, filter := range n.Filters {
		filter.check(t)
	}
	n.App.check(t)
	n.Filter.check(t)
	n.Next.check(t)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
