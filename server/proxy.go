package server

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// proxyHeaders are the fields that trusted_proxy_headers can name, as Waitress calls them.
var proxyHeaders = map[string]string{
	"forwarded":         forwarded.Standard,
	"x-forwarded-by":    forwarded.By,
	"x-forwarded-for":   forwarded.For,
	"x-forwarded-host":  forwarded.Host,
	"x-forwarded-port":  forwarded.Port,
	"x-forwarded-proto": forwarded.Proto,
}

// A translator rewrites requests to the form that the client sent, from the fields of trusted
// proxies and from settings. The rules are those of Waitress.
type translator struct {
	peers   forwarded.Peers
	count   int             // number of proxies between the client and this server
	trusted map[string]bool // the trusted fields, by canonical name
	clear   bool            // remove all other fields
	warn    bool            // log the removal
	scheme  string          // "" for that of the connection
	prefix  string
	logger  *slog.Logger
}

// newTranslator returns nil if there is nothing to translate. The error joins all errors.
func (c Config) newTranslator(logger *slog.Logger) (*translator, error) {
	t := &translator{
		count: max(c.TrustedProxyCount, 1), clear: c.ClearUntrustedProxyHeaders,
		warn:   c.LogUntrustedProxyHeaders,
		prefix: normalPrefix(c.URLPrefix), logger: logger, trusted: map[string]bool{},
	}
	var errs []error
	fault := func(key string, err error) {
		errs = append(errs,
			&pipeline.Error{Key: key, Err: err})
	}
	if c.URLScheme != "" && c.URLScheme != "http" && c.URLScheme != "https" {
		fault("url_scheme", errors.New("want http or https"))
	}
	if c.URLScheme == "https" {
		t.scheme = c.URLScheme
	}
	var faults []error
	t.peers, faults = trustedPeers(c.TrustedProxy)
	for _, err := range faults {
		fault("trusted_proxy", err)
	}
	if len(c.TrustedProxy) == 0 {
		if c.TrustedProxyCount > 0 {
			fault("trusted_proxy_count", errors.New("means nothing without trusted_proxy"))
		}
		if len(c.TrustedProxyHeaders) > 0 {
			fault("trusted_proxy_headers", errors.New("means nothing without trusted_proxy"))
		}
	}
	for _, name := range c.TrustedProxyHeaders {
		canonical, ok := proxyHeaders[strings.ToLower(strings.Trim(name, ","))]
		if !ok {
			fault("trusted_proxy_headers", fmt.Errorf("%q is not known: want forwarded alone, or "+
				"some of x-forwarded-for, -host, -port, -proto and -by", name))
		}
		t.trusted[canonical] = true
	}
	if t.trusted[forwarded.Standard] && len(t.trusted) > 1 {
		fault("trusted_proxy_headers", errors.New("forwarded and x-forwarded-… exclude each "+
			"other: it is undefined which of them applies"))
	}
	if len(c.TrustedProxyHeaders) == 0 && len(c.TrustedProxy) > 0 {
		t.trusted[forwarded.Proto] = true // as in Waitress
	}
	if len(c.TrustedProxy) == 0 && !t.clear && t.prefix == "" && t.scheme == "" {
		return nil, errors.Join(errs...)
	}
	return t, errors.Join(errs...)
}

// trustedPeers parses Waitress's values for one proxy, "*" for all and localhost with unix sockets,
// and the lists of package forwarded.
func trustedPeers(words []string) (forwarded.Peers, []error) {
	var own []string
	for _, word := range words {
		switch strings.Trim(word, ",") {
		case "*":
			return forwarded.Everybody(), nil
		case "localhost":
			own = append(own, "127.0.0.1", "::1", "unix")
		default:
			own = append(own, word)
		}
	}
	return forwarded.ParsePeers(own)
}

// normalPrefix returns the prefix with a leading slash and no trailing one.
func normalPrefix(prefix string) string {
	if prefix = strings.Trim(strings.TrimSpace(prefix), "/"); prefix == "" {
		return ""
	}
	return "/" + prefix
}

// translate returns r as the client sent it. A request with an error must be refused.
func (t *translator) translate(r *http.Request) (*http.Request, error) {
	var v forwarded.View
	if t.scheme != "" && r.TLS == nil {
		v.Scheme, v.Host = t.scheme, r.Host
	}
	var drop, cut []string
	if present := forwarded.Fields(r.Header); len(present) > 0 {
		trust := len(t.trusted) > 0 && t.peers.Trust(r)
		if t.clear {
			drop = slices.DeleteFunc(slices.Clone(present), func(name string) bool {
				return trust &&
					t.trusted[name]
			})
		}
		if t.warn && len(drop) > 0 {
			t.logger.LogAttrs(r.Context(), slog.LevelWarn,
				"header fields of a proxy that is not trusted were removed",
				slog.String("remote_addr", r.RemoteAddr), slog.Any("fields", drop))
		}
		if trust {
			said, err := t.read(r.Header)
			if err != nil {
				return nil, err
			}
			v = said.apply(v, r)
			cut = slices.DeleteFunc(present, func(name string) bool { return !t.trusted[name] })
		}
	}
	r = t.cutLists(v.Apply(r, drop...), cut)
	return mount.Below(r, t.prefix), nil //nolint:contextcheck // it is the request's own
}

// requestID returns the id that a trusted proxy has given to a request, or "".
func (t *translator) requestID(r *http.Request) string {
	if id := forwarded.RequestID(r.Header); id != "" && t.peers.Trust(r) {
		return id
	}
	return ""
}

// cutLists removes from trusted list fields the elements that no trusted proxy added, for apps that
// read the fields themselves.
func (t *translator) cutLists(r *http.Request, names []string) *http.Request {
	own := false
	for _, name := range names {
		if name != forwarded.For && name != forwarded.Host && name != forwarded.Standard {
			continue
		}
		hops := forwarded.Hops(r.Header[name])
		added := strings.TrimSpace(strings.Join(hops[max(len(hops)-t.count, 0):], ","))
		if lines := r.Header[name]; len(lines) == 1 && lines[0] == added {
			continue
		}
		if !own {
			c := *r
			c.Header = r.Header.Clone()
			r, own = &c, true
		}
		r.Header[name] = []string{added}
	}
	return r
}

// A claim has the values sent by trusted proxies.
type claim struct{ client, host, port, scheme string }

// apply returns v with the values of the claim in place of its own.
func (c claim) apply(v forwarded.View, r *http.Request) forwarded.View {
	if c.scheme != "" {
		v.Scheme = c.scheme
	}
	if c.host != "" {
		v.Host = c.host
		if _, _, err := net.SplitHostPort(c.host); err != nil && c.port != "" &&
			c.port != defaultPorts[clientScheme(v, r)] {
			v.Host = c.host + ":" + c.port
		}
	}
	if addr, ok := forwarded.Addr(c.client); ok {
		_, port, err := net.SplitHostPort(c.client)
		if err != nil {
			port = "0"
		}
		v.RemoteAddr = net.JoinHostPort(addr.String(), port)
	}
	return v
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

func clientScheme(v forwarded.View, r *http.Request) string {
	if v.Scheme != "" {
		return v.Scheme
	}
	return mount.Scheme(r)
}

// read parses the trusted fields of a trusted peer. Elements that the client may have sent itself
// are ignored, but must be well-formed too.
func (t *translator) read(header http.Header) (c claim, err error) {
	for _, field := range []struct {
		name string
		read func(lines []string) error
	}{
		{forwarded.Standard, func(lines []string) error { return t.readStandard(lines, &c) }},
		{forwarded.For, func(lines []string) error { return t.readList(lines, &c.client) }},
		{forwarded.Host, func(lines []string) error { return t.readList(lines, &c.host) }},
		{forwarded.Proto, func(lines []string) error { return readOne(lines, &c.scheme) }},
		{forwarded.Port, func(lines []string) error { return readOne(lines, &c.port) }},
	} {
		if !t.trusted[field.name] || len(header[field.name]) == 0 {
			continue
		}
		if err := field.read(header[field.name]); err != nil {
			return c, fmt.Errorf("%s: %w", field.name, err)
		}
	}
	return c, c.check()
}

// check returns an error for an impossible value.
func (c *claim) check() error {
	if c.scheme != "" {
		scheme, ok := forwarded.IsScheme(c.scheme)
		if !ok {
			return fmt.Errorf("the scheme %q", c.scheme)
		}
		c.scheme = scheme
	}
	if c.host != "" && !forwarded.IsHost(c.host) {
		return fmt.Errorf("the host %q", c.host)
	}
	if strings.Trim(c.port, "0123456789") != "" || len(c.port) > 5 {
		return fmt.Errorf("the port %q", c.port)
	}
	return nil
}

// readList returns the element that the outermost trusted proxy added, or the first element of a
// shorter list.
func (t *translator) readList(lines []string, value *string) error {
	list, err := forwarded.Elements(lines)
	if err == nil {
		*value = list[max(len(list)-t.count, 0)]
	}
	return err
}

// readOne parses a field with a single value.
func readOne(lines []string, value *string) (err error) {
	if *value, err = forwarded.Unquote(strings.Join(lines, ", ")); err == nil &&
		strings.Contains(*value, ",") {
		return errors.New("several values, and it is undefined which one applies")
	}
	return err
}

// readStandard parses the field of RFC 7239: each value is that of the outermost trusted proxy that
// sent one.
func (t *translator) readStandard(lines []string, c *claim) error {
	hops := forwarded.Hops(lines)
	for i, hop := range slices.Backward(hops) {
		said, err := readHop(strings.TrimSpace(hop))
		if err != nil {
			return err
		}
		if i >= len(hops)-t.count {
			c.client, c.host, c.scheme = cmp.Or(said.client, c.client), cmp.Or(said.host,
				c.host), cmp.Or(said.scheme, c.scheme)
		}
	}
	return nil
}

// readHop parses the element that one proxy added. Of a repeated name the last value applies.
func readHop(hop string) (c claim, err error) {
	for pair := range strings.SplitSeq(hop, ";") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(strings.ToLower(pair), "=")
		if !ok || name != strings.TrimSpace(name) || value != strings.TrimSpace(value) {
			return c, fmt.Errorf("want name=value without space, not %q", pair)
		}
		ignored := ""
		to := map[string]*string{
			"for": &c.client, "host": &c.host, "proto": &c.scheme,
			"by": &ignored,
		}[name]
		if to == nil {
			continue // unknown names are ignored
		}
		if *to, err = forwarded.Unquote(value); err != nil {
			return c, err
		}
	}
	return c, nil
}
