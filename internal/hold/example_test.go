package hold_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/hold"
)

func Example() {
	recorder := httptest.NewRecorder()
	held, ctx := hold.Begin(context.Background(), recorder, hold.Options{})
	_ = ctx // for the handler's request

	fmt.Fprint(held, "Hello")
	fmt.Printf("held: %q\n", recorder.Body)
	if err := held.Release(); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("sent: %q\n", recorder.Body)
	// Output:
	// held: ""
	// sent: "Hello"
}
