// Package echo is an app that answers with the request as text. It shows how the filters of a
// pipeline have changed the request. It has the name of the app test of Paste, the Python package
// for web pipelines.
//
// In Go code, [New] returns the handler. In an .ini file, its name is egg:Paste#test or
// egg:pasteline#echo (after egg: stands the name that a package gives to its app):
//
//	[app:main]
//	use = egg:pasteline#echo
//
// The answer shows the request line, the header fields, sorted, the part of the path below which
// the app is mounted (see package mount), the address of the client, and the body: as text if it is
// text, otherwise as a hex dump.
//
// # Where it differs from Paste
//
// Paste's app test answers every request with the same page, "simple".
//
// # Caveats
//
// The app is for debugging a pipeline. Cookies and credentials are shown only with debug = true,
// since a script in a page of the same site could read values here that browsers hide from it.
package echo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// Config configures the app. The zero Config is the default.
type Config struct {
	// MaxBody is how many bytes of the body are shown; the rest is only counted. Zero means 64 KiB,
	// a negative number no limit.
	MaxBody int64

	// Secrets shows cookies and credentials, too.
	Secrets bool
}

// settings declares the settings of an .ini section.
type settings struct {
	MaxBody pipeline.Bytes `ini:"max_body" default:"64KB" min:"1" help:"bytes of the body that are shown; the rest is counted"`
}

// Register adds the app to r under "egg:pasteline#echo" and the names of Paste's app test.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#echo"
	pipeline.App(r, name, func(b *pipeline.Build, s settings) (http.Handler, error) {
		return New(Config{MaxBody: int64(s.MaxBody), Secrets: b.Debug()}), nil
	})
	r.Alias("egg:Paste#test", name)
	r.Alias("call:paste.debug.debugapp:make_test_app", name)
}

// New returns the app. It is safe for concurrent use.
func New(c Config) http.Handler {
	switch {
	case c.MaxBody == 0:
		c.MaxBody = 64 << 10
	case c.MaxBody < 0:
		c.MaxBody = math.MaxInt64
	}
	return handler.Func(c.serve)
}

func (c Config) serve(w http.ResponseWriter, r *http.Request) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s %s\n", r.Method, printable(r.URL.RequestURI()), r.Proto)
	fmt.Fprintf(&text, "Host: %s\n", printable(r.Host))
	c.fields(&text, r.Header)
	fmt.Fprintf(&text, "\nscript name: %q\npath: %q\nscheme: %s\nremote address: %s\n",
		mount.FromContext(r.Context()), r.URL.Path, mount.Scheme(r), r.RemoteAddr)
	if err := c.body(&text, r); err != nil {
		return err
	}
	if len(r.Trailer) > 0 { // available when the body has been read
		text.WriteString("\ntrailers:\n")
		c.fields(&text, r.Trailer)
	}
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(text.Bytes()) // fails only if the client has disconnected
	return nil
}

// fields writes header fields, sorted.
func (c Config) fields(text *bytes.Buffer, header http.Header) {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range header[name] {
			if !c.Secrets && isSecret(name) {
				value = "***"
			}
			fmt.Fprintf(text, "%s: %s\n", name, printable(value))
		}
	}
}

func isSecret(name string) bool {
	return slices.Contains([]string{"Authorization", "Cookie", "Proxy-Authorization"}, name)
}

// body writes the first part of the request's body, as text if possible.
func (c Config) body(text *bytes.Buffer, r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	shown, err := io.ReadAll(io.LimitReader(r.Body, c.MaxBody))
	if err != nil {
		return bodyError(err)
	}
	more, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return bodyError(err)
	}
	size := int64(len(shown)) + more
	if size == 0 {
		return nil
	}
	fmt.Fprintf(text, "body: %d bytes\n\n", size)
	if isText(shown, more > 0) {
		whole := wholeRunes(shown)
		more += int64(len(shown) - len(whole))
		shown = whole
		text.Write(shown)
		if len(shown) > 0 && shown[len(shown)-1] != '\n' {
			text.WriteByte('\n')
		}
	} else {
		text.WriteString(hex.Dump(shown))
	}
	if more > 0 {
		fmt.Fprintf(text, "… and %d bytes more\n", more)
	}
	return nil
}

// bodyError returns an error with status 400, unless err has its own status.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &handler.Error{
		Status: http.StatusBadRequest,
		Err:    fmt.Errorf("body can't be read: %w", err),
	}
}

// isText reports whether p is printable text. If cut is set, the last character may be incomplete.
func isText(p []byte, cut bool) bool {
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			return cut && !utf8.FullRune(p)
		}
		if !unicode.IsPrint(r) && !strings.ContainsRune("\t\n\r", r) {
			return false
		}
		p = p[size:]
	}
	return true
}

// wholeRunes returns text without an incomplete character at its end.
func wholeRunes(text []byte) []byte {
	for cut := 1; cut < utf8.UTFMax && cut <= len(text); cut++ {
		if tail := text[len(text)-cut:]; utf8.RuneStart(tail[0]) && !utf8.FullRune(tail) {
			return text[:len(text)-cut]
		}
	}
	return text
}

// printable returns s, quoted if it could control a terminal.
func printable(s string) string {
	if isText([]byte(s), false) {
		return s
	}
	return fmt.Sprintf("%q", s)
}
