package sent_test

import (
	"fmt"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/request/sent"
)

func Example() {
	w := &sent.Writer{ResponseWriter: httptest.NewRecorder()}
	fmt.Println(w.Begun())
	fmt.Fprint(w, "hello")
	fmt.Println(w.Begun(), w.Status, w.Bytes, w.Flushed)
	// Output:
	// false
	// true 200 5 false
}
