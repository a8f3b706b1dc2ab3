package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/pasteline/pasteline/server"
)

// A server on a free port, from the first request to the end.
func Example() {
	ctx := context.Background()
	s, err := server.New(server.Config{}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	addrs, err := s.Listen(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request,
		) {
			fmt.Fprint(w, "hello")
		}))
	}()
	response, err := http.Get("http://" + addrs[0].String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fmt.Println(string(text), err)
	fmt.Println(s.Shutdown(ctx), <-ended)
	// Output:
	// hello <nil>
	// <nil> <nil>
}
