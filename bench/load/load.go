// Package load has clients that send one request after the other, and measure the latencies. [Run]
// runs some at the same time.
package load

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Client is one browser in the same process as the handler, so that only the handler is measured.
// It is for one goroutine.
type Client struct {
	handler  http.Handler
	cookie   string
	requests map[string]*http.Request
	response Response
}

// NewClient returns a browser that has no cookie yet.
func NewClient(handler http.Handler) *Client {
	return &Client{handler: handler, requests: map[string]*http.Request{},
		response: Response{header: http.Header{}}}
}

// Clone returns another client with the same cookie: the same browser, in another tab.
func (c *Client) Clone() *Client { return c.On(c.handler) }

// On returns another client with the same cookie, that talks to another handler.
func (c *Client) On(handler http.Handler) *Client {
	clone := NewClient(handler)
	clone.cookie = c.cookie
	return clone
}

// Handler returns the handler that the client talks to.
func (c *Client) Handler() http.Handler { return c.handler }

// Cookie returns the Cookie field that the client sends.
func (c *Client) Cookie() string { return c.cookie }

// Do sends a request. The response is valid until the next one. A status other than 200 is an
// error.
func (c *Client) Do(ctx context.Context, method, path string) (*Response, error) {
	r := c.Request(ctx, method, path)
	c.response.reset()
	c.handler.ServeHTTP(&c.response, r)
	c.response.WriteHeader(http.StatusOK) // as a server does for a handler that has written nothing
	if c.response.Status != http.StatusOK {
		return nil, fmt.Errorf("%s %s: status %d: %s", method, path, c.response.Status,
			c.response.Body)
	}
	// The cookies are new, or, with gorilla's cookie store, replace the old ones.
	if set := c.response.header["Set-Cookie"]; len(set) > 0 {
		c.cookie = ""
		for _, line := range set {
			cookie, err := http.ParseSetCookie(line)
			if err != nil {
				return nil, err
			}
			if c.cookie != "" {
				c.cookie += "; "
			}
			c.cookie += cookie.Name + "=" + cookie.Value
		}
		clear(c.requests)
	}
	return &c.response, nil
}

// Request returns the request that Do sends. The handler must not change it, as handlers must not,
// so it can be sent again.
func (c *Client) Request(ctx context.Context, method, path string) *http.Request {
	key := method + path
	if r := c.requests[key]; r != nil {
		return r
	}
	r := httptest.NewRequestWithContext(ctx, method, path, nil)
	r.Body = http.NoBody
	for name, value := range map[string]string{
		"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept":          "text/html",
		"Accept-Language": "en", "Accept-Encoding": "gzip, br", "Connection": "keep-alive",
	} {
		r.Header.Set(name, value)
	}
	if c.cookie != "" {
		r.Header.Set("Cookie", c.cookie)
	}
	c.requests[key] = r
	return r
}

// maxBody is the number of bytes of a body that are kept.
const maxBody = 256

// A Response is a cheap response writer: it keeps the header, the status and the beginning of the
// body.
type Response struct {
	Status int
	Body   []byte // its beginning
	Size   int
	header http.Header
}

// NewResponse returns an empty response.
func NewResponse() *Response { return &Response{header: http.Header{}} }

// Header returns the header.
func (r *Response) Header() http.Header { return r.header }

// WriteHeader notes the status.
func (r *Response) WriteHeader(status int) {
	if r.Status == 0 {
		r.Status = status
	}
}

// Write counts p, and keeps the beginning.
func (r *Response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.Size += len(p)
	if room := maxBody - len(r.Body); room > 0 {
		r.Body = append(r.Body, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// WriteString counts s, and keeps the beginning.
func (r *Response) WriteString(s string) (int, error) {
	r.WriteHeader(http.StatusOK)
	r.Size += len(s)
	if room := maxBody - len(r.Body); room > 0 {
		r.Body = append(r.Body, s[:min(room, len(s))]...)
	}
	return len(s), nil
}

func (r *Response) reset() {
	r.Status, r.Size, r.Body = 0, 0, r.Body[:0]
	clear(r.header)
}

// Reset makes r empty again.
func (r *Response) Reset() { r.reset() }

var _ io.StringWriter = (*Response)(nil)

// Stats are the outcome of a run.
type Stats struct {
	Done, Failed        int
	Elapsed             time.Duration
	P50, P99, P999, Max time.Duration // latencies of the successes
	Err                 error         // the first failure
}

// Rate returns the successes in a second.
func (s Stats) Rate() float64 { return float64(s.Done) / s.Elapsed.Seconds() }

// Times returns a function more for Run that returns true n times in all.
func Times(n int) func() bool {
	var left atomic.Int64
	left.Store(int64(n))
	return func() bool { return left.Add(-1) >= 0 }
}

// While returns a function more for Run that returns true until ctx is done.
func While(ctx context.Context) func() bool {
	return func() bool { return ctx.Err() == nil }
}

// Run has clients call work, each in its goroutine and one call after the other, as long as more
// returns true. A client continues after a failure.
func Run(clients int, more func() bool, work func(client int) error) Stats {
	type own struct {
		latencies []time.Duration
		failed    int
		err       error
	}
	all := make([]own, clients)
	var group sync.WaitGroup
	began := time.Now()
	for client := range clients {
		group.Go(func() {
			mine := &all[client]
			mine.latencies = make([]time.Duration, 0, 1024)
			last := time.Now()
			for more() {
				err := work(client)
				now := time.Now()
				if err != nil {
					mine.failed++
					mine.err = cmp.Or(mine.err, err)
				} else {
					mine.latencies = append(mine.latencies, now.Sub(last))
				}
				last = now
			}
		})
	}
	group.Wait()
	stats := Stats{Elapsed: time.Since(began)}
	var latencies []time.Duration
	for _, mine := range all {
		latencies = append(latencies, mine.latencies...)
		stats.Failed += mine.failed
		stats.Err = cmp.Or(stats.Err, mine.err)
	}
	slices.Sort(latencies)
	if stats.Done = len(latencies); stats.Done > 0 {
		stats.P50 = latencies[stats.Done/2]
		stats.P99 = latencies[stats.Done*99/100]
		stats.P999 = latencies[stats.Done*999/1000]
		stats.Max = latencies[stats.Done-1]
	}
	return stats
}
