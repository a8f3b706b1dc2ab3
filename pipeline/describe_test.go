package pipeline_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

func TestDescribeSettings(t *testing.T) {
	t.Parallel()
	type settings struct {
		Format string            `default:"text" oneof:"text json" help:"how lines look"`
		Tries  int               `required:"true" min:"1"`
		Rest   map[string]string `ini:"*"`
	}
	want := []tree.SettingInfo{
		{
			Key: "format", Type: "text", Default: "text", HasDefault: true,
			OneOf: []string{"text", "json"}, Help: "how lines look",
		},
		{Key: "tries", Type: "a whole number", Required: true, OneOf: []string{}, Min: "1"},
	}
	if diff := gocmp.Diff(want, pipeline.SettingsOf[settings]()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDescribeSettingsOfNoStruct(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	pipeline.SettingsOf[int]()
}
