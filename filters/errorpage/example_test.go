package errorpage_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/pasteline/pasteline/filters/errorpage"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
)

// A file that is being developed: curl on the same machine gets the cause of a failure.
func Example() {
	file, err := os.CreateTemp("", "development-*.ini")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	fmt.Fprint(file, "[DEFAULT]\ndebug = true\n[app:main]\nuse = egg:stock\n")

	r := pipeline.NewRegistry()
	errorpage.Register(r)
	pipeline.App(r, "egg:stock", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return handler.Func(func(http.ResponseWriter, *http.Request) error {
			return fmt.Errorf("count the apples: %w", errors.New("the basket is empty"))
		}), nil
	})
	p, err := pipeline.Load(context.Background(), file.Name(), pipeline.Options{Registry: r})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	request := httptest.NewRequest(http.MethodGet, "http://localhost/apples", nil)
	request.RemoteAddr = "127.0.0.1:50000"
	request.Header.Set("Accept", "*/*")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, request)
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "error") || strings.HasPrefix(line, "caused") {
			fmt.Print(line)
		}
	}
	// Output:
	// error: count the apples: the basket is empty
	// caused by *errors.errorString: the basket is empty
}
