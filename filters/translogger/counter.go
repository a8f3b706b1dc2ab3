package translogger

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A counter notes the status and the size of a response that passes through it. It holds nothing back. It is as safe for
// concurrent use as the response that it wraps is by convention: not at all.
type counter struct {
	http.ResponseWriter
	status int // zero until it is known
	bytes  int64
}

// WriteHeader notes the status. Informational ones are not the last, but for 101.
func (c *counter) WriteHeader(status int) {
	if c.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// imply notes the status of a handler that writes without saying one.
func (c *counter) imply(status int) {
	if c.status == 0 {
		c.status = status
	}
}

// Write counts what is written.
func (c *counter) Write(p []byte) (int, error) {
	c.imply(http.StatusOK)
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// WriteString counts what is written.
func (c *counter) WriteString(s string) (int, error) {
	c.imply(http.StatusOK)
	n, err := io.WriteString(c.ResponseWriter, s)
	c.bytes += int64(n)
	return n, err
}

// ReadFrom counts what is read, and lets the server send it in its best way.
func (c *counter) ReadFrom(src io.Reader) (int64, error) {
	c.imply(http.StatusOK)
	n, err := io.Copy(c.ResponseWriter, src)
	c.bytes += n
	return n, err
}

// Flush is FlushError for callers that can't be told.
func (c *counter) Flush() { _ = c.FlushError() }

// FlushError passes the flush on. It sends the header, so it implies a status.
func (c *counter) FlushError() error {
	err := http.NewResponseController(c.ResponseWriter).Flush()
	if err == nil {
		c.imply(http.StatusOK)
	}
	return err
}

// Hijack passes the connection on. What is sent through it is not counted.
func (c *counter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(c.ResponseWriter).Hijack()
	if err == nil {
		c.imply(http.StatusSwitchingProtocols)
	}
	return conn, buffered, err
}

// Unwrap lets deadlines be set through an [http.ResponseController].
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
