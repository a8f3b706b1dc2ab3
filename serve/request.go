package serve

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
)

// requestOptions are the flags of serve request.
type requestOptions struct {
	outside
	name    string
	method  string
	headers headerFlag
	display bool
}

func requestCommand() command {
	return command{
		name: "request", args: "CONFIG PATH [name=value ...] | URL",
		summary: "send one request through the pipeline, and print the response",
		about: `
Loads the file as for serving, but opens no port: the request goes through the filters to the app,
with its transaction. The body of the response is printed on the standard output. For POST, PUT
and PATCH, and for other methods with a Content-Length or Transfer-Encoding header, the body of
the request is read from the standard input.

PATH may have a query. The log goes to the standard error; log files that the .ini file names are
not opened. Redirects are not followed. A database that only one process can open must not be in
use by a server.

With a URL in place of CONFIG and PATH the request goes over the network to a running server, for
example as a health check.

Exits 0 if the status is below 400, else 1.`,
		examples: []example{
			{"serve request development.ini /hello", "GET, and print the body"},
			{"serve request -d development.ini /", "with status and headers"},
			{"echo -n data | serve request -m POST development.ini /body", "POST, with a body"},
			{
				"serve request http://127.0.0.1:6543/hello",
				"health check of a running server",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			o := requestOptions{headers: headerFlag{}}
			o.setFlag(flags)
			nameFlag(flags, &o.name, "`NAME` of the app or pipeline (default main)")
			flags.StringVar(&o.method, "m", "GET", "`METHOD` of the request (default GET)")
			flags.StringVar(&o.method, "method", "GET", "`METHOD` of the request (default GET)")
			flags.Var(o.headers, "header",
				"header field as `NAME:VALUE`; repeatable")
			flags.BoolVar(&o.display, "d", false, "also print status and headers")
			flags.BoolVar(&o.display, "display-headers", false, "also print status and headers")
			return o.run
		},
	}
}

// A headerFlag collects header fields.
type headerFlag http.Header

func (headerFlag) String() string { return "" }

// Set adds a field.
func (h headerFlag) Set(text string) error {
	name, value, ok := strings.Cut(text, ":")
	name, value = textproto.TrimString(name), textproto.TrimString(value)
	if !ok || name == "" || strings.ContainsFunc(name, isNotOfToken) {
		return errors.New("want NAME:VALUE")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
		return errors.New("the value has control characters")
	}
	http.Header(h).Add(name, value)
	return nil
}

// isNotOfToken reports whether a character is not allowed in the name of a header field.
func isNotOfToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

func (o *requestOptions) run(ctx context.Context, c *call, args []string) (err error) {
	if len(args) > 0 && strings.Contains(args[0], "://") {
		return o.sendToServer(ctx, c, args)
	}
	if len(args) < 2 {
		return usagef("want the path of an .ini file and the path of a page, such as " +
			"development.ini /hello")
	}
	path := args[1]
	if strings.Contains(path, "://") {
		return usagef("want the path of a page, such as /hello, not the URL %q; --header "+
			"Host:NAME names a host", path)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // as prequest does
	}
	config, err := o.arguments(slices.Delete(slices.Clone(args), 1, 2))
	if err != nil {
		return err
	}
	request, err := o.request(ctx, "http://localhost", path, c.In)
	if err != nil {
		return err
	}
	log, err := c.openLogOnStderr(config, o.outside)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	logger := log.Logger()
	load := c.loadOptions(o.outside)
	load.Name, load.Logger = o.name, logger
	load.Registry.Opener().SetLogger(logger)
	load.Registry.Opener().Try() // a request without writes creates no database
	p, err := pipeline.Load(ctx, config, load)
	if err != nil {
		return err
	}
	for _, w := range o.unused(p.Tree()) {
		logger.WarnContext(ctx, "check the configuration", slog.String("warning", w.String()))
	}
	return errors.Join(o.send(c, request, p, logger), p.Close())
}

// sendToServer sends the request to a running server.
func (o *requestOptions) sendToServer(ctx context.Context, c *call, args []string) error {
	target, err := url.Parse(strings.ReplaceAll(args[0], " ", "%20"))
	switch {
	case err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" ||
		target.User != nil:
		return usagef("want a URL such as http://127.0.0.1:6543/hello, without user and password")
	case len(args) > 1 || o.name != "" || len(o.set) > 0:
		return usagef("a URL excludes -n, --set and name=value, which are for a CONFIG")
	}
	request, err := o.request(ctx, target.Scheme+"://"+target.Host, target.RequestURI(), c.In)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true} // and no proxy
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", request.Method, target.Redacted(), err)
	}
	return o.print(c, response)
}

// request returns the request for a path; base is a scheme and a host.
func (o *requestOptions) request(ctx context.Context, base, path string,
	in io.Reader,
) (*http.Request, error) {
	path = strings.ReplaceAll(path, " ", "%20") // in the query too
	r, err := http.NewRequestWithContext(ctx, strings.ToUpper(o.method), base+path, nil)
	if _, wrongPath := errors.AsType[*url.Error](err); wrongPath {
		return nil, usagef("%q is not a valid path: %w", path, errors.Unwrap(err))
	}
	if err != nil {
		return nil, usagef("-m %q is not a valid method; want one such as POST", o.method)
	}
	r.Header = http.Header(o.headers)
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	sends := slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, r.Method)
	if sends || r.Header.Get("Content-Length") != "" || r.Header.Get("Transfer-Encoding") != "" {
		body, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("reading the body: %w", err)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Del("Content-Length")
	}
	return r, nil
}

// send lets a server answer the request over an in-memory connection, so that streams, trailers and
// panics behave as on the network.
func (o *requestOptions) send(c *call, r *http.Request, h http.Handler, logger *slog.Logger) error {
	l := newPipeListener()
	srv := &http.Server{
		Handler:           server.AnswerPanics(h, logger),
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelError),
		ReadHeaderTimeout: time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	response, err := transport.RoundTrip(r)
	if err == nil {
		err = o.print(c, response)
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the app closed the connection without a response")
	}
	transport.CloseIdleConnections()
	if shutdown := srv.Shutdown(context.WithoutCancel(r.Context())); shutdown != nil {
		err = errors.Join(err, shutdown)
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

func (o *requestOptions) print(c *call, response *http.Response) error {
	defer response.Body.Close() //nolint:errcheck // reading reports errors
	if o.display {
		var head strings.Builder
		head.WriteString(response.Status + "\n")
		for _, name := range slices.Sorted(maps.Keys(response.Header)) {
			for _, value := range response.Header[name] {
				head.WriteString(name + ": " + value + "\n")
			}
		}
		if _, err := io.WriteString(c.Out, head.String()+"\n"); err != nil {
			return err
		}
	}
	if _, err := io.Copy(c.Out, response.Body); err != nil {
		if response.Request.Context().Err() != nil {
			return errors.New("interrupted before the response was complete")
		}
		return fmt.Errorf("incomplete response: %w", err)
	}
	if response.StatusCode >= 400 {
		return fmt.Errorf("%s %s: %s", response.Request.Method, response.Request.URL.RequestURI(),
			response.Status)
	}
	return nil
}
