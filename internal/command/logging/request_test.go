package logging_test

import (
	"strings"
	"testing"

	"github.com/pasteline/pasteline/observe"
)

// A record of a request has its id, in every format; others have none.
func TestRequestOfRecord(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"text": " request=id-1\n", "console": "request=id-1", "json": `"request":"id-1"`,
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[logging]\nformat = "+format+"\n")
			log := s.open()
			logger := of(log, "app:main")
			ctx := observe.NewContext(t.Context(), observe.NewRequest("id-1", nil))
			logger.InfoContext(ctx, "of a request")
			logger.InfoContext(t.Context(), "of a job")
			got := s.stderr.String()
			first, second, _ := strings.Cut(got, "of a job")
			if !strings.Contains(first, want) || strings.Contains(second, "id-1") {
				t.Errorf("got\n%s\nwant %s in the first record alone", got, want)
			}
		})
	}
}
