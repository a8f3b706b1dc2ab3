package systemd

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The variables that say where to send notifications, and whether systemd expects signs of life.
const (
	notifySocket = "NOTIFY_SOCKET"
	watchdogUsec = "WATCHDOG_USEC"
	watchdogPID  = "WATCHDOG_PID"
)

// sendLimit bounds how long a notification may wait for room in systemd's socket.
const sendLimit = time.Second

// A Notifier reports the state of this process to systemd. A nil Notifier reports nothing. Its
// methods may be called by several goroutines; each call sends one datagram, and returns an error
// that names the socket if that fails.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// NewNotifier returns the Notifier that the environment describes, nil if it describes none. An
// error says which variable can't be used; the Notifier then works without it.
func NewNotifier(getenv func(string) string) (*Notifier, error) {
	socket := getenv(notifySocket)
	switch {
	case socket == "":
		return nil, nil
	case len(socket) < 2 || socket[0] != '/' && socket[0] != '@':
		return nil, fmt.Errorf("systemd: %s=%s: want an absolute path, or @ and a name; systemd will not be notified", notifySocket, socket)
	}
	n := &Notifier{socket: socket}
	pid := getenv(watchdogPID)
	period := getenv(watchdogUsec)
	if period == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil // none, or that of another process
	}
	usec, err := strconv.ParseInt(period, 10, 64)
	if err != nil || usec <= 0 || usec > math.MaxInt64/int64(time.Microsecond) {
		return n, fmt.Errorf("systemd: %s=%s: want a number of microseconds above 0; the watchdog gets no signs of life", watchdogUsec, period)
	}
	n.watchdog = time.Duration(usec) * time.Microsecond
	return n, nil
}

// Interval returns how often [Notifier.Alive] is to be called: half of the unit's WatchdogSec=. It
// is 0 if the unit has none.
func (n *Notifier) Interval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Ready reports that the service has started, or that a reload has ended, whatever its result.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Reloading reports that the service has begun to reload its configuration. [Notifier.Ready] ends it.
func (n *Notifier) Reloading(status string) error {
	return n.send("RELOADING=1", monotonicTime(), statusLine(status))
}

// Stopping reports that the service has begun to shut down.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Alive is a sign of life for the watchdog.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// statusLine is what systemctl status shows: a line of UTF-8. A line break would begin another
// assignment.
func statusLine(status string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(status, "\uFFFD"), unicode.IsControl)
	return "STATUS=" + strings.Join(words, " ")
}

// send sends assignments, one a line; "" stands for none.
func (n *Notifier) send(assignments ...string) error {
	if n == nil {
		return nil
	}
	var message strings.Builder
	for _, a := range assignments {
		if a != "" {
			message.WriteString(a + "\n")
		}
	}
	// Go takes @ for the zero byte that begins an abstract name.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd: notifying %s: %w", n.socket, err)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(sendLimit)) // a connection that was just opened has one
	_, err = conn.Write([]byte(message.String()))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("systemd: notifying %s: %w", n.socket, err)
	}
	return nil
}
