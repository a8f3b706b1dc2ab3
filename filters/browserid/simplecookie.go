package browserid

import (
	"regexp"
	"strconv"
	"strings"
)

// cookiePattern matches one cookie as Python 2.7's SimpleCookie does, with which repoze.browserid
// reads cookies. It differs much from RFC 6265: "=" may be part of a name, a blank ends a cookie,
// and the first mismatch ends the parsing of the whole header. While a site is moved from Python to
// Go step by step, both parts must take the same id from the same header, so the pattern reproduces
// this.
//
// Python's \s, \w and \d match ASCII only here, and \s includes the vertical tab.
var cookiePattern = regexp.MustCompile(strings.NewReplacer(
	`SPACE`, `[ \t\n\r\f\v]`,
	`WORD`, `[a-zA-Z0-9_]`,
	`LEGAL`, "a-zA-Z0-9_!#%&'~`><@,:/$*+\\-.^|)(?}{=",
).Replace(
	`^SPACE*` +
		`(?P<key>[LEGAL]+?)` +
		`(SPACE*=SPACE*` +
		`(?P<value>"(?:[^\\"]|\\.)*"|` +
		`WORD{3},SPACE[ \t\n\r\f\va-zA-Z0-9_-]{9,11}SPACE[0-9:]{8}SPACEGMT|` +
		`[LEGAL\[\]]*))?` +
		`SPACE*(SPACE+|;|$)`))

// maxSimpleHeader limits how much of a Cookie header is matched with cookiePattern, which is slow.
// No browser sends as much.
const maxSimpleHeader = 64 << 10

// simpleCookie returns the value that SimpleCookie has under name after parsing the header: that of
// the last cookie with the name.
func simpleCookie(lines []string, name string) (value string, found bool) {
	header := strings.Join(lines, "; ") // as servers join the Cookie headers of one HTTP/2 request
	header = header[:min(len(header), maxSimpleHeader)]
	if !strings.Contains(header, name) {
		return "", false
	}
	inCookie := false // a cookie precedes, to which attributes belong
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
		case isCookieAttribute(key): // attribute of the preceding cookie, or ignored
		case !hasValue:
		case !isToken(key):
			return value, found // SimpleCookie stops here and keeps the cookies before
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

// isCookieAttribute reports whether SimpleCookie treats name as an attribute rather than a cookie.
func isCookieAttribute(name string) bool {
	switch strings.ToLower(name) {
	case "expires", "path", "comment", "domain", "max-age", "secure", "httponly", "version":
		return true
	}
	return false
}

// unquote decodes the quoting of RFC 2109: \" is a quote and \041 an exclamation mark.
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
