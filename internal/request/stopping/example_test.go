package stopping_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/internal/request/stopping"
)

func Example() {
	var servers stopping.Servers
	running := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		done := servers.Done(r)
		close(running)
		<-done
		fmt.Println("the stream ends")
	}))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if response, err := http.Get(server.URL); err == nil {
			response.Body.Close()
		}
	}()
	<-running
	if err := server.Config.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
	}
	<-answered
	// Output: the stream ends
}
