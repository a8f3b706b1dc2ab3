package prefix

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/internal/forwarded"
	"github.com/pasteline/pasteline/pipeline"
)

// Config says what the app's URLs look like from outside. The zero Config changes nothing.
type Config struct {
	// Prefix is the path below which the visitor sees the app, such as "/james". A slash at the end does not count, so "/" is
	// none.
	Prefix string `ini:"prefix" default:"/" help:"the path below which visitors see the app, such as /james"`

	// IgnoreForwarded leaves the X-Forwarded fields alone: in an .ini, translate_forwarded_server = false.
	IgnoreForwarded bool `ini:"-"`

	// ForcePort is the port that the Host gets: a number, or DefaultPort for that of the scheme, which then is not mentioned (in an
	// .ini, an empty value). The zero ForcePort changes nothing.
	ForcePort Port `ini:"force_port" help:"the port that visitors see: a number, or empty for the scheme's own"`

	// Scheme is "http" or "https", for every request. If empty, it is what a trusted proxy says or else the connection's own.
	Scheme string `ini:"scheme" help:"the scheme that visitors see, http or https, for every request"`

	// TrustedProxies are the proxies whose X-Forwarded fields are believed: IP addresses, networks such as "10.0.0.0/8",
	// "unix", or "unix:" with the path of a socket that the server listens on. If empty, none.
	TrustedProxies []string `ini:"trusted_proxies" help:"addresses, networks or unix sockets of the proxies whose X-Forwarded fields are believed"`

	// TrustedProxyHeaders are the fields of those proxies that are believed: some of "x-forwarded-for", "-host", "-proto",
	// "-scheme" and "-server", in full. Name only fields that the outermost proxy sets for every request: any other is what
	// the visitor has sent. Empty is x-forwarded-for and x-forwarded-proto.
	TrustedProxyHeaders []string `ini:"trusted_proxy_headers" help:"the fields of those proxies that are believed, all of them set by the outermost: some of x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-forwarded-scheme, x-forwarded-server; x-forwarded-for and x-forwarded-proto if not given"`

	// Logger is told once of fields that are not believed. Nil discards.
	Logger *slog.Logger `ini:"-"`
}

// A Port is a forced port. The zero Port forces nothing.
type Port int

// DefaultPort is the port that a scheme has by itself.
const DefaultPort Port = -1

// UnmarshalText takes a number, or nothing for DefaultPort.
func (p *Port) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		*p = DefaultPort
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return errors.New("want a port from 1 to 65535, or nothing for the scheme's own")
	}
	*p = Port(n)
	return nil
}

// Validate returns what is wrong with the config, all of it, or nil.
func (c Config) Validate() error {
	var errs []error
	if p := c.prefix(); p != "" && !strings.HasPrefix(p, "/") {
		errs = append(errs, &pipeline.Error{Key: "prefix", Err: fmt.Errorf("want a path that begins with a slash, such as %q", "/"+p)})
	}
	if c.ForcePort < DefaultPort || c.ForcePort > 65535 {
		errs = append(errs, &pipeline.Error{Key: "force_port", Err: errors.New("want a port from 1 to 65535, or nothing for the scheme's own")})
	}
	if c.Scheme != "" && c.Scheme != "http" && c.Scheme != "https" {
		errs = append(errs, &pipeline.Error{Key: "scheme", Err: errors.New("want http or https")})
	}
	if _, err := parseTrusted(c.TrustedProxies); err != nil {
		errs = append(errs, err)
	}
	if len(c.TrustedProxyHeaders) > 0 && len(c.TrustedProxies) == 0 {
		errs = append(errs, &pipeline.Error{Key: "trusted_proxy_headers", Err: errors.New("means nothing without trusted_proxies")})
	}
	for _, name := range c.TrustedProxyHeaders {
		if !slices.Contains(forwardedNames, canonical(name)) {
			errs = append(errs, &pipeline.Error{Key: "trusted_proxy_headers", Err: fmt.Errorf(
				"%q is not known: want some of x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-forwarded-scheme and x-forwarded-server", name)})
		}
	}
	return errors.Join(errs...)
}

// canonical returns a name of a field as it is in a header. A comma at its end does not count.
func canonical(name string) string { return http.CanonicalHeaderKey(strings.Trim(name, ",")) }

// believed returns the fields that are believed.
func (c Config) believed() map[string]bool {
	believed := map[string]bool{}
	for _, name := range c.TrustedProxyHeaders {
		believed[canonical(name)] = true
	}
	if len(believed) == 0 {
		believed[forwarded.For], believed[forwarded.Proto] = true, true
	}
	return believed
}

func (c Config) prefix() string { return strings.TrimRight(c.Prefix, "/") }

// Register adds the filter to r under "egg:pasteline#prefix" and the names that it has in the original.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#prefix"
	pipeline.Filter(r, name, build)
	r.Alias("egg:PasteDeploy#prefix", name)
	r.Alias("call:paste.deploy.config:make_prefix_middleware", name)
}

// settings are those of a section.
type settings struct {
	Config
	TranslateForwardedServer bool `ini:"translate_forwarded_server" default:"true" help:"take host, scheme and address from the X-Forwarded fields of trusted proxies"`
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	b.Offer(pipeline.Prefix, nil)
	s.Logger = b.Logger()
	s.IgnoreForwarded = !s.TranslateForwardedServer
	if s.IgnoreForwarded && len(s.TrustedProxies) > 0 {
		b.Warn("trusted_proxies", "nobody is believed with translate_forwarded_server = false: leave one of the two out")
	}
	return New(s.Config)
}

func parseTrusted(words []string) (forwarded.Peers, error) {
	peers, faults := forwarded.ParsePeers(words)
	for i, err := range faults {
		faults[i] = &pipeline.Error{Key: "trusted_proxies", Err: err}
	}
	return peers, errors.Join(faults...)
}
