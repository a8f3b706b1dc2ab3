package convert_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/convert"
)

// The results that PasteDeploy's own converters gave were recorded; see
// ../testdata/pastedeploy.json.
func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../testdata/pastedeploy.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Converters []struct {
			Function string          `json:"function"`
			Args     []any           `json:"args"`
			Result   any             `json:"result"`
			Error    json.RawMessage `json:"error"`
		} `json:"converters"`
	}
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	converted, text := 0, 0
	for _, c := range g.Converters {
		converted++
		name := fmt.Sprintf("%s%q", c.Function, c.Args)
		arg, ok := c.Args[0].(string)
		if !ok {
			continue // the original passes on what is no string; a setting always is one
		}
		text++
		var got any
		var err error
		switch c.Function {
		case "asbool":
			got, err = convert.AsBool(arg)
		case "asint":
			var n int64
			n, err = convert.AsInt(arg)
			got = float64(n)
		case "aslist":
			if len(c.Args) == 3 && c.Args[1] != nil {
				continue // strip = False with a separator is strings.Split
			}
			list := convert.AsList(arg)
			if len(c.Args) == 2 {
				list = convert.SplitList(arg, c.Args[1].(string))
			}
			anys := []any{}
			for _, s := range list {
				anys = append(anys, s)
			}
			got = anys
		default:
			t.Fatalf("unknown function %s", c.Function)
		}
		if (err != nil) != (c.Error != nil) {
			t.Errorf("%s: error %v, want %s", name, err, c.Error)
		} else if err == nil {
			if diff := gocmp.Diff(c.Result, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
	if converted != 70 || text < 40 {
		t.Errorf("%d converters, %d with text", converted, text)
	}
}
