package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pasteline/pasteline/internal/handover"
	"github.com/pasteline/pasteline/internal/probe"
	"github.com/pasteline/pasteline/internal/systemd"
	"github.com/pasteline/pasteline/pipeline"
)

// An Addr is an address that a server listens on.
type Addr struct {
	net.Addr
	TLS bool // whether the server speaks TLS
}

// URL returns the address as a URL, such as "https://127.0.0.1:8443", or "unix:/run/site.sock" for
// a unix socket, which has no URL of its own.
func (a Addr) URL() string {
	switch {
	case a.Network() == "unix":
		return "unix:" + a.String()
	case a.TLS:
		return "https://" + a.String()
	}
	return "http://" + a.String()
}

// An address is one parsed address of the configuration.
type address struct {
	key  string // of the setting
	text string // the value of the setting, or a word of it
	kind addressKind
	host string // of tcp, without brackets; "" for all IPv4 and IPv6 addresses
	port string
	path string // of unix; of systemd the name of the socket, "" for all
}

type addressKind int

const (
	kindTCP addressKind = iota
	kindUnix
	kindSystemd
)

// addresses returns the addresses to listen on. The error joins all errors.
func (c Config) addresses() ([]address, error) {
	var list []address
	var errs []error
	for _, word := range c.Listen {
		a, err := parseAddress(strings.TrimSuffix(word, ","))
		if err != nil {
			errs = append(errs, &pipeline.Error{Key: "listen", Err: err})
			continue
		}
		if a.kind == kindSystemd && slices.ContainsFunc(list, func(b address) bool {
			return b.kind == kindSystemd && (a.path == b.path || a.path == "" || b.path == "")
		}) {
			errs = append(errs, &pipeline.Error{Key: "listen", Err: fmt.Errorf(
				"%q: the sockets of systemd are named twice: write systemd alone for all, or "+
					"systemd:name for each", word)})
			continue
		}
		list = append(list, a)
	}
	if c.UnixSocket != "" {
		list = append(list, address{
			key: "unix_socket", text: c.UnixSocket, kind: kindUnix,
			path: socketFile(c.UnixSocket),
		})
	}
	if len(list) == 0 {
		list = append(list, address{
			key: "host", text: c.Host, host: bareHost(c.Host),
			port: strconv.Itoa(c.Port),
		})
	}
	for i, a := range list {
		if at := slices.IndexFunc(list[:i],
			func(b address) bool { return c.overlap(a, b) }); at >= 0 {
			errs = append(errs, &pipeline.Error{Key: a.key, Err: fmt.Errorf("%q: %q is at the "+
				"same place: leave one of them out", a.text, list[at].text)})
		}
	}
	return list, errors.Join(errs...)
}

// overlap reports whether two addresses exclude each other.
func (c Config) overlap(a, b address) bool {
	if a.kind != b.kind || a.kind == kindSystemd || a.port == "0" || a.port != b.port ||
		a.path != b.path {
		return false
	}
	return a.host == b.host || c.covers(a, b) || c.covers(b, a)
}

// covers reports whether a is the wildcard for the kind of b.
func (c Config) covers(a, b address) bool {
	addr, err := netip.ParseAddr(b.host)
	switch {
	case err != nil || c.Network != "":
		return false // the addresses of a name are only known at Listen
	case a.host == "0.0.0.0":
		return addr.Is4()
	case a.host == "::": // only IPv6 beside an IPv4 address
		return addr.Is6()
	}
	return a.host == ""
}

// parseAddress parses a word of listen: Waitress's host:port, "unix:" and a path, or "systemd".
func parseAddress(word string) (address, error) {
	a := address{key: "listen", text: word}
	if path, ok := strings.CutPrefix(word, "unix:"); ok {
		a.kind, a.path = kindUnix, socketFile(path)
		if path == "" {
			return a, errors.New(`"unix:" needs a path, such as unix:/run/site.sock`)
		}
		return a, nil
	}
	if name, ok := strings.CutPrefix(word, "systemd:"); ok || word == "systemd" {
		a.kind = kindSystemd
		if ok {
			a.path = name
		}
		return a, nil
	}
	const want = "want host:port, such as 127.0.0.1:8080, [::1]:8080 or *:8080"
	host, port := word, strconv.Itoa(defaultPort)
	if i := strings.LastIndexByte(word, ':'); i >= 0 && !strings.HasSuffix(word, "]") {
		host, port = word[:i], word[i+1:]
	}
	bare := bareHost(host)
	if strings.Count(word, ":") > 1 && bare == host && !strings.Contains(word, "/") {
		return a, fmt.Errorf("%q: want brackets around an IPv6 address, as in [::1]:8080", word)
	}
	if host != "*" {
		if hint := hostFault(host); hint != "" || host == "" {
			return a, fmt.Errorf("%q is no address: %s", word, want)
		}
		a.host = bare
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	} else if port == "" || strings.Trim(port, "0123456789") == "" {
		return a, fmt.Errorf("%q: want a port from 0 to 65535", word)
	}
	a.port = port
	return a, nil
}

// socketFile makes "@name" a file name: Go would take it for an abstract socket of Linux, which is
// in no folder and has no permissions.
func socketFile(path string) string {
	if strings.HasPrefix(path, "@") {
		return "./" + path
	}
	return path
}

// Listen opens the listeners and returns their addresses, each an [Addr], with the real port in
// place of 0. No request is answered before Serve. Each error is a [pipeline.Error] with the key of
// the setting; several are joined. After an error all listeners are closed.
func (s *Server) Listen(ctx context.Context) ([]net.Addr, error) {
	if s.opened() != nil {
		return nil, errors.New("server: Listen was called twice")
	}
	var listeners []*listener
	var addrs []net.Addr
	var errs []error
	for _, a := range s.addresses {
		opened, err := s.open(ctx, a, opening{listenTCP, listenUnix, systemd.Listeners})
		for _, l := range opened {
			listeners = append(listeners, newListener(l, s.config.WriteTimeout, s.slots))
			addrs = append(addrs, Addr{l.Addr(), s.tls != nil})
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err == nil && !s.setListeners(listeners) {
		err = errors.New("server: Listen was called twice, or after Shutdown")
	}
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	handover.Settle()
	s.warnSystemd()
	s.warnPublic()
	return addrs, nil
}

// CheckListen returns the error that Listen would return, in the same form, without listening: a
// TCP address is bound and released; for a unix socket the folder is checked. An error that may not
// occur at a real start wraps [pipeline.ErrUncertain].
func (s *Server) CheckListen(ctx context.Context) error {
	errs := make([]error, len(s.addresses))
	for i, a := range s.addresses {
		_, errs[i] = s.open(ctx, a, opening{bindTCP, checkUnix, checkSystemd})
	}
	return errors.Join(append(errs, s.checkPublic())...)
}

// An opening has the functions that open listeners, or only check that they could be opened; then
// they return nil listeners.
type opening struct {
	tcp     func(ctx context.Context, network, host, port string) (net.Listener, error)
	unix    func(ctx context.Context, path string, perms fs.FileMode) (net.Listener, error)
	systemd func(name string) ([]net.Listener, error)
}

// opened returns the listeners of the server, nil before Listen.
func (s *Server) opened() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners
}

// accepting returns the listeners for Serve.
func (s *Server) accepting() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving = s.listeners != nil
	return s.listeners
}

// accepted reports whether the last connection has been accepted and handed to net/http.
func (s *Server) accepted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.serving || !slices.ContainsFunc(s.listeners,
		func(l *listener) bool { return !l.ended.Load() })
}

func (s *Server) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// setListeners stores the listeners, unless the server has some or has been shut down.
func (s *Server) setListeners(listeners []*listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.listeners != nil {
		return false
	}
	s.listeners = listeners
	return true
}

// closeListeners closes the listeners for good.
func (s *Server) closeListeners() {
	s.mu.Lock()
	s.down = true
	listeners := s.listeners
	s.mu.Unlock()
	closeAll(listeners)
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		_ = l.Close() // idempotent
	}
}

// alone reports whether a must be IPv6 only: the wildcard otherwise covers both families, and would
// conflict with an IPv4 address with the same port.
func (s *Server) alone(a address) bool {
	return a.host == "::" && slices.ContainsFunc(s.addresses, func(b address) bool {
		addr, err := netip.ParseAddr(b.host)
		return err == nil && addr.Is4() && a.port == b.port && a.port != "0"
	})
}

// open opens the listeners of an address: a name may have several addresses, and systemd may pass
// several sockets.
func (s *Server) open(ctx context.Context, a address, how opening) ([]net.Listener, error) {
	switch a.kind {
	case kindUnix:
		l, err := how.unix(ctx, a.path, fs.FileMode(s.config.UnixSocketPerms))
		if err != nil {
			return nil, &pipeline.Error{Key: a.key, Value: a.text, Err: err}
		}
		return []net.Listener{l}, nil
	case kindSystemd:
		listeners, err := how.systemd(a.path)
		if err != nil {
			return nil, &pipeline.Error{Key: a.key, Value: a.text, Err: err}
		}
		return listeners, nil
	}
	if a.key == "host" {
		l, err := how.tcp(ctx, "tcp", a.host, a.port)
		if err != nil {
			return nil, s.explain(a, err)
		}
		return []net.Listener{l}, nil
	}
	network := cmp.Or(s.config.Network, "tcp")
	if s.alone(a) {
		network = "tcp6"
	}
	hosts, err := resolve(ctx, network, a.host)
	if err != nil {
		return nil, s.explain(a, err)
	}
	var listeners []net.Listener
	var missing error // the error for an address that this machine lacks
	for _, host := range hosts {
		l, err := how.tcp(ctx, network, host, a.port)
		switch {
		case err == nil:
			listeners = append(listeners, l)
		case len(hosts) > 1 && (errors.Is(err, syscall.EADDRNOTAVAIL) ||
			errors.Is(err, syscall.EAFNOSUPPORT)):
			missing = err // localhost may resolve to IPv6 on a machine without it
		default:
			return listeners, s.explain(a, err)
		}
	}
	if len(listeners) == 0 {
		return nil, s.explain(a, missing)
	}
	return listeners, nil
}

// resolve returns the addresses of a host.
func resolve(ctx context.Context, network, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return []string{host}, nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, strings.Replace(network, "tcp",
		"ip", 1), host)
	hosts := make([]string, len(addrs))
	for i, addr := range addrs {
		hosts[i] = addr.Unmap().String()
	}
	return slices.Compact(hosts), err
}

func listenTCP(ctx context.Context, network, host, port string) (net.Listener, error) {
	return handover.Listen(network+" "+net.JoinHostPort(host, port), func() (net.Listener, error) {
		return listenWith(ctx, &net.ListenConfig{}, network, host, port)
	})
}

// errBound aborts a Listen after the address has been bound.
var errBound = errors.New("bound")

// bindTCP binds an address and releases it, to check that Listen would succeed.
func bindTCP(ctx context.Context, network, host, port string) (net.Listener, error) {
	l, err := listenWith(ctx, &net.ListenConfig{Control: bindAlone}, network, host, port)
	switch {
	case errors.Is(err, errBound):
		return nil, nil
	case err == nil:
		return nil, l.Close()
	}
	return nil, err
}

func listenWith(ctx context.Context, config *net.ListenConfig, network, host,
	port string,
) (net.Listener, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		switch {
		case addr.Is4():
			network = "tcp4" // otherwise 0.0.0.0 would cover both families
		case network == "tcp4":
			network = "tcp" // a literal address overrides Network
		}
	}
	return config.Listen(ctx, network, net.JoinHostPort(host, port))
}

// checkSystemd returns the error that systemd.Listeners would return, as far as it is known before
// a start.
func checkSystemd(name string) ([]net.Listener, error) {
	if systemd.SocketNames() == nil {
		return nil, &uncertainError{"systemd passes its sockets at a start, so they could not " +
			"be looked at"}
	}
	return nil, systemd.CheckListeners(name)
}

// An uncertainError may not occur at a real start.
type uncertainError struct{ text string }

func (e *uncertainError) Error() string { return e.text }
func (*uncertainError) Unwrap() error   { return pipeline.ErrUncertain }

// explain converts an error of listening over TCP to one with the setting and a hint.
func (s *Server) explain(a address, err error) error {
	fault := func(key, value string, err error, hint string) error {
		if a.key == "listen" {
			key, value, hint = a.key, "", strings.Replace(hint, "want 127.0.0.1, 0.0.0.0",
				"want 127.0.0.1, *", 1)
			err = fmt.Errorf("%q: %w", a.text, err)
		}
		return &pipeline.Error{Key: key, Value: value, Err: err, Hint: hint}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fault("host", a.text, fmt.Errorf("no address is known for this name (%s)", dns.Err),
			"want a name or an address of this machine, such as 127.0.0.1")
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fault("port", a.port, &uncertainError{fmt.Sprintf("port %s of %s is in use", a.port,
			cmp.Or(a.host, "*"))},
			"end the program that uses it, or choose another port")
	case errors.Is(err, syscall.EACCES):
		return fault("port", a.port, fmt.Errorf("no permission to listen on port %s", a.port),
			"choose one above 1023")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fault("host", a.text, errors.New("this machine has no such address"),
			"want 127.0.0.1, 0.0.0.0 for all, or an address of this machine")
	}
	return fault("host", a.text, fmt.Errorf("can't listen: %w", err), "")
}

// Perms are the permissions of a unix socket. A setting of this type is an octal number, such as
// 660.
type Perms fs.FileMode

// UnmarshalText parses an octal number, with or without the 0o of Python.
func (p *Perms) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(string(text)), "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return errors.New("want an octal number from 0 to 777, such as 660")
	}
	*p = Perms(n)
	return nil
}

// String formats the permissions as an octal number.
func (p Perms) String() string { return strconv.FormatUint(uint64(p), 8) }

// A unixListener removes its socket when it is closed, unless the path has another socket by then.
type unixListener struct {
	net.Listener
	path   string
	info   fs.FileInfo
	remove sync.Once
}

// listenUnix creates a socket that has its permissions from the start. A socket left over by a
// server that has ended is replaced.
func listenUnix(ctx context.Context, path string, perms fs.FileMode) (net.Listener, error) {
	err := findUnix(ctx, path)
	if errors.Is(err, errStale) {
		err = os.Remove(path)
	}
	if err == nil {
		err = canMakeUnix(path)
	}
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{Control: restrictSocket(perms)}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, explainUnix(path, err)
	}
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	info, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, perms)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &unixListener{Listener: l, path: path, info: info}, nil
}

// Close removes the socket before it stops answering, so that the next server does not find a stale
// one.
func (l *unixListener) Close() error {
	l.remove.Do(func() {
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.info) {
			_ = os.Remove(l.path) // if it fails, the next server removes it
		}
	})
	return l.Listener.Close()
}

// findUnix checks the path of a socket: it returns errStale for a socket without a server, nil if
// there is no file, and another error otherwise.
func findUnix(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return explainUnix(path, err)
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file of that name which is no socket: remove it, or choose " +
			"another name")
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return &uncertainError{"another server answers there: end it, or choose another name"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return errStale
	}
	return fmt.Errorf("can't tell whether a server uses it: %w", errors.Unwrap(err))
}

var errStale = errors.New("the server has ended")

// checkUnix returns the error that listenUnix would return.
func checkUnix(ctx context.Context, path string, _ fs.FileMode) (net.Listener, error) {
	if err := findUnix(ctx, path); err != nil && !errors.Is(err, errStale) {
		return nil, err
	}
	return nil, canMakeUnix(path)
}

// canMakeUnix returns an error if a socket of that name can't be created.
func canMakeUnix(path string) error {
	if len(path) >= len(syscall.RawSockaddrUnix{}.Path) {
		return explainUnix(path, syscall.ENAMETOOLONG)
	}
	if err := probe.Create(path); err != nil {
		return explainUnix(path, err)
	}
	return nil
}

func explainUnix(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("the path of a socket can't have %d bytes: choose one of about 100 at "+
			"most", len(path))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return errors.New("the folder does not exist")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("no permission to make a socket there")
	case errors.Is(err, probe.ErrNoFiles):
		return errors.New("no socket can be made in that folder")
	}
	return fmt.Errorf("can't listen: %w", err)
}

// warnSystemd warns about passed sockets that are not used. Using them without being told to would
// let the environment decide where the server listens.
func (s *Server) warnSystemd() {
	for _, a := range s.addresses {
		if a.kind == kindSystemd {
			return
		}
	}
	if names := systemd.SocketNames(); names != nil {
		s.logger.Warn("systemd has passed sockets that are not used: write listen = systemd",
			slog.Int("sockets", len(names)))
	}
}
