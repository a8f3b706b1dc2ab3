package browserid

import (
	"regexp"
	"strconv"
	"strings"
)

// cookiePattern is one cookie as Python 2.7's SimpleCookie, which the original reads cookies with, understands it. It
// is far from RFC 6265: "=" may be part of a name, a blank ends a cookie, and the first thing that does not fit ends
// the reading of the whole header. A site that is moved request by request needs both halves to take the same id from
// the same header, so it is kept as it is.
//
// Python's \s, \w and \d mean ASCII here; \s has the vertical tab too.
var cookiePattern = regexp.MustCompile(strings.NewReplacer(
	`SPACE`, `[ \t\n\r\f\v]`,
	`WORD`, `[a-zA-Z0-9_]`,
	`LEGAL`, "a-zA-Z0-9_!#%&'~`><@,:/$*+\\-.^|)(?}{=",
).Replace(
	`^SPACE*` +
		`(?P<key>[LEGAL]+?)` +
		`(SPACE*=SPACE*` +
		`(?P<value>"(?:[^\\"]|\\.)*"|WORD{3},SPACE[ \t\n\r\f\va-zA-Z0-9_-]{9,11}SPACE[0-9:]{8}SPACEGMT|[LEGAL\[\]]*))?` +
		`SPACE*(SPACE+|;|$)`))

// maxSimpleHeader is how much of a Cookie header is read with cookiePattern, at 0.2 µs a byte. No browser sends as much.
const maxSimpleHeader = 64 << 10

// simpleCookie returns the value that SimpleCookie has under name after reading the header: the last one that it read.
func simpleCookie(lines []string, name string) (value string, found bool) {
	header := strings.Join(lines, "; ") // as servers join the Cookie headers of one HTTP/2 request
	header = header[:min(len(header), maxSimpleHeader)]
	if !strings.Contains(header, name) {
		return "", false
	}
	inCookie := false // a cookie came before, which attributes may belong to
	for header != "" {
		m := cookiePattern.FindStringSubmatchIndex(header)
		if m == nil {
			break
		}
		key := header[m[2]:m[3]]
		hasValue := m[6] >= 0
		switch {
		case key[0] == '$':
			if inCookie && !isCookieAttribute(key[1:]) {
				return value, found
			}
		case isCookieAttribute(key): // an attribute of the cookie before, or nothing
		case !hasValue:
		case !isToken(key):
			return value, found // SimpleCookie gives up, and what was read before counts
		default:
			inCookie = true
			if key == name {
				value, found = unquote(header[m[6]:m[7]]), true
			}
		}
		header = header[m[1]:]
	}
	return value, found
}

// isCookieAttribute reports whether SimpleCookie takes name for an attribute and not for a cookie.
func isCookieAttribute(name string) bool {
	switch strings.ToLower(name) {
	case "expires", "path", "comment", "domain", "max-age", "secure", "httponly", "version":
		return true
	}
	return false
}

// unquote undoes the quoting of RFC 2109: \" stands for a quote and \041 for an exclamation mark.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if len(s) >= 3 && s[0] <= '3' {
			if code, err := strconv.ParseUint(s[:3], 8, 8); err == nil {
				b.WriteByte(byte(code))
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
}
