#!/usr/bin/env bash
# github.com/alexedwards/scs/v2 v2.9.0, a session library, with its memory store; any Go from 1.21 on.
#
# LoadAndSave saves the session when the handler writes the first byte of the response, and not again when
# the handler returns. A Put after that changes the session in memory only: the request succeeds, no error
# reaches ErrorFunc, and the next request finds the old value. So a handler that streams, or a middleware
# that counts after next.ServeHTTP, loses its session writes.
#
#	github.com/alexedwards/scs/v2 v2.9.0
#	expected: the counter is 1 after each request
#	seen: Put before the first byte: 200 OK, then 1; errors: 0
#	seen: Put after the first byte:  200 OK, then 0; errors: 0
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"

	"github.com/alexedwards/scs/v2"
)

func main() {
	fmt.Println("expected: the counter is 1 after each request")
	before, after := try("before"), try("after")
	fmt.Println("seen: Put before the first byte:", before)
	fmt.Println("seen: Put after the first byte: ", after)
	if before != "200 OK, then 1; errors: 0" || after != "200 OK, then 0; errors: 0" {
		fmt.Println("the behaviour has changed")
		os.Exit(1)
	}
}

// try counts a request of a new visitor, and returns the counter that the next one shows.
func try(when string) string {
	sessions := scs.New()
	errs := 0
	sessions.ErrorFunc = func(http.ResponseWriter, *http.Request, error) { errs++ }
	mux := http.NewServeMux()
	mux.HandleFunc("/begin", func(_ http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "n", 0)
	})
	mux.HandleFunc("/before", func(w http.ResponseWriter, r *http.Request) {
		sessions.Put(r.Context(), "n", sessions.GetInt(r.Context(), "n")+1)
		io.WriteString(w, "counted")
	})
	mux.HandleFunc("/after", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "counting")
		sessions.Put(r.Context(), "n", sessions.GetInt(r.Context(), "n")+1)
	})
	mux.HandleFunc("/n", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, sessions.GetInt(r.Context(), "n"))
	})
	server := httptest.NewServer(sessions.LoadAndSave(mux))
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	client := &http.Client{Jar: jar}
	get := func(path string) (status, body string) {
		resp, err := client.Get(server.URL + path)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		return resp.Status, string(text)
	}
	get("/begin")
	status, _ := get("/" + when)
	_, n := get("/n")
	return fmt.Sprintf("%s, then %s; errors: %d", status, n, errs)
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/alexedwards/scs/v2@v2.9.0 >/dev/null 2>&1
go list -m github.com/alexedwards/scs/v2
go run .
