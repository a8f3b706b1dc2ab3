package pipeline_test

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// Every *.good.ini has beside it the tree that it composes to, with the source of each setting, and
// the warnings; every *.bad.ini the whole text of its errors.
func TestFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.*.ini")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			var got string
			if strings.HasSuffix(file, ".good.ini") {
				got = resolved(t, file)
			} else {
				got = errorsOf(t, file)
			}
			// The folder is another on every machine.
			here, err := filepath.Abs("testdata")
			if err != nil {
				t.Fatal(err)
			}
			got = strings.ReplaceAll(strings.ReplaceAll(got, here, "HERE"),
				"testdata"+string(filepath.Separator), "")
			golden := strings.TrimSuffix(file, ".ini") + ".txt"
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
		})
	}
}

func resolved(t *testing.T, file string) string {
	t.Helper()
	resolved, err := tree.Resolve(file, tree.KindApp,
		pipeline.Options{Registry: strictRegistry(t)}.Tree())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	write(&b, resolved.Root, "", "")
	for _, w := range resolved.Warnings() {
		fmt.Fprintf(&b, "warning: %v\n", w)
	}
	return b.String()
}

func write(b *strings.Builder, n *tree.Node, indent, role string) {
	fmt.Fprintf(b, "%s%s%s %s", indent, role, n.Kind, n.Name)
	if ref := n.Factory.String(); ref != "" && ref != n.Name {
		fmt.Fprintf(b, " = %s", ref)
	}
	if n.Protocol != "" {
		fmt.Fprintf(b, ", %s, registered: %v", n.Protocol, n.Registered)
	}
	fmt.Fprintf(b, " (%s:%d)\n", n.Source.File, n.Source.Line)
	for _, conf := range []struct {
		name string
		conf *tree.Conf
	}{{"global", n.GlobalConf}, {"local", n.LocalConf}} {
		for s := range conf.conf.All() {
			if s.Key == "here" || s.Key == "__file__" {
				continue
			}
			fmt.Fprintf(b, "%s    %s %s = %q (%s:%d [%s] %s)\n", indent, conf.name, s.Key, s.Value,
				s.File, s.Line, s.Section, s.Written)
		}
	}
	for _, filter := range n.Filters {
		write(b, filter, indent+"  ", "")
	}
	for _, part := range []struct {
		role string
		node *tree.Node
	}{{"app: ", n.App}, {"filter: ", n.Filter}, {"next: ", n.Next}} {
		if part.node != nil {
			write(b, part.node, indent+"  ", part.role)
		}
	}
}

func errorsOf(t *testing.T, file string) string {
	t.Helper()
	p, err := pipeline.Load(t.Context(), file, pipeline.Options{Registry: strictRegistry(t)})
	if err == nil {
		p.Close()
		t.Fatal("loaded")
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a e tells a secret: %v", err)
	}
	checkPositions(t, err, "testdata")
	return err.Error() + "\n"
}

type strictSettings struct {
	Tries    int             `default:"3" min:"1" help:"How often."`
	Delay    time.Duration   `default:"1s" max:"1m"`
	Pause    time.Duration   `default:"0" min:"0"`
	Size     pipeline.Bytes  `max:"2MB"`
	Mode     string          `oneof:"fast safe"`
	Ratio    float64         `min:"0" max:"1"`
	Log      bool            `default:"true"`
	Limit    uint16          `default:"80"`
	Password pipeline.Secret `required:"true" help:"Anything of eight characters or more."`
}

func (s strictSettings) Validate() error {
	if len(s.Password.Reveal()) < 8 {
		return errors.Join(
			&pipeline.Error{Key: "password", Err: errors.New("want eight characters or more")},
			&pipeline.Error{Key: "mode", Err: errors.New("with a short password there is no mode")},
		)
	}
	return nil
}

type strictApp struct {
	Number   int
	Password pipeline.Secret
	URI      string
}

// strictRegistry has factories whose settings can be wrong in every way.
func strictRegistry(t *testing.T) *pipeline.Registry {
	t.Helper()
	r := pipeline.NewRegistry()
	pipeline.Filter(r, "egg:strict",
		func(*pipeline.Build, strictSettings) (func(http.Handler) http.Handler, error) {
			return func(next http.Handler) http.Handler { return next }, nil
		})
	pipeline.App(r, "egg:strict", func(_ *pipeline.Build, s strictApp) (http.Handler, error) {
		switch {
		case s.Number == 13:
			return nil, fmt.Errorf("opening: %w", &pipeline.Error{
				Key: "number",
				Err: errors.New("not thirteen"),
			})
		case s.URI != "":
			return nil, &pipeline.Error{
				Key: "uri", Err: errors.New("no such database"),
				Hint: "start it",
			}
		}
		return http.NotFoundHandler(), nil
	})
	pipeline.App(r, "egg:wiki", func(*pipeline.Build,
		struct{},
	) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	type children struct {
		Paths []tree.Setting `ini:"*"`
	}
	pipeline.Composite(r, "egg:map", func(b *pipeline.Build, s children) (http.Handler, error) {
		var errs []error
		for _, path := range s.Paths {
			_, err := b.App(path.Value)
			errs = append(errs, err)
		}
		return http.NotFoundHandler(), errors.Join(errs...)
	})
	return r
}
