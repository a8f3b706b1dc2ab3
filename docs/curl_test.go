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

// curl implements the options of curl that the documents use, for machines without it.
func curl() {
	flags := flag.NewFlagSet("curl", flag.ExitOnError)
	flags.Bool("s", false, "no progress meter, which this curl never shows")
	include := flags.Bool("i", false, "print the status and the header, too")
	follow := flags.Bool("L", false, "follow redirects")
	method := flags.String("X", "", "the method")
	data := flags.String("d", "", "the body, a form; implies POST")
	var jar cookieFiles
	flags.StringVar(&jar.send, "b", "", "the file with the cookies to send")
	flags.StringVar(&jar.keep, "c", "", "the file for the cookies of the response")
	header := flags.String("H", "", "a header field")
	_ = flags.Parse(os.Args[1:]) // exits on an error
	hasData := false
	flags.Visit(func(f *flag.Flag) { hasData = hasData || f.Name == "d" })
	if *method == "" && hasData {
		*method = http.MethodPost
	}
	request, err := newRequest(flags.Arg(0), *method, *data, *header, hasData)
	if err == nil {
		err = fetch(request, jar, *include, *follow)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl:", err)
		os.Exit(1)
	}
}

func newRequest(target, method, data, header string, hasData bool) (*http.Request, error) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	request, err := http.NewRequest(method, target, strings.NewReader(data))
	if err != nil {
		return nil, err
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		request.Header.Set(name, value)
	}
	if hasData {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return request, nil
}

// A cookieFiles names the files with the cookies to send and for those received.
type cookieFiles struct{ send, keep string }

func (f cookieFiles) addTo(request *http.Request) {
	if cookies, err := os.ReadFile(f.send); err == nil {
		request.Header.Set("Cookie", string(cookies))
	}
}

func (f cookieFiles) update(response *http.Response) error {
	cookies := response.Cookies()
	if f.keep == "" || len(cookies) == 0 {
		return nil
	}
	return os.WriteFile(f.keep, []byte(cookies[0].Name+"="+cookies[0].Value), 0o600)
}

// fetch sends request and prints the response, or, with follow, the one that redirects lead to.
func fetch(request *http.Request, jar cookieFiles, include, follow bool) error {
	request.Header.Set("User-Agent", "curl")
	jar.addTo(request)
	response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request) // follows none
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := jar.update(response); err != nil {
		return err
	}
	if target, err := response.Location(); err == nil && follow {
		next, err := http.NewRequest(http.MethodGet, target.String(), nil)
		if err != nil {
			return err
		}
		return fetch(next, jar, include, follow)
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
