package server

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// A Config has the addresses, time limits and trusted proxies of a server. The zero Config listens
// on a free port of 127.0.0.1, with every limit at its default. (In an .ini file a missing port is
// 8080, as with Paste and Waitress.)
type Config struct {
	// Host is a name or an address of this machine. Empty means 127.0.0.1. Host and Port exclude
	// Listen and UnixSocket.
	Host string `ini:"-"`

	// Port is the TCP port. 0 means any free port.
	Port int `ini:"-"`

	// Listen is a list of addresses to listen on: "host:port", with brackets around an IPv6
	// address, and * for all IPv4 and IPv6 addresses; a name stands for all of its addresses;
	// "unix:" and a path; "systemd" for the sockets that systemd passes to the process, or
	// "systemd:" and a name for those of that name.
	Listen []string `ini:"listen" nonempty:"true" help:"addresses to listen on, instead of host and port: host:port, [::1]:port, *:port for every address, unix:/path, systemd (the sockets of a .socket unit) or systemd:name"`

	// Network limits * and names in Listen to one kind of address: "tcp4" or "tcp6". Empty means
	// both.
	Network string `ini:"-"`

	// UnixSocket is the path of a unix socket to listen on, in addition to Listen. A socket left
	// over by a server that has ended is replaced.
	UnixSocket string `ini:"unix_socket" nonempty:"true" help:"path of a unix socket to listen on, instead of host and port"`

	// UnixSocketPerms are the permissions of unix sockets, except those of systemd. 0 means 0600.
	UnixSocketPerms Perms `ini:"unix_socket_perms" default:"600" help:"permissions of unix sockets, in octal; 660 lets the group connect"`

	// TLSCertificate is a PEM file with the server's certificate, followed by those of its issuers.
	// With it, the server speaks only TLS. Certificate and key are reloaded when the files change.
	// In an .ini file, relative paths of both start at the folder of the .ini file.
	TLSCertificate string `ini:"tls_certificate" nonempty:"true" help:"PEM file with the certificate, followed by those of its issuers; the server then speaks https; a changed file is reloaded"`

	// TLSKey is a file with the key of the certificate. Empty means TLSCertificate, for both in one
	// file.
	TLSKey string `ini:"tls_key" nonempty:"true" help:"PEM file with the key of the certificate, if it is in another file"`

	// TLSMinVersion is "1.2" or "1.3". Empty means 1.2.
	TLSMinVersion string `ini:"tls_min_version" default:"1.2" oneof:"1.2 1.3" help:"oldest allowed version of TLS"`

	// TLSSelfSigned generates a self-signed certificate at start, for development.
	TLSSelfSigned bool `ini:"-"`

	// DisableHTTP2 turns HTTP/2 off: in an .ini file, http2 = false.
	DisableHTTP2 bool `ini:"-"`

	// H2C enables HTTP/2 without TLS, for clients that start with it: proxies, and gRPC.
	H2C bool `ini:"h2c" help:"allow HTTP/2 without TLS, as some proxies use it"`

	// TrustedProxy are the proxies whose forwarded header fields are trusted: addresses, networks,
	// "unix" for unix sockets, "unix:" and the path of one, "localhost" for this machine, or "*"
	// for all clients. Empty means none.
	TrustedProxy []string `ini:"trusted_proxy" help:"proxies whose forwarded header fields are trusted: addresses, networks (10.0.0.0/8), unix (sockets), localhost, or * for all"`

	// TrustedProxyCount is the number of proxies in a chain that all add to the fields. 0 means 1.
	TrustedProxyCount int `ini:"trusted_proxy_count" min:"1" max:"100" help:"number of proxies in a chain that all add to the header fields (default 1)"`

	// TrustedProxyHeaders are the trusted fields: "forwarded" alone, or some of "x-forwarded-for",
	// "-host", "-port", "-proto" and "-by". Empty means x-forwarded-proto.
	TrustedProxyHeaders []string `ini:"trusted_proxy_headers" help:"trusted header fields: forwarded, or some of x-forwarded-for, x-forwarded-host, x-forwarded-port, x-forwarded-proto, x-forwarded-by (default x-forwarded-proto)"`

	// ClearUntrustedProxyHeaders removes forwarded header fields that are not trusted, so that no
	// app trusts them either.
	ClearUntrustedProxyHeaders bool `ini:"clear_untrusted_proxy_headers" default:"false" help:"remove forwarded header fields that are not trusted; must be off for the filter prefix"`

	// LogUntrustedProxyHeaders logs the removed fields.
	LogUntrustedProxyHeaders bool `ini:"log_untrusted_proxy_headers" default:"false" help:"log the removed header fields"`

	// URLScheme is the scheme of all requests for which no trusted proxy sends another one. "" and
	// "http" mean the scheme of the connection.
	URLScheme string `ini:"url_scheme" default:"http" oneof:"http https" help:"scheme that clients use: https if a proxy in front terminates TLS"`

	// URLPrefix is the path below which clients see the app: its script name. It is removed from
	// the path of requests that have it.
	URLPrefix string `ini:"url_prefix" help:"path below which clients see the app, such as /james"`

	// ServerHeader is the value of the Server field of responses. If empty, the field is not sent.
	ServerHeader string `ini:"-"`

	// ReadHeaderTimeout is the time a client has to send the header of a request. 0 means 10
	// seconds.
	ReadHeaderTimeout time.Duration `ini:"read_header_timeout" default:"10s" min:"1ms" help:"time limit for the header of a request"`

	// ReadTimeout is the longest pause of a client while it sends a body. 0 means 30 seconds.
	ReadTimeout time.Duration `ini:"read_timeout" default:"30s" min:"1ms" help:"longest pause of a client while it sends the body of a request"`

	// WriteTimeout is the longest time a client may accept no byte of a response. 0 means 30
	// seconds.
	WriteTimeout time.Duration `ini:"write_timeout" default:"30s" min:"1ms" help:"longest pause of a client while it receives a response; streams are not cut"`

	// IdleTimeout is the time a connection is kept open for the next request. 0 means 2 minutes.
	IdleTimeout time.Duration `ini:"idle_timeout" default:"2m" min:"1ms" help:"time that a connection is kept open for the next request"`

	// DrainDelay is the time for which the server goes on accepting after the signal to stop, while
	// the app health already reports that it is not ready. The command serve waits that long before
	// it calls Shutdown; Shutdown itself does not wait. 0 means none.
	DrainDelay time.Duration `ini:"drain_delay" default:"0s" min:"0s" help:"time that the server goes on accepting after the signal to stop, while egg:pasteline#health says not ready, so that load balancers send no new clients"`

	// ShutdownTimeout is the time that running requests have after Shutdown. 0 means 10 seconds.
	ShutdownTimeout time.Duration `ini:"shutdown_timeout" default:"10s" min:"1ms" help:"time that running requests have to finish when the server is stopped"`

	// MaxHeaderBytes is the size limit of a request's header in bytes. 0 means 64 KB.
	MaxHeaderBytes pipeline.Bytes `ini:"max_header_bytes" default:"64KB" min:"1KB" max:"16MB" help:"size limit for the header of a request"`

	// MaxBodyBytes is the size limit of a request's body in bytes; a larger one is answered with
	// 413. 0 means no limit except those of filters and apps.
	MaxBodyBytes pipeline.Bytes `ini:"max_body_bytes" help:"size limit for the body of a request (default: no limit)"`

	// MaxConnections limits the open connections; more wait in the system's queue. 0 means no
	// limit.
	MaxConnections int `ini:"max_connections" min:"1" help:"limit for open connections; further ones wait (default: no limit)"`
}

// The limits of the zero Config, and the default ports of sections.
const (
	defaultHost              = "127.0.0.1"
	defaultPort              = 8080
	defaultTLSPort           = 4443
	defaultPerms             = 0o600
	defaultReadHeaderTimeout = 10 * time.Second
	defaultReadTimeout       = 30 * time.Second
	defaultWriteTimeout      = 30 * time.Second
	defaultIdleTimeout       = 2 * time.Minute
	defaultShutdownTimeout   = 10 * time.Second
	defaultMaxHeaderBytes    = 64 << 10
)

// Validate returns all errors in c, joined. It looks up no name and opens nothing.
func (c Config) Validate() error {
	_, listenErr := c.addresses()
	_, proxyErr := c.newTranslator(nil)
	errs := []error{listenErr, proxyErr}
	add := func(key, format string, args ...any) {
		errs = append(errs, &pipeline.Error{Key: key, Err: fmt.Errorf(format, args...)})
	}
	if hint := hostFault(c.Host); hint != "" {
		errs = append(errs, &pipeline.Error{
			Key: "host", Value: c.Host,
			Err: errors.New("want a name or an address"), Hint: hint,
		})
	}
	if c.Port < 0 || c.Port > 65535 {
		add("port", "want a whole number from 0 to 65535, not %d", c.Port)
	}
	for _, other := range []struct {
		key string
		set bool
	}{{"listen", len(c.Listen) > 0}, {"unix_socket", c.UnixSocket != ""}} {
		if other.set && (c.Host != "" || c.Port != 0) {
			errs = append(errs, &pipeline.Error{
				Key: other.key, Err: errors.New("stands instead of host and port, not beside them"),
				Hint: "write listen = host:port unix:/path for both",
			})
		}
	}
	if c.UnixSocketPerms > 0o777 {
		add("unix_socket_perms", "want an octal number from 0 to 777, such as 660, not %o",
			int64(c.UnixSocketPerms))
	}
	if c.TLSKey != "" && c.TLSCertificate == "" {
		add("tls_key", "means nothing without tls_certificate")
	}
	if c.TLSMinVersion != "" && c.TLSMinVersion != "1.2" && c.TLSMinVersion != "1.3" {
		add("tls_min_version", "want 1.2 or 1.3, not %q", c.TLSMinVersion)
	}
	if c.TrustedProxyCount < 0 {
		add("trusted_proxy_count", "want a whole number of 1 or more, not %d", c.TrustedProxyCount)
	}
	for _, limit := range []struct {
		key   string
		value time.Duration
	}{
		{"read_header_timeout", c.ReadHeaderTimeout},
		{"read_timeout", c.ReadTimeout},
		{"write_timeout", c.WriteTimeout},
		{"idle_timeout", c.IdleTimeout},
		{"shutdown_timeout", c.ShutdownTimeout},
		{"drain_delay", c.DrainDelay},
	} {
		if limit.value < 0 {
			add(limit.key, "want a duration above 0, such as 30s, not %s", limit.value)
		}
	}
	for _, limit := range []struct {
		key   string
		value pipeline.Bytes
	}{{"max_header_bytes", c.MaxHeaderBytes}, {"max_body_bytes", c.MaxBodyBytes}} {
		if limit.value < 0 {
			add(limit.key, "want a size in bytes, such as 64KB, not %d", int64(limit.value))
		}
	}
	if c.MaxConnections < 0 {
		add("max_connections", "want a whole number of 1 or more, not %d", c.MaxConnections)
	}
	return errors.Join(errs...)
}

// hostFault returns the hint for an invalid host, or "" if it may be valid.
func hostFault(host string) string {
	bare := bareHost(host)
	if _, err := netip.ParseAddr(bare); err == nil {
		return ""
	}
	name, port, ok := strings.Cut(host, ":")
	switch {
	case strings.Contains(host, "/"):
		return "leave out the scheme and the path"
	case ok && !strings.Contains(port, ":"):
		return fmt.Sprintf("write host = %s and port = %s", name, port)
	case host == "*":
		return "write 0.0.0.0, or [::] for both kinds of addresses"
	case strings.ContainsAny(host, " \t[]:"):
		return "such as 127.0.0.1, [::1] or localhost"
	}
	return ""
}

// bareHost removes the brackets of an IPv6 address.
func bareHost(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok := strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return host
}

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host = defaultHost
	}
	orDefault(&c.UnixSocketPerms, defaultPerms)
	orDefault(&c.ReadHeaderTimeout, defaultReadHeaderTimeout)
	orDefault(&c.ReadTimeout, defaultReadTimeout)
	orDefault(&c.WriteTimeout, defaultWriteTimeout)
	orDefault(&c.IdleTimeout, defaultIdleTimeout)
	orDefault(&c.ShutdownTimeout, defaultShutdownTimeout)
	orDefault(&c.MaxHeaderBytes, defaultMaxHeaderBytes)
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
