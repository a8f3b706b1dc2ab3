//go:build unix

package docs_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// curl does what the documents use of curl, for machines that have none.
func curl() {
	flags := flag.NewFlagSet("curl", flag.ExitOnError)
	flags.Bool("s", false, "no progress meter; there is none")
	include := flags.Bool("i", false, "show the status and the header")
	method := flags.String("X", "", "the method")
	data := flags.String("d", "", "the body, a form")
	send := flags.String("b", "", "the file with the cookies to send")
	keep := flags.String("c", "", "the file for the cookies that come back")
	header := flags.String("H", "", "a header field")
	_ = flags.Parse(os.Args[1:]) // exits
	if err := fetch(flags.Arg(0), *method, *data, *header, *send, *keep, *include); err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
}

func fetch(target, method, data, header, send, keep string, include bool) error {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	if data != "" && method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequest(method, target, strings.NewReader(data))
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "curl")
	if name, value, ok := strings.Cut(header, ": "); ok {
		request.Header.Set(name, value)
	}
	if data != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookies, err := os.ReadFile(send); err == nil {
		request.Header.Set("Cookie", string(cookies))
	}
	response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request) // follows no redirect
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if cookies := response.Cookies(); keep != "" && len(cookies) > 0 {
		if err := os.WriteFile(keep, []byte(cookies[0].Name+"="+cookies[0].Value), 0o600); err != nil {
			return err
		}
	}
	if include {
		fmt.Printf("%s %s\r\n", response.Proto, response.Status)
		if err := response.Header.Write(os.Stdout); err != nil {
			return err
		}
		fmt.Print("\r\n")
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
