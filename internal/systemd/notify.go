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

// The variables with the address for notifications, and with the interval of the watchdog.
const (
	notifySocket = "NOTIFY_SOCKET"
	watchdogUsec = "WATCHDOG_USEC"
	watchdogPID  = "WATCHDOG_PID"
)

// sendLimit is the time limit of a notification, for the case that systemd's socket is full.
const sendLimit = time.Second

// A Notifier reports the state of this process to systemd. A nil Notifier does nothing. It is safe
// for concurrent use. Each method sends one datagram; its error names the socket.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// NewNotifier returns the Notifier for the environment, or nil if there is no socket. An error
// names a variable that can't be used; the Notifier then works without it.
func NewNotifier(getenv func(string) string) (*Notifier, error) {
	socket := getenv(notifySocket)
	switch {
	case socket == "":
		return nil, nil
	case len(socket) < 2 || socket[0] != '/' && socket[0] != '@':
		return nil, fmt.Errorf("systemd: %s=%s: want an absolute path, or @ and a name; systemd "+
			"will not be notified", notifySocket, socket)
	}
	n := &Notifier{socket: socket}
	pid := getenv(watchdogPID)
	period := getenv(watchdogUsec)
	if period == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n, nil // unset, or for another process
	}
	usec, err := strconv.ParseInt(period, 10, 64)
	if err != nil || usec <= 0 || usec > math.MaxInt64/int64(time.Microsecond) {
		return n, fmt.Errorf("systemd: %s=%s: want a number of microseconds above 0; the "+
			"watchdog gets no signs of life", watchdogUsec, period)
	}
	n.watchdog = time.Duration(usec) * time.Microsecond
	return n, nil
}

// Interval returns the time between two calls of [Notifier.Alive]: half of the unit's WatchdogSec=,
// or 0 without one.
func (n *Notifier) Interval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

// Ready reports that the service has started, or that a reload has ended, whatever its result.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Reloading reports that the service has begun to reload its configuration. [Notifier.Ready] ends
// it.
func (n *Notifier) Reloading(status string) error {
	return n.send("RELOADING=1", monotonicTime(), statusLine(status))
}

// Stopping reports that the service has begun to shut down.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Alive notifies the watchdog.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// statusLine returns the assignment for the line that systemctl status prints, in UTF-8. A line
// break would begin another assignment.
func statusLine(status string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(status, "\uFFFD"), unicode.IsControl)
	return "STATUS=" + strings.Join(words, " ")
}

// send sends assignments, one a line, except empty ones.
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
	// Go expects @ in place of the zero byte that begins an abstract name.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd: notifying %s: %w", n.socket, err)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(sendLimit)) // can't fail for a new connection
	_, err = conn.Write([]byte(message.String()))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("systemd: notifying %s: %w", n.socket, err)
	}
	return nil
}
