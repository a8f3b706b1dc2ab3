package retry_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A program is a handler: each byte is one call on its response writer.
type program struct {
	steps []byte

	log      []string // the results of the calls
	panicked bool
	trailer  bool // the program has set a trailer that it did not announce
	sized    bool // the program has set Content-Length
}

func (p *program) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	*p = program{steps: p.steps}
	took := func(n int64, err error) { p.log = append(p.log, fmt.Sprint(n, " ", err)) }
	for i, step := range p.steps {
		text := strings.Repeat(string(rune('a'+i%26)), [...]int{5, 700, 3000, 40 << 10}[step>>6])
		name := "X-" + string(rune('A'+step>>6))
		switch step & 31 {
		case 0:
			w.Header().Set(name, fmt.Sprint(i))
		case 1:
			w.Header().Add(name, fmt.Sprint(i))
		case 2:
			w.Header().Del([...]string{"X-Outer", "X-Outer-Too", "X-A", "Content-Length"}[step>>6])
		case 3:
			w.WriteHeader([...]int{200, 204, 304, 404}[step>>6])
		case 4, 5:
			n, err := w.Write([]byte(text))
			took(int64(n), err)
		case 6, 7:
			n, err := io.WriteString(w, text)
			took(int64(n), err)
		case 8:
			if p.sized { // here net/http accepts more than Content-Length, and the filters don't
				continue
			}
			_, err := io.Copy(w, onlyReader{strings.NewReader(text)})
			took(0, err) // the number of accepted bytes depends on the buffers
		case 9:
			took(0, http.NewResponseController(w).Flush())
		case 10:
			w.(http.Flusher).Flush()
		case 11:
			p.trailer = true
			w.Header().Set(http.TrailerPrefix+name, fmt.Sprint(i))
		case 12:
			w.Header().Add("Trailer", "T-A, t-b")
		case 13:
			w.Header().Set("T-A", fmt.Sprint(i))
		case 14:
			w.Header().Set("T-B", fmt.Sprint(i))
		case 15:
			p.sized = true
			w.Header().Set("Content-Length", fmt.Sprint([...]int{5, 10, 705, 3000}[step>>6]))
		case 16:
			w.Header()["Content-Type"] = nil
		case 17:
			if values := w.Header()[name]; len(values) > 0 {
				values[0] = "changed"
			}
		case 18:
			n, err := w.Write(nil)
			took(int64(n), err)
		case 19:
			if step>>6 == 3 {
				p.panicked = true
				panic(http.ErrAbortHandler)
			}
		case 20:
			w.Header().Set("Connection", "close")
		case 21:
			w.Header().Set("Content-Type", "application/json")
		case 22:
			clear(w.Header())
		}
	}
}

// A rawAnswer is an answer as it was received from the connection.
type rawAnswer struct {
	Status  string
	Header  http.Header
	Body    string
	Trailer http.Header
	Err     string
	Log     []string
}

// tell sends a request as text, and reads the answer.
func tell(t *testing.T, server *httptest.Server, request string) (a rawAnswer) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(bytes.NewReader(all))
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		a.Err = "no answer"
		return a
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		a.Err = "cut off"
	}
	rest, err := io.ReadAll(reader)
	if len(rest) > 0 || err != nil {
		t.Errorf("%q, %v after the answer", rest, err)
	}
	response.Header.Del("Date")
	a.Status, a.Header, a.Body, a.Trailer = response.Status, response.Header, string(body), response.Trailer
	if len(a.Trailer) == 0 {
		a.Trailer = nil
	}
	return a
}

// FuzzResponsesAreThoseOfTheBareHandler is TestResponsesAreThoseOfTheBareHandler with random
// handlers.
func FuzzResponsesAreThoseOfTheBareHandler(f *testing.F) {
	f.Add([]byte{4, 0, 9, 4}, byte(0))
	f.Add([]byte{12, 4, 13, 11}, byte(1))
	f.Add([]byte{15, 4, 6}, byte(2))
	f.Add([]byte{43, 50, 118, 48}, byte(3)) // a trailer that is deleted again
	f.Add([]byte{104, 43}, byte(0))         // a trailer after a short body
	f.Add([]byte{36, 43}, byte(1))
	f.Add([]byte{47, 164, 36}, byte(0)) // a write that is too long, then one that fits
	f.Add([]byte{4, 0, 211}, byte(0))   // a panic
	f.Fuzz(func(t *testing.T, steps []byte, request byte) {
		if len(steps) > 24 {
			return
		}
		text := [...]string{
			"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
			"GET / HTTP/1.0\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
		}[request%4]
		p := &program{steps: steps}
		var served atomic.Pointer[http.Handler]
		ended := make(chan struct{}, 1)
		server := serve(t, "HTTP/1.1",
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { ended <- struct{}{} }()
				w.Header().Set("X-Outer", "1")
				w.Header().Set("X-Outer-Too", "1")
				(*served.Load()).ServeHTTP(w, r)
			}))
		play := func(h http.Handler) rawAnswer {
			served.Store(&h)
			a := tell(t, server, text)
			<-ended
			a.Log = p.log
			return a
		}
		want := play(p)
		for name, chain := range chains(t) {
			got := play(chain(p))
			if p.panicked && got.Err == "no answer" {
				continue // the answer of the bare handler may be incomplete
			}
			// net/http loses an unannounced trailer after a short body, and the filters don't
			if want.Trailer == nil {
				got.Trailer = nil
				if p.trailer && got.Header.Get("Content-Length") == "" {
					want.Header.Del("Content-Length")
				}
			}
			if want.Header.Get("Content-Length") == "" && (strings.HasPrefix(text, "HEAD") ||
				got.Header.Get("Content-Length") == fmt.Sprint(len(got.Body))) {
				got.Header.Del("Content-Length")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %d %.4q -bare +filtered:\n%s", name, steps, text, diff)
			}
		}
	})
}
