package pipeline_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// The results of PasteDeploy 3.1 for several hundred .ini files were recorded; see
// testdata/pastedeploy.json. This test loads each file and compares the trees, and the calls that
// creating them makes. differences lists the deviations and their reasons; everything else agrees.

type golden struct {
	Distributions map[string]map[string]map[string]string `json:"distributions"`
	Cases         []goldenCase                            `json:"cases"`
}

type goldenCase struct {
	ID          string            `json:"id"`
	URI         string            `json:"uri"`
	Type        tree.Kind         `json:"type"`
	Name        *string           `json:"name"`
	RelativeTo  string            `json:"relative_to"`
	GlobalConf  map[string]string `json:"global_conf"`
	API         string            `json:"api"`
	Error       *goldenError      `json:"error"`
	Context     map[string]any    `json:"context"`
	Created     any               `json:"created"`
	CreateError *goldenError      `json:"create_error"`
}

type goldenError struct{ Class, Message string }

func (e *goldenError) String() string { return e.Class + ": " + e.Message }

// An instead is the expected result of a case that differs from the original.
type instead int

const (
	nothing instead = iota
	// a refusal, at once or when the tree is created; a node is marked as not registered
	notRegistered
	created         // an app
	createdOrFaulty // the same, or an error that the original does not reach
	refused         // a refusal, with a message of its own
)

// differences are the cases in which we deliberately do something else than PasteDeploy, by what it
// says to them. The docs have the same list.
//
// Two more run through all cases, and describe evens them out: composites are of kind "composite"
// here and of kind "app" there, filter-app and filter-with are written filter_app and filtered_with
// there; and the protocol of what an egg: reference names is that of the group of its entry point
// there, of which we have one for each kind (see golden.protocol).
var differences = []struct {
	why     string
	says    *regexp.Regexp // nil when no message tells
	instead instead
	cases   int // of the recorded set
}{
	{
		"Python imports the object that a reference names, and fails if the distribution, " +
			"entry point, module or attribute does not exist. A Go program looks the " +
			"reference up in its registry. If it is not registered, the tree is resolved " +
			"nonetheless, so that it can be shown; the node is marked as not registered, and " +
			"creating it fails. A malformed reference is refused at once.",
		regexp.MustCompile(`^PackageNotFoundError|^ModuleNotFoundError|^AttributeError|^LookupError: Entry point`),
		notRegistered, 25,
	},
	{
		"The reference names a number or a module. Both programs refuse to create it, but " +
			"the recorded tree has the object itself, not its name.",
		regexp.MustCompile(`^TypeError: '(int|module)' object is not callable`),
		notRegistered, 2,
	},
	{
		"With filter-with on a pipeline, on a filter-app, or on a section that uses a " +
			"section with a filter-with, the original returns a function that takes an app, " +
			"instead of an app: a bug. Here the filter wraps the app.",
		regexp.MustCompile(`^NotAnApp`),
		created, 8,
	},
	{
		"Load accepts the path of a file, too; the original accepts URIs only.",
		regexp.MustCompile(`^LookupError: URI has no scheme`),
		createdOrFaulty, 1,
	},
	{
		"require = Dist makes Python refuse a file if that distribution is not installed. A " +
			"Go program contains its packages, so the line is ignored, with a warning.",
		regexp.MustCompile(`^PackageNotFoundError: No package metadata was found for Missing`),
		createdOrFaulty, 1,
	},
	{
		"A key called global_conf, callable, app or loader is also the name of a parameter in " +
			"Python, so that the call of the factory fails. Here it is an ordinary key.",
		regexp.MustCompile(`^TypeError: .* got multiple values for argument '`),
		createdOrFaulty, 0,
	},
	{
		"Python calls any function that is named, so a filter's function can stand in an " +
			"[app:] section. Here a factory is registered for one kind of section, and " +
			"refused in others.",
		nil, refused, 0,
	},
	{
		"%(ENV_NAME)s, where no setting has that name, stands for the environment variable NAME. " +
			"The original refuses it.",
		regexp.MustCompile(`contains an interpolation key 'ENV_`),
		createdOrFaulty, 0,
	},
	{
		"A percent sign in the path of a file is literal, in %(here)s and %(__file__)s. The " +
			"original takes it for the start of a name, and refuses every file below a " +
			"folder called 100%.",
		nil, createdOrFaulty, 0,
	},
	{
		"A file or a value of more than 1 MB, and a file that would expand to far more than " +
			"a site needs, are refused: a wrong path, or a few lines that refer to each " +
			"other repeatedly, must not keep the loader busy. The original reads on, or ends " +
			"with a RecursionError.",
		nil, refused, 0,
	},
}

// difference returns the index of the last difference that a case falls under, or -1.
func difference(c goldenCase) int {
	found := -1
	for i, d := range differences {
		for _, e := range []*goldenError{c.Error, c.CreateError} {
			if e != nil && d.says != nil && d.says.MatchString(e.String()) {
				found = i
			}
		}
	}
	return found
}

const (
	recordedCases = 374 // of the set that the counts here are of
	// names a variable with the folder of another set, for comparisons by hand
	otherGolden = "PASTEDEPLOY_GOLDEN"
)

func readGolden(t *testing.T) (golden, string) {
	t.Helper()
	folder := cmp.Or(os.Getenv(otherGolden), "testdata")
	data, err := os.ReadFile(filepath.Join(folder, "pastedeploy.json"))
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs(filepath.Join(folder, "pastedeploy"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(data), "@HERE@", here)),
		&g); err != nil {
		t.Fatal(err)
	}
	return g, here
}

// A recorder stands for the handlers of the recorded calls, which the fake factories of the original
// returned.
type recorder struct {
	http.Handler
	call any
}

func call(what, object string, b *pipeline.Build, local []tree.Setting) map[string]any {
	conf := map[string]any{}
	for _, s := range local {
		conf[s.Key] = s.Value
	}
	return map[string]any{
		what: object, "global_conf": stringMap(b.GlobalConf().Map()),
		"local_conf": conf,
	}
}

type anything struct {
	All []tree.Setting `ini:"*"`
}

// fakeRegistry has the entry points of the recorded distributions, and the objects that files name by
// module and name.
func fakeRegistry(g golden) *pipeline.Registry {
	r := pipeline.NewRegistry()
	app := func(name, object string) {
		pipeline.App(r, name, func(b *pipeline.Build, s anything) (http.Handler, error) {
			return recorder{call: call("app", object, b, s.All)}, nil
		})
	}
	composite := func(name, object string) {
		pipeline.Composite(r, name, func(b *pipeline.Build, s anything) (http.Handler, error) {
			made, children := call("composite", object, b, s.All), map[string]any{}
			for _, child := range s.All {
				if strings.HasPrefix(child.Key, "opt_") {
					continue
				}
				h, err := b.App(child.Value)
				if err != nil {
					return nil, err
				}
				children[child.Key] = h.(recorder).call
			}
			made["children"] = children
			return recorder{call: made}, nil
		})
	}
	filter := func(name, object string) {
		pipeline.Filter(r, name,
			func(b *pipeline.Build, s anything) (func(http.Handler) http.Handler, error) {
				return func(next http.Handler) http.Handler {
					made := call("filter", object, b, s.All)
					if made["app"] = next.(recorder).call; made["app"] == nil {
						made["app"] = "APP"
					}
					return recorder{call: made}
				}, nil
			})
	}
	server := func(name, object string) {
		pipeline.ServerFactory(r, name,
			func(b *pipeline.Build, s anything) (pipeline.Server, error) {
				return fakeServer{call: call("server", object, b, s.All)}, nil
			})
	}
	register := map[string]func(name, object string){
		"paste.app_factory": app, "paste.composite_factory": composite,
		"paste.composit_factory": composite,
		"paste.filter_factory":   filter, "paste.filter_app_factory": filter,
		"paste.server_factory": server, "paste.server_runner": server,
	}
	seen := map[string]bool{}
	for _, dist := range slices.Sorted(maps.Keys(g.Distributions)) {
		for _, group := range []string{ // filter_factory first: it wins over filter_app_factory
			"paste.app_factory", "paste.composite_factory", "paste.composit_factory",
			"paste.filter_factory", "paste.filter_app_factory", "paste.server_factory",
			"paste.server_runner",
		} {
			for entryPoint, value := range g.Distributions[dist][group] {
				_, object, _ := strings.Cut(value, ":")
				// composit and composite are one
				kind := strings.TrimSuffix(strings.Split(strings.TrimPrefix(group, "paste."),
					"_")[0], "e")
				name := "egg:" + dist + "#" + entryPoint
				if object == "no_such_attr" || object == "x" || seen[kind+name] {
					continue
				}
				seen[kind+name] = true
				register[group](name, object)
			}
		}
	}
	for _, object := range []string{
		"make_main", "make_home", "make_api", "make_blog", "make_twice",
		"Klass.make",
	} {
		app("demopkg:"+object, object)
	}
	for _, object := range []string{"make_twice_c", "make_map", "make_cascade"} {
		composite("demopkg:"+object, object)
	}
	for _, object := range []string{
		"make_caps", "make_gzip", "make_fmain", "make_both1",
		"Klass.Inner.make", "make_auth", "make_log", "make_both2",
	} {
		filter("demopkg:"+object, object)
	}
	for _, object := range []string{"make_http", "make_smain", "make_run"} {
		server("demopkg:"+object, object)
	}
	return r
}

type fakeServer struct {
	pipeline.Server
	call map[string]any
}

// describe describes a node in the form in which the original's were recorded.
func describe(g golden, n *tree.Node) map[string]any {
	kinds := map[tree.Kind]string{
		tree.KindComposite: "app", tree.KindFilterApp: "filter_app",
		tree.KindFilterWith: "filtered_with",
	}
	m := map[string]any{
		"kind": string(n.Kind), "protocol": nil,
		"global_conf": stringMap(n.GlobalConf.Map()), "local_conf": stringMap(n.LocalConf.Map()),
	}
	if kind, ok := kinds[n.Kind]; ok {
		m["kind"] = kind
	}
	if n.Protocol != "" {
		m["protocol"] = n.Protocol
	}
	if n.Factory.Dist != "" {
		m["protocol"] = g.protocol(n)
	}
	if n.Factory.Object != "" {
		m["object"] = n.Factory.Object
	}
	if n.Factory.Dist != "" {
		m["entry_point"] = n.Factory.EntryPoint
		m["distribution"], m["object"] = g.entryPoint(n)
	}
	for key, part := range map[string]*tree.Node{
		"app": n.App, "filter": n.Filter,
		"next": n.Next,
	} {
		if part != nil {
			m[key] = describe(g, part)
		}
	}
	if n.Kind == tree.KindPipeline {
		filters := []any{}
		for _, filter := range n.Filters {
			filters = append(filters, describe(g, filter))
		}
		m["filters"] = filters
	}
	return m
}

// entryPoint tells which distribution, by its own spelling, and which object an egg: reference
// means.
func (g golden) entryPoint(n *tree.Node) (dist, object string) {
	dist, _, object = g.find(n)
	return dist, object
}

// protocol is one of the differences: a factory here is of one of four kinds, and does not tell a
// filter_factory from a filter_app_factory and so on. It is taken from the entry points when it is
// as good as the node's own.
func (g golden) protocol(n *tree.Node) string {
	alike := map[string]string{
		"paste.composit_factory":   "paste.composite_factory",
		"paste.filter_app_factory": "paste.filter_factory",
		"paste.server_runner":      "paste.server_factory",
	}
	_, group, _ := g.find(n)
	if alike[group] == n.Protocol {
		return group
	}
	return n.Protocol
}

func (g golden) find(n *tree.Node) (dist, group, object string) {
	same := func(s string) string { return separators.ReplaceAllString(strings.ToLower(s), "-") }
	groups := map[tree.Kind][]string{
		tree.KindApp:       {"paste.app_factory"},
		tree.KindComposite: {"paste.composite_factory", "paste.composit_factory"},
		tree.KindFilter:    {"paste.filter_factory", "paste.filter_app_factory"},
		tree.KindServer:    {"paste.server_factory", "paste.server_runner"},
	}
	for dist, entryPoints := range g.Distributions {
		for _, group := range groups[n.Kind] {
			if object, ok := entryPoints[group][n.Factory.EntryPoint]; ok &&
				same(dist) == same(n.Factory.Dist) {
				return dist, group, object
			}
		}
	}
	return n.Factory.Dist, "", ""
}

var separators = regexp.MustCompile(`[-_.]+`)

func stringMap(m map[string]string) map[string]any {
	anys := map[string]any{}
	for key, value := range m {
		anys[key] = value
	}
	return anys
}

func TestGolden(t *testing.T) {
	t.Parallel()
	g, here := readGolden(t)
	registry := fakeRegistry(g)
	count := make([]int, len(differences))
	for _, c := range g.Cases {
		if i := difference(c); i >= 0 {
			count[i]++
		}
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			g.compare(t, c, registry, here)
		})
	}
	for i, d := range differences {
		if count[i] != d.cases && len(g.Cases) == recordedCases {
			t.Errorf("%d cases, not %d, differ like this: %s", count[i], d.cases, d.why)
		}
	}
}

func TestDifferencesAreInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "ini.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if !strings.Contains(string(page), d.why) {
			t.Errorf("docs/ini.md does not say: %s", d.why)
		}
	}
}

// compare resolves and creates one case, and compares the result with the recorded one.
func (g golden) compare(t *testing.T, c goldenCase, registry *pipeline.Registry, here string) {
	t.Helper()
	instead := nothing
	if i := difference(c); i >= 0 {
		instead = differences[i].instead
	}
	opts := pipeline.Options{Global: c.GlobalConf, RelativeTo: c.RelativeTo, Registry: registry}
	wanted, uri := opts.Tree(), c.URI
	wanted.Unnamed = c.API == "loader"
	switch {
	case c.Name != nil && *c.Name == "":
		uri, _, _ = strings.Cut(uri, "#")
		uri += "#"
	case c.Name != nil:
		wanted.Name = *c.Name
	}
	resolved, err := tree.Resolve(uri, c.Type, wanted)
	var made any
	if err == nil {
		made, err = pipeline.Create(t.Context(), resolved, opts)
	}
	if err != nil {
		checkPositions(t, err, here)
	}
	switch {
	case c.Error != nil && resolved != nil && instead == nothing:
		t.Fatalf("resolved, but the original says %v", c.Error)
	case c.Error != nil && err == nil && instead == notRegistered:
		t.Fatalf("created, but the original says %v", c.Error)
	case c.Error != nil && err != nil && instead != created:
		return
	case resolved == nil:
		t.Fatalf("refused: %v", err)
	}
	if c.Context != nil && instead != notRegistered {
		if diff := gocmp.Diff(c.Context, describe(g, resolved.Root)); diff != "" {
			t.Errorf("tree (-want +got):\n%s", diff)
		}
	}
	switch {
	case c.CreateError != nil && (instead == nothing || instead == notRegistered):
		if err == nil {
			t.Fatalf("created, but the original says %v", c.CreateError)
		}
		if instead == notRegistered && resolved.Root.Registered &&
			resolved.Root.Kind != tree.KindComposite {
			t.Error("marked as registered")
		}
	case err != nil && (instead == createdOrFaulty ||
		strings.Contains(err.Error(), " is not registered as ")):
	case err != nil:
		t.Fatalf("not created: %v", err)
	case instead == created || instead == createdOrFaulty:
		if _, ok := calls(made).(map[string]any); !ok {
			t.Errorf("created a %T, want an app, a filter or a server", made)
		}
	default:
		if diff := gocmp.Diff(c.Created, calls(made)); diff != "" {
			t.Errorf("created (-want +got):\n%s", diff)
		}
	}
}

// checkPositions checks that every error in err names an existing file and a line in it.
func checkPositions(t *testing.T, err error, here string) {
	t.Helper()
	var errs tree.Errors
	if !errors.As(err, &errs) || len(errs) == 0 {
		t.Errorf("%v: not of type Errors", err)
	}
	for _, e := range errs {
		if strings.Contains(e.Error(), "\n") {
			t.Errorf("%q: more than one line", e.Error())
		}
		if e.Err == nil || e.Err.Error() == "" {
			t.Errorf("%q: says nothing", e.Error())
		}
		if e.Line == 0 {
			continue
		}
		data, err := os.ReadFile(e.File)
		if err != nil || !strings.HasPrefix(e.File, here) {
			t.Errorf("%v: no such file", e)
			continue
		}
		text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
		if lines := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1; e.Line < 1 ||
			e.Line > lines {
			t.Errorf("%v: the file has %d lines", e, lines)
		}
	}
}

func calls(made any) any {
	switch made := made.(type) {
	case recorder:
		return made.call
	case fakeServer:
		made.call["app"] = "APP"
		return made.call
	case func(http.Handler) http.Handler:
		return made(recorder{}).(recorder).call
	}
	return fmt.Sprintf("%T", made)
}
