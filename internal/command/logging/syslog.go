package logging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A syslogAddress is the address of a syslog, with the facility of the lines.
type syslogAddress struct {
	networks string // to be tried in order, separated by spaces
	address  string
	facility int
}

// facilities are those of RFC 5424, by Python's names.
var facilities = map[string]int{
	"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "security": 4, "syslog": 5, "lpr": 6,
	"news": 7, "uucp": 8, "cron": 9,
	"authpriv": 10, "ftp": 11, "ntp": 12, "console": 14, "solcron": 15,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21,
	"local6": 22, "local7": 23,
}

// severities are those of the levels, the most severe first: critical, error, warning,
// informational, debug.
var severities = [...]int{2, 3, 4, 6, 7}

// severity returns the index in severities for a level.
func severity(level slog.Level) int {
	switch {
	case Level(level) >= critical:
		return 0
	case level >= slog.LevelError:
		return 1
	case level >= slog.LevelWarn:
		return 2
	case level >= slog.LevelInfo:
		return 3
	}
	return 4
}

// sysLog returns the target of a SysLogHandler.
func (r *pythonReader) sysLog(args *pythonArgs) (target, bool) {
	a, err := args.syslogAddress()
	if err != nil {
		r.plan.note(slog.LevelWarn, &args.setting, "not used: %v", err)
		return target{}, false
	}
	return target{
		kind: toSyslog, name: fmt.Sprintf("%s %s %d", a.networks, a.address, a.facility),
		setting: args.setting, syslog: a,
	}, true
}

func (a *pythonArgs) syslogAddress() (s syslogAddress, err error) {
	tcp := false
	switch socktype := a.bound["socktype"].(type) {
	case nil:
	case pythonName:
		tcp = strings.HasSuffix(string(socktype), "SOCK_STREAM")
	case float64:
		tcp = socktype == 1
	}
	if s.facility, err = a.facility(); err != nil {
		return s, err
	}
	const want = "want '/dev/log' or ('localhost', 514)"
	switch address := a.bound["address"].(type) {
	case nil:
		s.address = "localhost:514"
	case string:
		if address == "" {
			return s, errors.New("the address is empty: " + want)
		}
		s.networks, s.address = "unixgram unix", address
		if tcp {
			s.networks = "unix"
		}
		return s, nil
	case []any:
		host, port := "", 0.0
		ok := len(address) == 2
		if ok {
			host, ok = address[0].(string)
		}
		if ok {
			port, ok = address[1].(float64)
		}
		if !ok || host == "" || port < 1 || port > 65535 {
			return s, errors.New("the address is no pair of a host and a port: " + want)
		}
		s.address = net.JoinHostPort(host, strconv.Itoa(int(port)))
	default:
		return s, errors.New("the address is not understood: " + want)
	}
	s.networks = "udp"
	if tcp {
		s.networks = "tcp"
	}
	return s, nil
}

// facility accepts a number, a name, or Python's constant.
func (a *pythonArgs) facility() (int, error) {
	name := ""
	switch value := a.bound["facility"].(type) {
	case nil:
		return facilities["user"], nil
	case float64:
		if value >= 0 && value <= 23 && value == float64(int(value)) {
			return int(value), nil
		}
		return 0, fmt.Errorf("%v is no facility: want a number from 0 to 23, or a name such as "+
			"'local0'", value)
	case string:
		name = value
	case pythonName:
		name = string(value[strings.LastIndexByte(string(value), '.')+1:])
		name = strings.ToLower(strings.TrimPrefix(name, "LOG_"))
	}
	number, ok := facilities[name]
	if !ok {
		return 0, fmt.Errorf("%q is no facility: want one such as 'local0' or 'daemon'", name)
	}
	return number, nil
}

// A syslog sends lines to a syslog daemon. A line that can't be sent in time goes to the standard
// error, so that a missing or stuck daemon does not block the program.
//
// Package log/syslog is not used: it is not available on Windows, connects and writes without a
// time limit, and can't be created before the daemon answers.
type syslog struct {
	address  syslogAddress
	report   func(message string, err error)
	fallback *stream

	mu      sync.Mutex // guards the rest
	conn    net.Conn   // nil if not connected
	local   bool       // conn is a unix socket
	ends    bool       // conn is a stream, in which lines need a terminator
	again   time.Time  // earliest time of the next try to connect
	failing bool       // the last line could not be sent
	closed  bool
}

// The time limit for a syslog that does not answer, and the pause before the next try.
const (
	syslogTimeout = time.Second
	syslogAgain   = 5 * time.Second
)

const noSyslog = "can't reach the syslog, its lines go to the standard error until it answers"

// connect connects, with mu held.
func (s *syslog) connect() error {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
	var errs []error
	for network := range strings.FieldsSeq(s.address.networks) {
		//nolint:noctx // the log is not part of a request
		conn, err := net.DialTimeout(network, s.address.address, syslogTimeout)
		if err == nil {
			s.conn, s.local, s.ends = conn, strings.HasPrefix(network, "unix"), network == "unix" ||
				network == "tcp"
			return nil
		}
		errs = append(errs, err)
	}
	s.again = time.Now().Add(syslogAgain)
	return errs[0] // the others are for less common kinds of sockets
}

// open connects for the first time.
func (s *syslog) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.connect()
	s.failing = err != nil
	return err
}

// write sends a line of a severity.
func (s *syslog) write(severity int, line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.send(severity, line)
	if err == nil {
		s.failing = false
		return len(line), nil
	}
	if !s.failing && !s.closed {
		s.failing = true
		s.report(noSyslog, err)
	}
	return s.fallback.Write(line)
}

func (s *syslog) send(severity int, line []byte) error {
	if s.closed {
		return net.ErrClosed
	}
	now := time.Now()
	if s.conn == nil {
		if now.Before(s.again) {
			return errors.New("not tried again so soon")
		}
		if err := s.connect(); err != nil {
			return err
		}
		return s.sendLine(severity, line, now)
	}
	if err := s.sendLine(severity, line, now); err == nil {
		return nil
	}
	if err := s.connect(); err != nil { // the daemon may have restarted
		return err
	}
	return s.sendLine(severity, line, now)
}

// sendLine writes a line to the connection, with the header of RFC 3164 that daemons understand;
// over a network with the full time and the name of this machine.
func (s *syslog) sendLine(severity int, line []byte, now time.Time) error {
	b := fmt.Appendf(nil, "<%d>", s.address.facility<<3|severity)
	if s.local {
		b = now.AppendFormat(b, time.Stamp)
	} else {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		b = append(now.AppendFormat(b, time.RFC3339), " "+host...)
	}
	b = fmt.Appendf(b, " %s[%d]: ", filepath.Base(os.Args[0]), os.Getpid())
	b = append(b, strings.TrimSuffix(string(line), "\n")...)
	if s.ends {
		b = append(b, '\n')
	}
	if err := s.conn.SetWriteDeadline(now.Add(syslogTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

func (s *syslog) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// A syslogHandler writes each line with its severity, and without the time, which the syslog adds.
type syslogHandler [len(severities)]slog.Handler

func newSyslogHandler(s *syslog, format string) slog.Handler {
	h := &syslogHandler{}
	for i := range h {
		h[i] = newHandler(syslogWriter{s, i}, format, func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		})
	}
	return h
}

// the level has been checked before
func (h *syslogHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	return h[severity(r.Level)].Handle(ctx, r)
}

func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.then(func(inner slog.Handler) slog.Handler { return inner.WithAttrs(attrs) })
}

func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return h.then(func(inner slog.Handler) slog.Handler { return inner.WithGroup(name) })
}

func (h *syslogHandler) then(step func(slog.Handler) slog.Handler) slog.Handler {
	next := &syslogHandler{}
	for i, inner := range h {
		next[i] = step(inner)
	}
	return next
}

// A syslogWriter writes lines of one severity.
type syslogWriter struct {
	syslog   *syslog
	severity int // an index of severities
}

func (w syslogWriter) Write(line []byte) (int, error) {
	return w.syslog.write(severities[w.severity], line)
}

// checkSyslog returns an error if a syslog of this machine does not answer. Other machines are not
// contacted.
func checkSyslog(t target) error {
	if !strings.Contains(t.syslog.networks, "unix") {
		return nil
	}
	s := &syslog{address: t.syslog}
	if err := s.open(); err != nil {
		return err
	}
	return s.close()
}
