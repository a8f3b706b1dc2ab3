#!/usr/bin/env bash
# net/http of Go 1.26.8 (the go command fetches that toolchain when it is another).
#
# A client has connected and sent a request before Server.Shutdown is called; the last bytes of its header
# arrive while Shutdown runs. Shutdown waits for that connection, and the server reads the request to its
# end. Then it closes the connection without an answer: after each request that it has read, and before the
# handler, conn.serve returns if the server is shutting down. So a restart under load, behind a socket that
# stays open, loses requests that were sent before the signal, though every one of them was accepted. A
# request that has reached its handler is answered.
#
#	go1.26.8
#	expected: a request for which Shutdown waits is answered
#	seen: the header complete before Shutdown, the handler runs: 200 OK
#	seen: the header complete during Shutdown: unexpected EOF; Shutdown: <nil>
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"
)

func main() {
	fmt.Println(runtime.Version())
	fmt.Println("expected: a request for which Shutdown waits is answered")
	early := try("the header complete before Shutdown, the handler runs", true)
	late := try("the header complete during Shutdown", false)
	if early != "200 OK" || late != "unexpected EOF" {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}

func try(what string, complete bool) string {
	entered := make(chan bool, 1)
	down := make(chan bool)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-down
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	accepted := make(chan bool, 1)
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			accepted <- true
		}
	}
	go server.Serve(listener)

	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	<-accepted
	fmt.Fprint(client, "GET / HTTP/1.1\r\n")
	if complete {
		fmt.Fprint(client, "Host: localhost\r\n\r\n")
		<-entered
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(context.Background()) }()
	for { // until it has begun
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			break
		}
		c.Close()
		select {
		case <-accepted:
		case <-time.After(10 * time.Millisecond):
		}
	}
	close(down)
	if !complete {
		fmt.Fprint(client, "Host: localhost\r\n\r\n")
	}
	got := ""
	response, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		got = err.Error()
	} else {
		got = response.Status
	}
	fmt.Printf("seen: %s: %s; Shutdown: %v\n", what, got, <-ended)
	return got
}
GO
unset GOFLAGS GOWORK
GOTOOLCHAIN=go1.26.8 go mod init finding 2>/dev/null
GOTOOLCHAIN=go1.26.8 go run .
