package server

import (
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/convert"
)

// Register adds the server to r as "egg:pasteline#http", and under the names of the servers of
// Paste, Waitress and others.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#http"
	pipeline.ServerFactory(r, name, newPaste)
	r.Alias("egg:Paste#http", name)
	pipeline.ServerFactory(r, "egg:waitress#main", newWaitress)
	registerForeign(r)
}

// A Port is an optional TCP port. The zero Port means that the section has none.
type Port struct {
	set    bool
	number int
}

// UnmarshalText parses a port number.
func (p *Port) UnmarshalText(text []byte) error {
	n, err := convert.AsInt(string(text))
	if err != nil || n < 0 || n > 65535 {
		return errors.New("want a whole number from 0 to 65535, such as 8080")
	}
	*p = Port{true, int(n)}
	return nil
}

// String returns the number, or "" without a port.
func (p Port) String() string {
	if !p.set {
		return ""
	}
	return strconv.Itoa(p.number)
}

// setAddress sets host and port from a section, with defaults unless it has listen or unix_socket.
func (c *Config) setAddress(host string, port Port, defaultHost string, defaultPort int) error {
	elsewhere := "listen"
	if c.UnixSocket != "" {
		elsewhere = "unix_socket"
	}
	if len(c.Listen) > 0 || c.UnixSocket != "" {
		if host != "" || port.set {
			return &pipeline.Error{
				Key: elsewhere, Err: errors.New("stands instead of host and port, not beside them"),
				Hint: "write listen = host:port unix:/path for both",
			}
		}
		return nil
	}
	c.Host, c.Port = host, port.number
	orDefault(&c.Host, defaultHost)
	if !port.set {
		c.Port = defaultPort
	}
	return nil
}

// resolvePaths makes relative paths of certificate files relative to the folder of the .ini file.
func (c *Config) resolvePaths(b *pipeline.Build) {
	here, ok := b.Global("here")
	for _, name := range []*string{&c.TLSCertificate, &c.TLSKey} {
		if ok && *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(here, *name)
		}
	}
}

// pasteSettings are the settings of a section that uses egg:Paste#http.
type pasteSettings struct {
	Host  string `ini:"host" nonempty:"true" help:"name or address to listen on (default 127.0.0.1); 0.0.0.0 for every IPv4 address, [::] for every IPv4 and IPv6 address"`
	Port  Port   `ini:"port" help:"TCP port; 0 selects a free one; by default 8080, with ssl_pem 4443"`
	HTTP2 bool   `ini:"http2" default:"true" help:"allow HTTP/2 over TLS"`

	SSLPEM        string        `ini:"ssl_pem" nonempty:"true" help:"of Paste: tls_certificate for a file with certificate and key; * generates a certificate for development"`
	ServerVersion string        `ini:"server_version" help:"of Paste: header field Server of responses (default: not sent)"`
	SocketTimeout time.Duration `ini:"socket_timeout" min:"1ms" help:"of Paste: sets read_header_timeout, read_timeout, write_timeout and idle_timeout"`
	Config
	pastePython
}

func newPaste(b *pipeline.Build, s pasteSettings) (pipeline.Server, error) {
	warnPython(b, &s.pastePython)
	c := s.Config
	c.DisableHTTP2, c.ServerHeader = !s.HTTP2, s.ServerVersion
	port := defaultPort
	if s.SSLPEM != "" {
		port = defaultTLSPort
		if c.TLSCertificate != "" {
			return nil, &pipeline.Error{
				Key: "ssl_pem",
				Err: errors.New("the same as tls_certificate: write one of the two"),
			}
		}
		c.TLSCertificate = s.SSLPEM
	}
	if s.SSLPEM == "*" {
		c.TLSCertificate, c.TLSSelfSigned = "", true
		b.Warn("ssl_pem", "a certificate that is made anew at each start, and that no browser "+
			"believes: for development only")
	}
	if t := s.SocketTimeout; t > 0 {
		c.ReadHeaderTimeout, c.ReadTimeout, c.WriteTimeout, c.IdleTimeout = t, t, t, t
	}
	c.resolvePaths(b)
	if err := c.setAddress(s.Host, s.Port, defaultHost, port); err != nil {
		return nil, err
	}
	srv, err := New(c, b.Logger())
	if err != nil {
		if s.SSLPEM != "" {
			err = renamed(err, pemNames)
		}
		return nil, err
	}
	srv.noteDebug(b, nil)
	return srv, nil
}

// waitressSettings are the settings of a section that uses egg:waitress, which listens on all
// interfaces by default. Where Waitress has another name for a setting of Config, the field here
// takes precedence.
type waitressSettings struct {
	Host  string `ini:"host" nonempty:"true" help:"name or address to listen on (default 0.0.0.0); 127.0.0.1 for this machine only, [::] for every IPv4 and IPv6 address"`
	Port  Port   `ini:"port" help:"TCP port; 0 selects a free one; by default 8080"`
	HTTP2 bool   `ini:"http2" default:"true" help:"allow HTTP/2 over TLS"`

	ClearUntrustedProxyHeaders bool `ini:"clear_untrusted_proxy_headers" default:"true" help:"remove forwarded header fields that are not trusted; must be off for the filter prefix"`

	MaxHeaderBytes pipeline.Bytes `ini:"max_request_header_size" default:"256KB" min:"1KB" max:"16MB" help:"size limit for the header of a request (max_header_bytes of Paste#http)"`
	MaxBodyBytes   pipeline.Bytes `ini:"max_request_body_size" default:"1GB" min:"1" help:"size limit for the body of a request (max_body_bytes of Paste#http)"`
	MaxConnections int            `ini:"connection_limit" min:"1" help:"limit for open connections; further ones wait (max_connections of Paste#http; default: no limit)"`
	IdleTimeout    time.Duration  `ini:"channel_timeout" default:"2m" min:"1ms" help:"time that a connection is kept open for the next request (idle_timeout of Paste#http)"`
	Ident          string         `ini:"ident" help:"header field Server of responses (default: not sent)"`
	IPv4           bool           `ini:"ipv4" default:"true" help:"listen on the IPv4 addresses of * and names"`
	IPv6           bool           `ini:"ipv6" default:"true" help:"listen on the IPv6 addresses of * and names"`
	Config
	waitressPython
}

func newWaitress(b *pipeline.Build, s waitressSettings) (pipeline.Server, error) {
	warnPython(b, &s.waitressPython)
	c := s.Config
	c.DisableHTTP2, c.ServerHeader = !s.HTTP2, s.Ident
	c.ClearUntrustedProxyHeaders = s.ClearUntrustedProxyHeaders
	c.MaxHeaderBytes, c.MaxBodyBytes = s.MaxHeaderBytes, s.MaxBodyBytes
	c.MaxConnections = s.MaxConnections
	c.IdleTimeout = s.IdleTimeout
	switch {
	case !s.IPv4 && !s.IPv6:
		return nil, &pipeline.Error{
			Key: "ipv6",
			Err: errors.New("without both ipv4 and ipv6 there is nothing to listen on"),
		}
	case !s.IPv4:
		c.Network = "tcp6"
	case !s.IPv6:
		c.Network = "tcp4"
	}
	c.resolvePaths(b)
	if err := c.setAddress(s.Host, s.Port, "0.0.0.0", defaultPort); err != nil {
		return nil, err
	}
	srv, err := New(c, b.Logger())
	if err != nil {
		return nil, renamed(err, waitressNames)
	}
	srv.noteDebug(b, waitressNames)
	return srv, nil
}

// The names of Waitress and Paste for settings of Config.
var (
	waitressNames = map[string]string{
		"max_header_bytes": "max_request_header_size", "max_body_bytes": "max_request_body_size",
		"max_connections": "connection_limit", "idle_timeout": "channel_timeout",
	}
	pemNames = map[string]string{"tls_certificate": "ssl_pem", "tls_key": "ssl_pem"}
)

// renamed replaces the keys in an error of New by the names in the section.
func renamed(err error, names map[string]string) error {
	fault, ok := errors.AsType[*pipeline.Error](err)
	if !ok || names[fault.Key] == "" {
		return err
	}
	other := *fault
	other.Key = names[fault.Key]
	return &other
}
