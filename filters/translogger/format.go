package translogger

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// combined is Apache's combined format.
const combined = `%(REMOTE_ADDR)s - %(REMOTE_USER)s [%(time)s] ` +
	`"%(REQUEST_METHOD)s %(REQUEST_URI)s %(HTTP_VERSION)s" ` +
	`%(status)s %(bytes)s "%(HTTP_REFERER)s" "%(HTTP_USER_AGENT)s"`

// A format is a parsed line format: a sequence of texts and fields.
type format []part

// A part is a text, or a field with its width.
type part struct {
	text      string
	append    func(b []byte, e *entry) []byte // nil for text
	width     int                             // negative: aligned to the left
	precision int                             // negative: not limited
	cut       bool                            // the field is the one named cut
}

// fields are the fields that a format can contain.
var fields = map[string]func(b []byte, e *entry) []byte{
	"REMOTE_ADDR":     func(b []byte, e *entry) []byte { return appendEscaped(b, e.remoteAddr()) },
	"REMOTE_USER":     func(b []byte, e *entry) []byte { return appendEscaped(b, e.user()) },
	"REQUEST_METHOD":  func(b []byte, e *entry) []byte { return appendEscaped(b, e.method) },
	"REQUEST_URI":     func(b []byte, e *entry) []byte { return appendEscaped(b, e.uri()) },
	"HTTP_VERSION":    func(b []byte, e *entry) []byte { return appendEscaped(b, e.request.Proto) },
	"HTTP_REFERER":    headerField("Referer"),
	"HTTP_USER_AGENT": headerField("User-Agent"),
	"time":            appendTime,
	"status":          appendStatus,
	"bytes":           func(b []byte, e *entry) []byte { return appendSize(b, e.Bytes) },
	"cut":             appendCut,
	"duration":        appendDuration,
}

// headerField returns the field with the value of a request header.
func headerField(name string) func(b []byte, e *entry) []byte {
	return func(b []byte, e *entry) []byte { return appendEscaped(b, e.request.Header.Get(name)) }
}

func appendStatus(b []byte, e *entry) []byte {
	return strconv.AppendInt(b, int64(e.Status), 10)
}

func appendTime(b []byte, e *entry) []byte {
	return e.start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
}

func appendDuration(b []byte, e *entry) []byte {
	return strconv.AppendFloat(b, e.duration.Seconds(), 'f', 6, 64)
}

// appendCut appends a word for a response that was cut off.
func appendCut(b []byte, e *entry) []byte {
	if !e.cut {
		return b
	}
	return append(b, "cut"...)
}

// appendSize appends the size. It appends nothing for an empty body, for which appendTo writes -,
// as in Apache's log.
func appendSize(b []byte, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(b, n, 10)
}

// field matches a field in Python's syntax. The only conversion is s, since all values are text.
var field = regexp.MustCompile(`^%\(([^)]*)\)(-?)([0-9]{0,3})(?:\.([0-9]{1,3}))?s`)

// parseFormat parses a format; an empty text gives an empty format.
func parseFormat(text string) (format, error) {
	if text == "combined" {
		text = combined
	}
	var f format
	for text != "" {
		literal, rest, found := strings.Cut(text, "%")
		if literal != "" {
			f = append(f, part{text: literal})
		}
		if !found {
			break
		}
		if after, ok := strings.CutPrefix(rest, "%"); ok {
			f = append(f, part{text: "%"})
			text = after
			continue
		}
		text = "%" + rest
		m := field.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("%q is not a field: "+
				"want %%(name)s, or %%%% for a percent sign (each %% doubled in an .ini)",
				firstWord(text))
		}
		value, ok := fields[m[1]]
		if !ok {
			return nil, fmt.Errorf("unknown field %q; want one of: %s",
				m[1], strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		p := part{append: value, precision: -1, cut: m[1] == "cut"}
		p.width, _ = strconv.Atoi(m[3]) // digits, or empty for zero
		if m[2] != "" {
			p.width = -p.width
		}
		if m[4] != "" {
			p.precision, _ = strconv.Atoi(m[4]) // digits
		}
		f = append(f, p)
		text = text[len(m[0]):]
	}
	return f, nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// appendTo appends the line of an entry, without a newline. If the response was cut off and the
// format has no field for that, the word cut is added.
func (f format) appendTo(b []byte, e *entry) []byte {
	done := !e.cut
	for i := range f {
		p := &f[i]
		done = done || p.cut
		if p.append == nil {
			b = append(b, p.text...)
			continue
		}
		start := len(b)
		if b = p.append(b, e); len(b) == start {
			b = append(b, '-')
		}
		if p.precision >= 0 || p.width != 0 {
			b = p.fit(b, start)
		}
	}
	if !done {
		b = appendCut(append(b, ' '), e)
	}
	return b
}

// fit pads or truncates the text from start on to the part's width.
func (p *part) fit(b []byte, start int) []byte {
	s := string(b[start:])
	if p.precision >= 0 {
		return fmt.Appendf(b[:start], "%*.*s", p.width, p.precision, s)
	}
	return fmt.Appendf(b[:start], "%*s", p.width, s)
}

// appendEscaped appends s with the escapes of Apache, such as \", \\ and \x1b, for characters that
// could end the field or the line, or control a terminal.
func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		size := 1
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError && r >= 0xa0 && strconv.IsPrint(r) {
				b, size = append(b, s[i:i+n]...), n
			} else {
				b = appendHex(b, c)
			}
		} else if c < ' ' || c == 0x7f {
			b = appendHex(b, c)
		} else {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
		}
		i += size
	}
	return b
}

func appendHex(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'x', digits[c>>4], digits[c&15])
}
