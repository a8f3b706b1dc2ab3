package serve_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// documented returns a schema of docs/schema.
func documented(t *testing.T, name string) jsonSchema {
	t.Helper()
	text, err := os.ReadFile("../docs/schema/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return parseSchema(t, text)
}

// brokenSite has a finding of each rule that needs no second process.
const brokenSite = `[composite:main]
use = egg:Paste#urlmap
/ = site
/wiki = wiki
[pipeline:site]
pipeline = tm retry myapp
[filter:tm]
use = egg:repoze.tm2#tm
commit_vetto = x
[filter:retry]
use = egg:repoze.retry#retry
tries = many
[app:myapp]
use = egg:myapp#app
zodb_uri = memory://site
[app:wiki]
use = egg:acme#wiki
[server:main]
use = egg:Paste#http
port = 0
[loging]
level = info
`

// A report is any of the outputs with findings.
type report struct {
	Config   string
	Valid    *bool
	Findings []struct {
		Severity, Rule, File           string
		Line                           int
		Section, Key, Value, Msg, Hint string
		Message                        string
	}
}

// lines returns the findings, one a line.
func (r *report) lines(dir string) (all []string) {
	for _, f := range r.Findings {
		file := strings.TrimPrefix(f.File, dir+string(filepath.Separator))
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s:%d [%s] %s %s", f.Severity, f.Rule,
			file, f.Line, f.Section, f.Key, f.Value)))
	}
	return all
}

func TestFindingsAsJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, site, args string
		code             int
		want             []string
	}{
		{"broken", brokenSite, "check --json INI", serve.ExitFailed, []string{
			"error unknown-setting site.ini:9 [filter:tm] commit_vetto",
			"error setting site.ini:12 [filter:retry] tries many",
			"error not-registered site.ini:17 [app:wiki] use egg:acme#wiki",
			"warning advice site.ini:21 [loging]",
		}},
		{"errors only", brokenSite, "check --json -q INI", serve.ExitFailed, []string{
			"error unknown-setting site.ini:9 [filter:tm] commit_vetto",
			"error setting site.ini:12 [filter:retry] tries many",
			"error not-registered site.ini:17 [app:wiki] use egg:acme#wiki",
		}},
		{"routes", brokenSite, "routes --json INI", serve.ExitFailed, []string{
			"error unknown-setting site.ini:9 [filter:tm] commit_vetto",
			"error setting site.ini:12 [filter:retry] tries many",
			"error not-registered site.ini:17 [app:wiki] use egg:acme#wiki",
		}},
		{"good", variety, "check --json INI -n router", serve.ExitOK, nil},
		{
			"a warning", variety + "[loging]\n", "check --json INI -n router", serve.ExitOK,
			[]string{"warning advice site.ini:33 [loging]"},
		},
		{
			"strict", variety + "[loging]\n", "check --json --strict INI -n router",
			serve.ExitFailed,
			[]string{"error advice site.ini:33 [loging]"},
		},
		{
			"the order", "[pipeline:main]\npipeline = egg:repoze.tm2#tm egg:repoze.retry#retry x\n" +
				"[app:x]\nuse = egg:Paste#test\n[server:main]\nuse = egg:Paste#http\nport = 0\n",
			"check --json INI", serve.ExitFailed,
			[]string{"error broken-pipeline site.ini:2 [pipeline:main] pipeline"},
		},
		{
			"a note", "[app:main]\nuse = egg:Paste#test\n[server:main]\nuse = egg:Paste#http\n" +
				"listen = systemd\n", "check --json INI", serve.ExitOK,
			[]string{"note unchecked site.ini:5 [server:main] listen systemd"},
		},
		{
			"syntax", "[app:main]\n= 1\n", "check --json --all INI", serve.ExitFailed,
			[]string{"error section site.ini:2 [app:main]"},
		},
		{"no section", "[app:other]\nuse = egg:Paste#test\n[server:main]\nuse = egg:Paste#http\nport = 0\n", "check --json INI", serve.ExitFailed, []string{
			"error file site.ini:0 []",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, path := writeSite(t, tt.site)
			closed := 0
			code, out, errs := run(t, "", strings.Fields(strings.ReplaceAll(tt.args, "INI", path)),
				myapp.Register, registerVariety(&closed))
			if code != tt.code || errs != "" {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, errs)
			}
			command, _, _ := strings.Cut(tt.args, " ")
			documented(t, command).check(t, out)
			var got report
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, got.lines(dir)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if got.Config != path || command == "check" && *got.Valid != (code == serve.ExitOK) {
				t.Errorf("got config %s, valid %v with exit code %d", got.Config, *got.Valid, code)
			}
		})
	}
}

// The parts of a finding are those of the line that is printed without --json.
func TestFindingsAreTheLines(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, brokenSite)
	_, out, _ := run(t, "", []string{"check", "--json", "-q", path}, myapp.Register)
	var got report
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	_, _, errs := run(t, "", []string{"check", "-q", path}, myapp.Register)
	var want strings.Builder
	for _, f := range got.Findings {
		fmt.Fprintf(&want, "%s:%d: [%s] %s", f.File, f.Line, f.Section, f.Key)
		if f.Value != "" {
			fmt.Fprintf(&want, " = %q", f.Value)
		}
		want.WriteString(": " + f.Message)
		if f.Hint != "" {
			want.WriteString("; " + f.Hint)
		}
		want.WriteString("\n")
	}
	if want.String() != errs {
		t.Errorf("got %s, want %s", want.String(), errs)
	}
}

func TestRoutesAsJSON(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, variety)
	closed := 0
	code, out, errs := run(t, "", []string{"routes", "--json", path, "-n", "nested"},
		registerVariety(&closed))
	documented(t, "routes").check(t, out)
	var got struct {
		Routes []struct {
			Method, Host, Pattern string
			Pipeline              []string
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != serve.ExitOK || errs != "" {
		t.Fatal(err, code, errs)
	}
	_, text, _ := run(t, "", []string{"routes", path, "-n", "nested"}, registerVariety(&closed))
	lines := strings.Split(strings.TrimSpace(text), "\n")[1:]
	if len(lines) != len(got.Routes) {
		t.Fatalf("%d routes as JSON, %d as lines", len(got.Routes), len(lines))
	}
	for i, line := range lines {
		words, r := strings.Fields(line), got.Routes[i]
		pipeline := strings.Join(strings.Fields(strings.Join(r.Pipeline, " > ")), " ")
		if words[0] != r.Method || words[1] != r.Host+r.Pattern ||
			strings.Join(words[2:], " ") != pipeline {
			t.Errorf("got %+v, want %s", r, line)
		}
	}
}

func TestListAndVersionAsJSON(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"list", "list filters"} {
		args := strings.Fields(line)
		code, out, errs := run(t, "", append(args, "--json"), registerGuests)
		if code != serve.ExitOK || errs != "" {
			t.Errorf("%s: exit code %d, %s", line, code, errs)
		}
		documented(t, "list").check(t, out)
		var got struct {
			Factories []struct {
				Kind, Name string
				Aliases    []string
			}
			Databases []string
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		_, text, _ := run(t, "", args, registerGuests)
		var want, names []string
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "or "))
			if !strings.HasSuffix(line, ":") && line != "none" {
				want = append(want, strings.TrimSuffix(line, "://"))
			}
		}
		for _, f := range got.Factories {
			names = append(append(names, f.Name), f.Aliases...)
		}
		if names = append(names, got.Databases...); !slices.Equal(names, want) {
			t.Errorf("%s: got %q, want %q", line, names, want)
		}
	}
	_, out, _ := run(t, "", []string{"version", "--json"})
	v, _ := documented(t, "version").check(t, out).(map[string]any)
	if v["go"] != runtime.Version() || v["os"] != runtime.GOOS || v["version"] == "" {
		t.Errorf("got %v", v)
	}
}

// A sarifFile is the part of SARIF 2.1.0 whose rules are checked below.
type sarifFile struct {
	Schema  string `json:"$schema"`
	Version string
	Runs    []struct {
		Tool struct {
			Driver struct {
				Name, Version, InformationURI string
				Rules                         []struct {
					ID               string
					ShortDescription struct{ Text string }
				}
			}
		}
		Invocations []struct{ ExecutionSuccessful *bool }
		ColumnKind  string
		Results     []struct {
			RuleID    string
			RuleIndex int
			Level     string
			Message   struct{ Text string }
			Locations []struct {
				PhysicalLocation *struct {
					ArtifactLocation struct{ URI string }
					Region           struct{ StartLine int }
				}
				LogicalLocations []struct{ FullyQualifiedName string }
			}
		}
	}
}

func TestSARIF(t *testing.T) {
	t.Parallel()
	dir, path := writeSite(t, brokenSite)
	code, out, errs := run(t, "", []string{"check", "--sarif", path, "nowhere=1"}, myapp.Register)
	if code != serve.ExitFailed || errs != "" {
		t.Errorf("exit code %d, %s", code, errs)
	}
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	var log sarifFile
	if err := decoder.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || log.Schema != "https://json.schemastore.org/sarif-2.1.0.json" ||
		len(log.Runs) != 1 {
		t.Fatalf("got %s", out)
	}
	run := log.Runs[0]
	driver := run.Tool.Driver
	if driver.Name != "pasteline" || !slices.Contains([]string{
		"utf16CodeUnits", "unicodeCodePoints",
	}, run.ColumnKind) || len(run.Invocations) != 1 || !*run.Invocations[0].ExecutionSuccessful {
		t.Errorf("got %s", out)
	}
	ids := map[string]bool{}
	for _, rule := range driver.Rules {
		if ids[rule.ID] || rule.ShortDescription.Text == "" {
			t.Errorf("rule %q is there twice, or without a description", rule.ID)
		}
		ids[rule.ID] = true
	}
	var got []string
	for _, r := range run.Results {
		if r.RuleIndex < 0 || r.RuleIndex >= len(driver.Rules) ||
			driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" ||
			!slices.Contains([]string{"error", "warning", "note"}, r.Level) ||
			len(r.Locations) != 1 || r.Locations[0].PhysicalLocation == nil {
			t.Fatalf("got %+v", r)
		}
		at, section := r.Locations[0].PhysicalLocation, ""
		for _, l := range r.Locations[0].LogicalLocations {
			section = l.FullyQualifiedName
		}
		file, ok := strings.CutPrefix(at.ArtifactLocation.URI, "file://"+filepath.ToSlash(dir)+"/")
		if !ok || at.Region.StartLine < 1 {
			t.Errorf("got the location %+v", *at)
		}
		got = append(got, fmt.Sprintf("%s %s %s:%d %s", r.Level, r.RuleID, file,
			at.Region.StartLine, section))
	}
	want := []string{
		"error unknown-setting site.ini:9 filter:tm/commit_vetto",
		"error setting site.ini:12 filter:retry/tries",
		"error not-registered site.ini:17 app:wiki/use",
		"warning advice site.ini:21 loging",
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	_, path = writeSite(t, variety)
	closed := 0
	code, out, errs = runCommand(t, "check --sarif INI nowhere=1 -n router", path,
		registerVariety(&closed))
	if code != serve.ExitOK || errs != "" || !strings.Contains(out, `"startLine": 1`) {
		t.Errorf("a finding without a file: exit code %d, %s%s", code, out, errs)
	}
	if strings.Contains(out, "null") {
		t.Errorf("SARIF has no null:\n%s", out)
	}
}

func runCommand(t *testing.T, line, path string, register ...func(*pipeline.Registry)) (code int,
	out, errs string,
) {
	t.Helper()
	return run(t, "", strings.Fields(strings.ReplaceAll(line, "INI", path)), register...)
}

// settingsSchema is the output of list --schema, with the names of list.
func settingsSchema(t *testing.T, register ...func(*pipeline.Registry)) jsonSchema {
	t.Helper()
	code, out, errs := run(t, "", []string{"list", "--schema"}, register...)
	if code != serve.ExitOK || errs != "" {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	return parseSchema(t, []byte(out))
}

// Each registered factory is in the schema, by each of its names, with all of its settings; each
// default is valid, and a secret is marked and has none.
func TestSettingsSchema(t *testing.T) {
	t.Parallel()
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	myapp.Register(registry)
	schema := settingsSchema(t, myapp.Register)
	kinds := schema.root["properties"].(map[string]any)
	named := 0
	for _, info := range registry.DescribeAll() {
		names := kinds[string(info.Kind)].(map[string]any)["properties"].(map[string]any)
		for _, name := range append([]string{info.Name}, info.Aliases...) {
			named++
			ref, _ := names[name].(map[string]any)
			section, err := schema.resolve(ref)
			if ref == nil || err != nil {
				t.Errorf("%s %s: %v", info.Kind, name, err)
				continue
			}
			properties, _ := section["properties"].(map[string]any)
			if len(properties) != len(info.Settings) {
				t.Errorf("%s: %d settings, want %d", name, len(properties), len(info.Settings))
			}
			if section["additionalProperties"] != info.Others {
				t.Errorf("%s: others allowed: %v", name, section["additionalProperties"])
			}
			for _, s := range info.Settings {
				property := properties[s.Key].(map[string]any)
				if s.HasDefault && !s.Secret {
					for _, v := range []any{property["default"], s.Default} {
						for _, fault := range schema.faults(property, name+" "+s.Key, v) {
							t.Errorf("default %v: %s", v, fault)
						}
					}
				}
				_, hasDefault := property["default"]
				secret, _ := property["writeOnly"].(bool)
				required, _ := section["required"].([]any)
				if secret != s.Secret || hasDefault != (s.HasDefault && !s.Secret) ||
					slices.Contains(required, any(s.Key)) != s.Required ||
					property["description"] != s.Help && s.Help != "" {
					t.Errorf("%s %s: got %v for %+v", name, s.Key, property, s)
				}
			}
		}
	}
	for _, names := range kinds {
		if all, _ := names.(map[string]any)["properties"].(map[string]any); names != nil {
			named -= len(all)
		}
	}
	logging := kinds["logging"].(map[string]any)["properties"].(map[string]any)
	if named += len(logging); named != 0 {
		t.Errorf("the schema has %d names that are not registered", -named)
	}
	for _, property := range logging {
		property := property.(map[string]any)
		for _, fault := range schema.faults(property, "logging", property["default"]) {
			t.Error(fault)
		}
	}
}

// The settings of the files that the loader accepts are valid, and wrong ones are not.
func TestSettingsSchemaOfFiles(t *testing.T) {
	t.Parallel()
	schema := settingsSchema(t, myapp.Register)
	archive, err := txtar.ParseFile("testdata/good.txtar")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	var check func(n *shownNode)
	check = func(n *shownNode) {
		if n == nil {
			return
		}
		if n.Use != nil {
			conf := map[string]any{}
			for key, value := range n.LocalConf {
				conf[key] = value
			}
			checked++
			for _, fault := range schema.faults(schema.root, "",
				map[string]any{n.Kind: map[string]any{*n.Use: conf}}) {
				t.Error(fault)
			}
		}
		for _, part := range append(n.Filters, n.App, n.Filter, n.Next) {
			check(part)
		}
	}
	for _, file := range archive.Files {
		_, path := writeSite(t, string(file.Data))
		for _, line := range []string{"show --json --reveal INI", "show --json --server INI"} {
			if code, out, _ := runCommand(t, line, path, myapp.Register); code == serve.ExitOK {
				check(decode(t, []byte(out)))
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d sections", checked)
	}
	for _, wrong := range []string{
		`{"filter": {"egg:repoze.retry#retry": {"trie": 3}}}`,
		`{"filter": {"egg:repoze.retry#retry": {"tries": -1}}}`,
		`{"filter": {"egg:repoze.retry#retry": {"delay": "soon"}}}`,
		`{"filter": {"egg:pasteline#browserid": {"cookie_samesite": "laks"}}}`,
		`{"server": {"egg:Paste#http": {"max_header_bytes": "much"}}}`,
		`{"app": {"egg:myapp#app": {}}}`,
		`{"app": {"egg:nowhere": {}}}`,
		`{"logging": {"format": "xml"}}`,
	} {
		if schema.faults(schema.root, "", parseJSON(t, []byte(wrong))) == nil {
			t.Errorf("valid: %s", wrong)
		}
	}
}
