package prefix

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// Config describes the app's external URLs. The zero Config changes nothing.
type Config struct {
	// Prefix is the path below which clients see the app, such as "/james". A slash at the end is
	// ignored, so that "/" means no prefix.
	Prefix string

	// IgnoreForwarded leaves the X-Forwarded fields in place.
	IgnoreForwarded bool

	// ForcePort is the port to set in the Host: a number, or DefaultPort for the default port of
	// the scheme, which removes the port from the Host. Zero changes nothing.
	ForcePort int

	// Scheme is "http" or "https", for every request. If empty, the scheme is taken from a trusted
	// proxy or else from the connection.
	Scheme string

	// TrustedProxies are the proxies whose X-Forwarded fields are trusted: IP addresses, networks
	// such as "10.0.0.0/8", "unix", or "unix:" with the path of a socket that the server listens
	// on. If it is empty, no proxy is trusted.
	TrustedProxies []string

	// TrustedProxyHeaders are the fields of those proxies that are trusted: some of
	// x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-forwarded-scheme and
	// x-forwarded-server. Name only fields that the outermost proxy sets for every request: any
	// other field may come from the client. Empty means x-forwarded-for and x-forwarded-proto.
	TrustedProxyHeaders []string

	// Logger receives one record about fields that are not trusted. Nil discards it.
	Logger *slog.Logger
}

// DefaultPort as ForcePort is the default port of the scheme.
const DefaultPort = -1

// Validate returns an error that joins an error for each invalid field, or nil.
func (c Config) Validate() error {
	var errs []error
	if p := c.prefix(); p != "" && !strings.HasPrefix(p, "/") {
		errs = append(errs, &pipeline.Error{
			Key: "prefix",
			Err: fmt.Errorf("want a path that begins with a slash, such as %q", "/"+p),
		})
	}
	if c.ForcePort < DefaultPort || c.ForcePort > 65535 {
		errs = append(errs, &pipeline.Error{
			Key: "force_port",
			Err: errors.New("want a port from 1 to 65535, or DefaultPort"),
		})
	}
	if c.Scheme != "" && c.Scheme != "http" && c.Scheme != "https" {
		errs = append(errs, &pipeline.Error{Key: "scheme", Err: errors.New("want http or https")})
	}
	if _, err := parseTrusted(c.TrustedProxies); err != nil {
		errs = append(errs, err)
	}
	if len(c.TrustedProxyHeaders) > 0 && len(c.TrustedProxies) == 0 {
		errs = append(errs, &pipeline.Error{
			Key: "trusted_proxy_headers",
			Err: errors.New("has no effect without trusted_proxies"),
		})
	}
	for _, name := range c.TrustedProxyHeaders {
		if !slices.Contains(forwardedNames, canonical(name)) {
			errs = append(errs, &pipeline.Error{Key: "trusted_proxy_headers", Err: fmt.Errorf(
				"%q is not known: want some of x-forwarded-for, x-forwarded-host, "+
					"x-forwarded-proto, x-forwarded-scheme and x-forwarded-server", name)})
		}
	}
	return errors.Join(errs...)
}

// canonical returns the name of a field in the form of http.Header's keys. Commas around it are
// ignored.
func canonical(name string) string { return http.CanonicalHeaderKey(strings.Trim(name, ",")) }

// trustedFields returns the set of fields that are trusted.
func (c Config) trustedFields() map[string]bool {
	fields := map[string]bool{}
	for _, name := range c.TrustedProxyHeaders {
		fields[canonical(name)] = true
	}
	if len(fields) == 0 {
		fields[forwarded.For], fields[forwarded.Proto] = true, true
	}
	return fields
}

func (c Config) prefix() string { return strings.TrimRight(c.Prefix, "/") }

// Register adds the filter to r under "egg:pasteline#prefix" and the names of PasteDeploy's filter.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#prefix"
	pipeline.Filter(r, name, build)
	r.Alias("egg:PasteDeploy#prefix", name)
	r.Alias("call:paste.deploy.config:make_prefix_middleware", name)
}

// settings declares the settings of an .ini section.
type settings struct {
	Prefix                   string   `ini:"prefix" default:"/" help:"the path below which clients see the app, such as /james"`
	ForcePort                port     `ini:"force_port" help:"the port in the app's external URLs: a number, or empty for the default port of the scheme"`
	Scheme                   string   `ini:"scheme" help:"the scheme of the app's external URLs, http or https, for every request"`
	TrustedProxies           []string `ini:"trusted_proxies" help:"addresses, networks or unix sockets of the proxies whose X-Forwarded fields are trusted"`
	TrustedProxyHeaders      []string `ini:"trusted_proxy_headers" help:"the fields of those proxies that are trusted, each of which the outermost proxy must set: some of x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-forwarded-scheme, x-forwarded-server; x-forwarded-for and x-forwarded-proto if not given"`
	TranslateForwardedServer bool     `ini:"translate_forwarded_server" default:"true" help:"take host, scheme and address from the X-Forwarded fields of trusted proxies"`
}

// A port is a Config.ForcePort.
type port int

// UnmarshalText parses a number; an empty text is DefaultPort.
func (p *port) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		*p = DefaultPort
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return errors.New("want a port from 1 to 65535, or nothing for the scheme's default")
	}
	*p = port(n)
	return nil
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	b.Offer(order.Prefix, nil)
	if !s.TranslateForwardedServer && len(s.TrustedProxies) > 0 {
		b.Warn("trusted_proxies", "no proxy is trusted with translate_forwarded_server = false: "+
			"leave one of the two out")
	}
	return New(Config{
		Prefix:              s.Prefix,
		IgnoreForwarded:     !s.TranslateForwardedServer,
		ForcePort:           int(s.ForcePort),
		Scheme:              s.Scheme,
		TrustedProxies:      s.TrustedProxies,
		TrustedProxyHeaders: s.TrustedProxyHeaders,
		Logger:              b.Logger(),
	})
}

func parseTrusted(words []string) (forwarded.Peers, error) {
	peers, faults := forwarded.ParsePeers(words)
	for i, err := range faults {
		faults[i] = &pipeline.Error{Key: "trusted_proxies", Err: err}
	}
	return peers, errors.Join(faults...)
}
