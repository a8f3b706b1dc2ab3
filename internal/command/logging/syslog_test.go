package logging_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/command/logging"
)

// A daemon is a syslog that keeps what it is sent.
type daemon struct {
	t     *testing.T
	conn  net.PacketConn
	lines chan string
}

func listenSyslog(t *testing.T, network, address string) *daemon {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t, conn, make(chan string, 100)}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			d.lines <- string(buf[:n])
		}
	}()
	return d
}

var syslogHeader = regexp.MustCompile(`^<(\d+)>(\w{3} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+ \S+) \S+\[\d+\]: `)

// next returns the priority of the next line, and what follows the header.
func (d *daemon) next() string {
	d.t.Helper()
	select {
	case line := <-d.lines:
		m := syslogHeader.FindStringSubmatch(line)
		if m == nil {
			d.t.Fatalf("got %q, want a header", line)
		}
		return m[1] + " " + strings.TrimPrefix(line, m[0])
	case <-time.After(10 * time.Second):
		d.t.Fatal("nothing came")
	}
	return ""
}

// socketDir is a folder whose path is short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "log") //nolint:usetesting // its path may be too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func withSyslog(args string) string {
	return strings.Replace(rotated("SysLogHandler", args), "[logger_root]\n", "[logger_root]\nlevel = DEBUG\n", 1)
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such sockets there")
	}
	socket := filepath.Join(socketDir(t), "log")
	d := listenSyslog(t, "unixgram", socket)
	s := newSite(t, withSyslog(fmt.Sprintf("('%s', handlers.SysLogHandler.LOG_LOCAL0)", socket)))
	log := s.open()
	logger := of(log, "app:main").WithGroup("g")
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: "135 level=DEBUG", slog.LevelInfo: "134 level=INFO", slog.LevelWarn: "132 level=WARN", slog.LevelError: "131 level=ERROR", slog.LevelError + 4: "130 level=ERROR+4",
	} {
		logger.Log(t.Context(), level, "hello", slog.String("k", "a\nb"))
		if got, want := d.next(), want+` msg=hello section=app:main g.k="a\nb"`; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	// A reload goes on with the connection, and a value that logs does not wait for itself.
	if err := log.Reload(); err != nil {
		t.Fatal(err)
	}
	log.Logger().Info("outer", slog.Any("value", talkative{log.Logger()}))
	if got := d.next() + d.next(); got != "134 level=INFO msg=inner134 level=INFO msg=outer value=x" {
		t.Errorf("got %s", got)
	}
	// The daemon is restarted.
	_ = d.conn.Close()
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	d = listenSyslog(t, "unixgram", socket)
	log.Logger().Info("again")
	if got, want := d.next(), "134 level=INFO msg=again"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := s.stderr.String(); got != "" {
		t.Errorf("stderr: got %s, want nothing", got)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	log.Logger().Info("late")
	if got := s.stderr.String(); got != "level=INFO msg=late\n" && !strings.HasSuffix(got, "level=INFO msg=late\n") {
		t.Errorf("stderr: got %s, want what came after the end", got)
	}
}

func TestSyslogElsewhere(t *testing.T) {
	t.Parallel()
	d := listenSyslog(t, "udp", "127.0.0.1:0")
	s := newSite(t, withSyslog(fmt.Sprintf("(('127.0.0.1', %d), 'daemon')", d.conn.LocalAddr().(*net.UDPAddr).Port)))
	s.open().Logger().Warn("hello")
	if got, want := d.next(), "28 level=WARN msg=hello"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSyslogOverTCP(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSite(t, withSyslog(fmt.Sprintf("(('127.0.0.1', %d), 3, socket.SOCK_STREAM)", l.Addr().(*net.TCPAddr).Port)))
	log := s.open()
	log.Logger().Warn("one")
	log.Logger().Warn("two")
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	buf := make([]byte, 1000)
	for {
		n, err := conn.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	got := regexp.MustCompile(`(?m)^<28>.*\]: `).ReplaceAllString(b.String(), "")
	if want := "level=WARN msg=one\nlevel=WARN msg=two\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A syslog that is not there is a warning, and what would go there goes to the standard error.
func TestSyslogMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t, withSyslog("('/nowhere/log',)"))
	const want = "site.ini:10: [handler_f] args: can't reach the syslog, its lines go to the standard error until it answers: dial unixgram /nowhere/log: connect: no such file or directory"
	log := s.open()
	log.Logger().Error("hello")
	got := strings.ReplaceAll(s.stderr.String(), s.dir+string(filepath.Separator), "")
	if want := `level=WARN msg="note on the logging configuration" note="` + want + `"` + "\nlevel=ERROR msg=hello\n"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	warnings, err := logging.Check(s.config, s.options())
	if err != nil || len(warnings) != 1 || s.faults(errors.New(warnings[0].String())) != want {
		t.Errorf("Check: got %v, %v", warnings, err)
	}
}

// A daemon that takes nothing holds a line up for a moment, and does not stop the program.
func TestSyslogStuck(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a socket that is full is an error at once")
	}
	socket := filepath.Join(socketDir(t), "log")
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := newSite(t, withSyslog("('"+socket+"',)"))
	logger := s.open().Logger()
	for i := 0; i < 10000 && !strings.Contains(s.stderr.String(), "msg=hello"); i++ {
		logger.Error("hello")
	}
	if got := s.stderr.String(); !strings.Contains(got, "msg=hello") {
		t.Errorf("stderr: got %s, want the line that was not taken", got)
	}
}

func TestSyslogFaults(t *testing.T) {
	t.Parallel()
	const want = "want '/dev/log' or ('localhost', 514)"
	tests := []struct{ args, want string }{
		{"('/dev/log', 'local9')", `"local9" is no facility: want one such as 'local0' or 'daemon'`},
		{"('/dev/log', 99)", "99 is no facility: want a number from 0 to 23, or a name such as 'local0'"},
		{"('/dev/log', handlers.SysLogHandler.LOG_LOUD)", `"loud" is no facility: want one such as 'local0' or 'daemon'`},
		{"('',)", "the address is empty: " + want},
		{"(5,)", "the address is not understood: " + want},
		{"(('localhost',),)", "the address is no pair of a host and a port: " + want},
		{"(('localhost', 99999),)", "the address is no pair of a host and a port: " + want},
		{"(address)", "the address is not understood: " + want},
	}
	for _, tt := range tests {
		s := newSite(t, rotated("SysLogHandler", tt.args))
		warnings, err := logging.Check(s.config, s.options())
		if err != nil || len(warnings) != 1 || s.faults(errors.New(warnings[0].String())) != "site.ini:9: [handler_f] args: not used: "+tt.want {
			t.Errorf("%s: got %v, %v", tt.args, warnings, err)
		}
	}
}
