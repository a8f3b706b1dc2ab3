package suggest_test

import (
	"testing"

	"github.com/pasteline/pasteline/internal/suggest"
)

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		candidates []string
	}{
		{"lvel", `did you mean "level"?`, []string{"level", "format"}},
		{"colour", "have: format, level", []string{"level", "format"}},
		{"colour", "there is none", nil},
	}
	for _, tt := range tests {
		if got := suggest.DidYouMean(tt.name, tt.candidates); got != tt.want {
			t.Errorf("%s of %q: got %s, want %s", tt.name, tt.candidates, got, tt.want)
		}
	}
}
