package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/pipeline"
)

// StampSettings are the keys that a section of the filter may have.
type StampSettings struct {
	Header string `default:"X-Stamp" help:"The header that is added to every response."`
	Text   string `required:"true" help:"What the header says."`
}

// Validate checks rules that the tags can't express. The key gives the error its line in the file.
func (s StampSettings) Validate() error {
	if http.CanonicalHeaderKey(s.Header) != s.Header {
		return &pipeline.Error{
			Key: "header",
			Err: errors.New("want a header name, such as X-Stamp"),
		}
	}
	return nil
}

// Stamp makes the filter.
func Stamp(_ *pipeline.Build, s StampSettings) (func(http.Handler) http.Handler, error) {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(s.Header, s.Text)
			next.ServeHTTP(w, r)
		})
	}, nil
}

// A whole filter: its settings, the check of them, the filter, and a pipeline that uses it.
func ExampleFilter() {
	registry := pipeline.NewRegistry()
	pipeline.Filter(registry, "egg:stamp", Stamp)
	pipeline.App(registry, "egg:nothing", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	site := "[pipeline:main]\npipeline = stamp egg:nothing\n[filter:stamp]\nuse = " +
		"egg:stamp\ntext = seen\n"
	p, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry, ReadFile: func(string) ([]byte, error) { return []byte(site), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Code, w.Header().Get("X-Stamp"))
	// Output: 404 seen
}
