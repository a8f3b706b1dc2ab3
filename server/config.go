package server

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// A Config says where to listen, how long to wait, and whom to believe. The zero Config listens on a free port of 127.0.0.1,
// with every limit at its default. (In an .ini file an absent port is 8080, as with Paste and Waitress.)
type Config struct {
	// Host is a name or an address of this machine. Empty is 127.0.0.1. With Port, it stands for itself: leave out Listen and
	// UnixSocket.
	Host string `ini:"-"`

	// Port is the TCP port. 0 is any free one.
	Port int `ini:"-"`

	// Listen has any number of places to listen on: "host:port", with brackets around an IPv6 address, and * for every address of
	// both kinds; a name stands for all of its addresses; "unix:" and a path; "systemd" for the sockets that systemd has passed
	// to the process, or "systemd:" and a name for those of that name.
	Listen []string `ini:"listen" nonempty:"true" help:"places to listen on, instead of host and port: host:port, [::1]:port, *:port for every address, unix:/path, systemd (the sockets of a .socket unit) or systemd:name"`

	// Network is "tcp4" or "tcp6" if * and names in Listen stand for addresses of that kind alone. Empty is both.
	Network string `ini:"-"`

	// UnixSocket is the path of a socket to listen on, besides Listen. One that a server which has ended left over is replaced.
	UnixSocket string `ini:"unix_socket" nonempty:"true" help:"the path of a unix socket to listen on, instead of host and port"`

	// UnixSocketPerms are the permissions of unix sockets, but not of systemd's. 0 is 0600.
	UnixSocketPerms Perms `ini:"unix_socket_perms" default:"600" help:"who may connect to unix sockets, as an octal number: 660 for the group, too"`

	// TLSCertificate is a file with the server's certificate in PEM, and those of its issuers behind it. With it, the server
	// speaks TLS, and nothing else. Both files are loaded anew when they change. In an .ini file, relative paths of both begin at
	// the folder of the .ini.
	TLSCertificate string `ini:"tls_certificate" nonempty:"true" help:"a PEM file with the certificate, and those of its issuers behind it: the server speaks https; a changed file is used without restart"`

	// TLSKey is a file with the certificate's key. Empty is TLSCertificate, for both in one file.
	TLSKey string `ini:"tls_key" nonempty:"true" help:"a PEM file with the certificate's key; not needed when that is in the same file"`

	// TLSMinVersion is "1.2" or "1.3". Empty is 1.2.
	TLSMinVersion string `ini:"tls_min_version" default:"1.2" oneof:"1.2 1.3" help:"the oldest version of TLS that clients may speak"`

	// TLSSelfSigned makes a certificate that nobody believes unasked, for development.
	TLSSelfSigned bool `ini:"-"`

	// DisableHTTP2 leaves clients HTTP/1.1: in an .ini file, http2 = false.
	DisableHTTP2 bool `ini:"-"`

	// H2C speaks HTTP/2 also without TLS, with clients that start with it: proxies, and gRPC.
	H2C bool `ini:"h2c" help:"whether clients may speak HTTP/2 without TLS, too, as some proxies do"`

	// TrustedProxy are the proxies whose forwarded header fields are believed: addresses, networks, "unix" for unix sockets,
	// "unix:" and the path of one, "localhost" for this machine, or "*" for everybody. Empty is nobody.
	TrustedProxy []string `ini:"trusted_proxy" help:"the proxies whose forwarded header fields are believed: addresses, networks (10.0.0.0/8), unix (sockets), localhost, or * for everybody"`

	// TrustedProxyCount is how many proxies there are, one behind the other, that all add to the fields. 0 is 1.
	TrustedProxyCount int `ini:"trusted_proxy_count" min:"1" max:"100" help:"how many proxies there are, one behind the other, that all add to the header fields; 1 if not given"`

	// TrustedProxyHeaders are the fields that are believed: "forwarded" alone, or some of "x-forwarded-for", "-host", "-port",
	// "-proto" and "-by". Empty is x-forwarded-proto.
	TrustedProxyHeaders []string `ini:"trusted_proxy_headers" help:"the header fields that are believed: forwarded, or some of x-forwarded-for, x-forwarded-host, x-forwarded-port, x-forwarded-proto, x-forwarded-by; x-forwarded-proto alone if not given"`

	// ClearUntrustedProxyHeaders removes such fields if they are not believed, so that no app believes them either.
	ClearUntrustedProxyHeaders bool `ini:"clear_untrusted_proxy_headers" default:"false" help:"whether forwarded header fields that are not believed are removed; leave it off for the filter prefix to read them"`

	// LogUntrustedProxyHeaders tells the log of what was removed.
	LogUntrustedProxyHeaders bool `ini:"log_untrusted_proxy_headers" default:"false" help:"whether the log says which fields were removed"`

	// URLScheme is what visitors use, for all requests of which no trusted proxy says otherwise. "" and "http" are the
	// connection's own.
	URLScheme string `ini:"url_scheme" default:"http" oneof:"http https" help:"the scheme that visitors use: https if a proxy in front speaks TLS with them"`

	// URLPrefix is the path below which visitors see the app: its script name. It is cut off the path if it is there.
	URLPrefix string `ini:"url_prefix" help:"the path below which visitors see the app, such as /james"`

	// ServerHeader is the value of the field Server in responses. Empty sends none.
	ServerHeader string `ini:"-"`

	// ReadHeaderTimeout is how long a client may take to send a request's header. 0 is 10 seconds.
	ReadHeaderTimeout time.Duration `ini:"read_header_timeout" default:"10s" min:"1ms" help:"how long a client may take to send the header of a request"`

	// ReadTimeout is how long a client may pause while it sends a body. 0 is 30 seconds.
	ReadTimeout time.Duration `ini:"read_timeout" default:"30s" min:"1ms" help:"how long a client may pause while it sends the body of a request"`

	// WriteTimeout is how long a client may take no byte of a response that is ready to be sent. 0 is 30 seconds.
	WriteTimeout time.Duration `ini:"write_timeout" default:"30s" min:"1ms" help:"how long a client may keep a response waiting; streams are not cut"`

	// IdleTimeout is how long a connection is kept for the next request. 0 is 2 minutes.
	IdleTimeout time.Duration `ini:"idle_timeout" default:"2m" min:"1ms" help:"how long a connection is kept open for the next request"`

	// ShutdownTimeout is how long running requests may go on after Shutdown. 0 is 10 seconds.
	ShutdownTimeout time.Duration `ini:"shutdown_timeout" default:"10s" min:"1ms" help:"how long running requests may go on when the server is stopped"`

	// MaxHeaderBytes is the largest header of a request in bytes. 0 is 64 KB.
	MaxHeaderBytes pipeline.Bytes `ini:"max_header_bytes" default:"64KB" min:"1KB" max:"16MB" help:"the largest header of a request"`

	// MaxBodyBytes is the largest body of a request in bytes; a larger one is answered with 413. 0 is no limit but those of
	// filters and apps.
	MaxBodyBytes pipeline.Bytes `ini:"max_body_bytes" help:"the largest body of a request; no limit if not given"`

	// MaxConnections is how many connections may be open at once; more wait in the system's queue. 0 is no limit.
	MaxConnections int `ini:"max_connections" min:"1" help:"how many connections may be open at once, the others wait; no limit if not given"`
}

// The limits of the zero Config, and the ports of sections that have none.
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

// Validate reports all that is wrong with c, joined. It looks up no name and opens nothing.
func (c Config) Validate() error {
	_, listenErr := c.addresses()
	_, proxyErr := c.newTranslator(nil)
	errs := []error{listenErr, proxyErr}
	add := func(key, format string, args ...any) {
		errs = append(errs, &pipeline.Error{Key: key, Err: fmt.Errorf(format, args...)})
	}
	if hint := hostFault(c.Host); hint != "" {
		errs = append(errs, &pipeline.Error{Key: "host", Value: c.Host, Err: errors.New("want a name or an address"), Hint: hint})
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
		add("unix_socket_perms", "want an octal number from 0 to 777, such as 660, not %o", int64(c.UnixSocketPerms))
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

// hostFault says what to write instead of a host that can't be one; "" if it may be one.
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

// bareHost takes the brackets off an IPv6 address.
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
