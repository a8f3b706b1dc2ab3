package translogger_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/pasteline/pasteline/filters/translogger"
)

func Example() {
	filter, err := translogger.New(translogger.Config{
		Output: os.Stdout,
		Format: `%(REMOTE_ADDR)s "%(REQUEST_METHOD)s %(REQUEST_URI)s" %(status)s %(bytes)s`,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := filter(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w,
			"Hello!")
	}))

	app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/page?q=1", nil))
	// Output: 192.0.2.1 "GET /page?q=1" 200 6
}
