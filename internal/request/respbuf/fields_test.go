package respbuf_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"testing"

	"github.com/pasteline/pasteline/internal/request/respbuf"
)

// A header that was taken down stays as it was, whatever becomes of the original and of copies.
func TestFields(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 23, 24, 25, 100} {
		header := http.Header{}
		for i := range size {
			name := fmt.Sprintf("X-%d", i)
			header[name] = []string{name + "a", name + "b", name + "c"}[: i%4 : i%4]
		}
		want := header.Clone()
		var fields respbuf.Fields
		fields.Take(header)
		spoil := func(header http.Header) {
			for name, values := range maps.Clone(header) {
				for i := range values {
					values[i] = "changed"
				}
				delete(header, name)
			}
			header.Set("X-New", "new")
		}
		spoil(header)
		for range 2 {
			got := fields.Header()
			if len(got) != size || !reflect.DeepEqual(got, want) {
				t.Errorf("%d fields: got %v, want %v", size, got, want)
			}
			spoil(got)
		}
	}
}
