package handover_test

import (
	"fmt"
	"net"

	"github.com/pasteline/pasteline/internal/handover"
)

// A process that no keeper has started opens its sockets as usual.
func Example() {
	l, err := handover.Listen("tcp 127.0.0.1:0", func() (net.Listener, error) {
		return net.Listen("tcp", "127.0.0.1:0")
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	handover.Settle()
	fmt.Println(l.Addr().Network())
	// Output: tcp
}
