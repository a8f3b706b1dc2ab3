package tree_test

import (
	"errors"
	"testing"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// Text from a file, or from another error, never breaks the line of a message, and never shows a
// password.
func TestErrorText(t *testing.T) {
	t.Parallel()
	rule := errors.New("first\nsecond\x1b[2J")
	tests := []struct {
		name string
		err  *tree.Error
		want string
	}{
		{
			"all", &tree.Error{
				File: "f", Line: 2, Section: "app:x", Key: "k", Value: "v\n",
				Origin: "o", Err: rule, Hint: "h",
			},
			`f:2: [app:x] k = "v\n" (o): first\nsecond\x1b[2J; h`,
		},
		{
			"section", &tree.Error{File: "f", Line: 2, Section: "a\tb", Err: errors.New("odd")},
			`f:2: [a\tb]: odd`,
		},
		{"key alone", &tree.Error{Key: "k", Err: errors.New("odd")}, `k: odd`},
		{"nothing", &tree.Error{Err: errors.New("odd")}, `odd`},
		{"what nobody sees", &tree.Error{
			File: "f", Section: "app:\u00a0x\u2028",
			Err: errors.New("é \u202e"),
		}, `f: [app:\u00a0x\u2028]: é \u202e`},
		{"password", &tree.Error{
			Key: "k", Value: "postgres://u:p@ss/wd@host/db",
			Err: errors.New("odd"),
		}, `k = "postgres://***@host/db": odd`},
		{"password in a query", &tree.Error{
			Key: "k", Value: "host=h password=hunter2 user=u",
			Err: errors.New("odd"),
		}, `k = "host=h password=*** user=u": odd`},
		{"no password", &tree.Error{
			Key: "k", Value: "http://host:80/a@b",
			Err: errors.New("odd"),
		}, `k = "http://***@b": odd`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !errors.Is(tt.err, tt.err.Err) {
				t.Error("does not unwrap")
			}
		})
	}
}
