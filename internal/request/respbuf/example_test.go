package respbuf_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/request/respbuf"
)

func Example() {
	recorder := httptest.NewRecorder()
	held, ctx := respbuf.Begin(context.Background(), recorder, respbuf.Options{})
	_ = ctx // for the handler's request

	fmt.Fprint(held, "Hello")
	fmt.Printf("held: %q\n", recorder.Body)
	if err := held.Send(); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("sent: %q\n", recorder.Body)
	// Output:
	// held: ""
	// sent: "Hello"
}
