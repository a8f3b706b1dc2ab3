package show_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

var update = flag.Bool("update", false, "write what the drawings should be")

// testRegistry has some factories of testdata/*.ini; others are left unregistered on purpose.
func testRegistry(t *testing.T) *pipeline.Registry {
	t.Helper()
	r := pipeline.NewRegistry()
	type login struct {
		SecretKey     pipeline.Secret
		SecretKeyFile string
		CookieKey     string `ini:"cookie_key"` // no secret, whatever it is called
		Tries         int    `default:"3"`
		Pin           string `secret:"true"`
	}
	pipeline.Filter(r, "egg:login", func(*pipeline.Build, login) (func(http.Handler) http.Handler, error) {
		return nil, errors.New("not here")
	})
	type places struct {
		Places map[string]string `ini:"*"`
	}
	pipeline.Composite(r, "egg:Paste#urlmap", func(*pipeline.Build, places) (http.Handler, error) { return nil, errors.New("not here") })
	pipeline.App(r, "egg:page", func(*pipeline.Build, struct{ Title string }) (http.Handler, error) {
		return nil, errors.New("not here")
	})
	type port struct{ Port int }
	pipeline.ServerFactory(r, "egg:Paste#http", func(*pipeline.Build, port) (pipeline.Server, error) { return nil, errors.New("not here") })
	return r
}

var formats = map[string]func(*show.View, io.Writer) error{
	"txt": (*show.View).Text, "json": (*show.View).JSON, "dot": (*show.View).DOT, "svg": (*show.View).SVG,
}

func resolve(t *testing.T, file string, kind tree.Kind, registry *pipeline.Registry) (*tree.Tree, error) {
	t.Helper()
	return tree.Resolve(file, kind, tree.Options{Catalog: registry, Global: map[string]string{"region": "north"}})
}

// TestDrawings compares with testdata; -update writes it anew.
func TestDrawings(t *testing.T) {
	t.Parallel()
	registry := testRegistry(t)
	for name, opts := range map[string]show.Options{
		"site":          {Registry: registry},
		"site.reveal":   {Registry: registry, Reveal: true},
		"site.defaults": {Registry: registry, Defaults: true, Color: true},
		"server":        {Registry: registry},
	} {
		resolved, err := resolve(t, "testdata/site.ini", tree.KindApp, registry)
		if err != nil {
			t.Fatal(err)
		}
		if name == "server" {
			opts.Others = []*tree.Tree{resolved}
			if resolved, err = resolve(t, "testdata/site.ini", tree.KindServer, registry); err != nil {
				t.Fatal(err)
			}
		}
		here, err := filepath.Abs("testdata")
		if err != nil {
			t.Fatal(err)
		}
		for format, draw := range formats {
			t.Run(name+"."+format, func(t *testing.T) {
				t.Parallel()
				var b bytes.Buffer
				if err := draw(show.New(resolved, opts), &b); err != nil {
					t.Fatal(err)
				}
				got := strings.ReplaceAll(b.String(), here, "HERE")
				golden := filepath.Join("testdata", name+"."+format)
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(string(want), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if !opts.Reveal && strings.Contains(got, "hunter2") {
					t.Error("a secret is drawn")
				}
				if opts.Reveal && !strings.Contains(got, "hunter2") {
					t.Error("secrets are hidden in spite of Reveal")
				}
			})
		}
	}
}

// The golden set is what was recorded of what PasteDeploy makes of several hundred .ini files. Every tree of it that can be
// resolved is drawn in every format. Its factories are registered nowhere.
func TestGoldenSet(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs("../../../pipeline/testdata/pastedeploy")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../pipeline/testdata/pastedeploy.json")
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Cases []struct {
			ID         string            `json:"id"`
			URI        string            `json:"uri"`
			Type       tree.Kind         `json:"type"`
			Name       string            `json:"name"`
			RelativeTo string            `json:"relative_to"`
			GlobalConf map[string]string `json:"global_conf"`
			Context    json.RawMessage   `json:"context"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("@HERE@"), []byte(here)), &set); err != nil {
		t.Fatal(err)
	}
	drawn := 0
	for _, c := range set.Cases {
		resolved, err := tree.Resolve(c.URI, c.Type, tree.Options{Name: c.Name, Global: c.GlobalConf, RelativeTo: c.RelativeTo})
		if err != nil {
			continue
		}
		drawn++
		for _, reveal := range []bool{true, false} {
			view := show.New(resolved, show.Options{Reveal: reveal, Defaults: true})
			checkJSON(t, c.ID, view, resolved.Root, reveal)
			checkSVG(t, c.ID, view)
			for _, format := range []string{"txt", "dot"} {
				if err := formats[format](view, io.Discard); err != nil {
					t.Errorf("%s: %s: %v", c.ID, format, err)
				}
			}
		}
	}
	if drawn < 200 {
		t.Errorf("only %d trees of %d could be resolved", drawn, len(set.Cases))
	}
}

// jsonNode has the keys that a node may have, and with DisallowUnknownFields no others.
type jsonNode struct {
	Kind       tree.Kind          `json:"kind"`
	Name       *string            `json:"name"`
	Use        *string            `json:"use"`
	Protocol   *string            `json:"protocol"`
	Registered *bool              `json:"registered"`
	GlobalConf *map[string]string `json:"global_conf"`
	LocalConf  *map[string]string `json:"local_conf"`
	Source     *string            `json:"source"`
	Filters    []*jsonNode        `json:"filters"`
	App        *jsonNode          `json:"app"`
	Filter     *jsonNode          `json:"filter"`
	Next       *jsonNode          `json:"next"`
}

func checkJSON(t *testing.T, file string, view *show.View, root *tree.Node, reveal bool) {
	t.Helper()
	var b bytes.Buffer
	if err := view.JSON(&b); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var n jsonNode
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if reveal {
		same(t, file, &n, root)
	}
}

// same checks that the JSON has what the tree has, and nothing that does not apply.
func same(t *testing.T, file string, got *jsonNode, want *tree.Node) {
	t.Helper()
	if got == nil || want == nil {
		if got != nil || want != nil {
			t.Errorf("%s: a part is there in the tree or in the JSON only", file)
		}
		return
	}
	virtual := want.Kind == tree.KindPipeline || want.Kind == tree.KindFilterApp || want.Kind == tree.KindFilterWith
	switch {
	case got.Kind != want.Kind || *got.Name != want.Name:
		t.Errorf("%s: %s %s is %s %s", file, want.Kind, want.Name, got.Kind, *got.Name)
	case virtual != (got.Use == nil) || virtual != (got.Registered == nil):
		t.Errorf("%s: %s: use and registered are for what has a factory", file, want.Name)
	case !virtual && *got.Use != want.Factory.String():
		t.Errorf("%s: %s: use = %s", file, want.Name, *got.Use)
	case (want.Kind == tree.KindPipeline) != (got.Filters != nil):
		t.Errorf("%s: %s: filters is for pipelines", file, want.Name)
	}
	for conf, values := range map[*tree.Conf]*map[string]string{want.GlobalConf: got.GlobalConf, want.LocalConf: got.LocalConf} {
		if diff := gocmp.Diff(conf.Map(), *values); diff != "" {
			t.Errorf("%s: %s (-want +got):\n%s", file, want.Name, diff)
		}
	}
	if len(got.Filters) != len(want.Filters) {
		t.Fatalf("%s: %s: %d filters, want %d", file, want.Name, len(got.Filters), len(want.Filters))
	}
	for i := range got.Filters {
		same(t, file, got.Filters[i], want.Filters[i])
	}
	same(t, file, got.App, want.App)
	same(t, file, got.Filter, want.Filter)
	same(t, file, got.Next, want.Next)
}

// checkSVG checks that the picture is well-formed, and that all is inside of it.
func checkSVG(t *testing.T, file string, view *show.View) {
	t.Helper()
	var b bytes.Buffer
	if err := view.SVG(&b); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	type rect struct {
		X      int `xml:"x,attr"`
		Y      int `xml:"y,attr"`
		Width  int `xml:"width,attr"`
		Height int `xml:"height,attr"`
	}
	var picture struct {
		rect
		Boxes []rect `xml:"rect"`
	}
	if err := xml.Unmarshal(b.Bytes(), &picture); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(picture.Boxes) < 2 {
		t.Errorf("%s: an empty picture", file)
	}
	for _, r := range picture.Boxes {
		if r.X < 0 || r.Y < 0 || r.X+r.Width > picture.Width || r.Y+r.Height > picture.Height {
			t.Errorf("%s: %+v is outside of the picture, %d × %d", file, r, picture.Width, picture.Height)
		}
	}
}
