package pipeline_test

import (
	"net/http"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// The warning about a line that does not count ends with the value that applies.
func TestShadowedSaysWhatApplies(t *testing.T) {
	t.Parallel()
	type settings struct {
		Port  int             `default:"8080"`
		Host  string          `help:"here if not given"`
		Color string          `default:"red"`
		Token pipeline.Secret `default:"x"`
	}
	r := pipeline.NewRegistry()
	pipeline.App(r, "egg:x", func(*pipeline.Build, settings) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	opts := text(r, map[string]string{
		"site.ini": `[DEFAULT]
host = there
color = blue
token = abc
[app:main]
use = config:base.ini
port = 1
host = here
color = blue
token = def
`,
		"base.ini": "[app:main]\nuse = egg:x\ncolor = green\ntoken = ghi\n",
	})
	opts.Global = map[string]string{"port": "2"}
	resolved, err := tree.Resolve("site.ini", tree.KindApp, opts.Tree())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range resolved.Warnings() {
		got = append(got, w.String())
	}
	want := []string{
		`base.ini:3: [app:main] color: ignored, because [DEFAULT] (site.ini:3) has it too; take ` +
			`it out there; the default applies, red`,
		`base.ini:4: [app:main] token: ignored, because [DEFAULT] (site.ini:4) has it too; take ` +
			`it out there; the default applies`,
		`site.ini:7: [app:main] port: ignored, because it is given from outside; write --set ` +
			`app:main.port=… to replace this line; the default applies, 8080`,
		`site.ini:8: [app:main] host: ignored, because [DEFAULT] (site.ini:2) has it too; take ` +
			`it out there; the default applies (here if not given)`,
		`site.ini:9: [app:main] color: ignored, because [DEFAULT] (site.ini:3) has it too; take ` +
			`it out there; the default applies, red`,
		`site.ini:10: [app:main] token: ignored, because [DEFAULT] (site.ini:4) has it too; take ` +
			`it out there; the default applies`,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
