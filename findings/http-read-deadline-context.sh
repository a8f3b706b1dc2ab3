#!/usr/bin/env bash
# net/http of Go 1.26.8 (the go command fetches that toolchain when it is another).
#
# A handler bounds the time in which the body may arrive, by ResponseController.SetReadDeadline. The request is read whole long before
# that. Over HTTP/1.1 the deadline nevertheless cancels the context of a request that has no body, while the client waits for
# the answer and gets it. A request with a body, read to its end before the deadline, is spared: the server then takes the deadline
# away, and only then begins to watch the connection, which for a request without a body it does before the handler. Over HTTP/2
# neither is cancelled.
#
#	go1.26.8
#	expected: a request that is read whole before its read deadline is not concerned by it
#	seen: HTTP/1.1 GET: the context of the handler: context canceled; the client, which still waits, reads 200 "read 0 bytes"
#	seen: HTTP/1.1 POST: the context of the handler: <nil>; the client, which still waits, reads 200 "read 10 bytes"
#	seen: HTTP/2.0 GET: the context of the handler: <nil>; the client, which still waits, reads 200 "read 0 bytes"
#	seen: HTTP/2.0 POST: the context of the handler: <nil>; the client, which still waits, reads 200 "read 10 bytes"
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	fmt.Println(runtime.Version())
	fmt.Println("expected: a request that is read whole before its read deadline is not concerned by it")
	changed := false
	for _, test := range []struct {
		method    string
		http2     bool
		cancelled bool
	}{
		{"GET", false, true}, {"POST", false, false}, {"GET", true, false}, {"POST", true, false},
	} {
		cause := make(chan error, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The body has two seconds to arrive. (It does at once.)
			if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
				fmt.Println("SetReadDeadline:", err)
				changed = true
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				fmt.Println("body:", err)
				changed = true
			}
			select { // some work, for longer than that
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
			cause <- context.Cause(r.Context())
			fmt.Fprintf(w, "read %d bytes", len(body))
		}))
		server.EnableHTTP2 = test.http2
		if test.http2 {
			server.StartTLS()
		} else {
			server.Start()
		}
		var body io.Reader
		if test.method == "POST" {
			body = strings.NewReader("ten bytes.")
		}
		request, err := http.NewRequest(test.method, server.URL, body)
		if err != nil {
			panic(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			panic(err)
		}
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			panic(err)
		}
		response.Body.Close()
		seen := <-cause
		fmt.Printf("seen: %s %s: the context of the handler: %v; the client, which still waits, reads %d %q\n",
			response.Proto, test.method, seen, response.StatusCode, answer)
		changed = changed || (seen != nil) != test.cancelled || response.StatusCode != 200
		server.Close()
	}
	if changed {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}
GO
unset GOFLAGS GOWORK
GOTOOLCHAIN=go1.26.8 go mod init finding 2>/dev/null
GOTOOLCHAIN=go1.26.8 go run .
