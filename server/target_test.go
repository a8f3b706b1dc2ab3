package server_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/server"
)

// A client can write a whole URL into the request line. Its host counts, as HTTP has it; its scheme
// is what anybody can claim, and says nothing of how the request came.
func TestRequestTarget(t *testing.T) {
	t.Parallel()
	s := running{addr: start(t, newServer(t, server.Config{}),
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tell(w, r)
			fmt.Fprintf(w, " url=%q uri=%q", r.URL, r.RequestURI)
		}))[0].String()}
	const bad = "400 Bad Request"
	for _, tt := range []struct{ name, line, want string }{
		{
			"path", "GET /x?a=1",
			`HTTP/1.1 http://site/x script="" path="/x" url="/x?a=1" uri="/x?a=1"`,
		},
		{
			"own scheme", "GET http://other/x?a=1",
			`HTTP/1.1 http://other/x script="" path="/x" url="/x?a=1" uri="http://other/x?a=1"`,
		},
		{
			"claimed scheme", "GET https://other/x",
			`HTTP/1.1 http://other/x script="" path="/x" url="/x" uri="https://other/x"`,
		},
		{
			"no path", "GET http://other",
			`HTTP/1.1 http://other/ script="" path="/" url="/" uri="http://other"`,
		},
		{
			"a name and a password", "GET http://a:b@other/",
			`HTTP/1.1 http://other/ script="" path="/" url="/" uri="http://a:b@other/"`,
		},
		{"neither path nor host", "GET http:x", bad},
		{"a tunnel", "CONNECT other:443", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := "site"
			if address, ok := strings.CutPrefix(tt.line, "CONNECT "); ok {
				host = address
			}
			c := s.connect(t, tt.line+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			status, got := read(t, response)
			if status != http.StatusOK {
				got = fmt.Sprint(status, " ", got)
			}
			got, _, _ = strings.Cut(strings.TrimSpace(got), "\n")
			before, after, _ := strings.Cut(got, " from=")
			if _, rest, ok := strings.Cut(after, " "); ok {
				before += " " + rest
			}
			if before != tt.want {
				t.Errorf("got %s, want %s", before, tt.want)
			}
		})
	}
}
