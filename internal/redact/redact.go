package redact

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Hidden is printed in place of a secret.
const Hidden = "***"

// Value returns the value of a setting for output. The key may be "".
func Value(key, value string) string { return (*Secrets)(nil).Value(key, value) }

// Text returns prose, such as the message of an error, without secrets in the URIs, options and
// similar forms that it quotes.
func Text(text string) string { return hide(text, secretsOfText(text)) }

// A span is a part of a text.
type span struct{ from, to int }

// hide replaces the spans, which may overlap.
func hide(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.from, b.from),
			cmp.Compare(b.to, a.to))
	})
	var b strings.Builder
	at := 0
	for _, s := range spans {
		if s.from >= at {
			b.WriteString(text[at:s.from])
			b.WriteString(Hidden)
		}
		at = max(at, s.to)
	}
	b.WriteString(text[at:])
	return b.String()
}

var (
	scheme = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://`)

	// An option whose name contains a secret word. In prose no space may separate name, delimiter
	// and value, because prose contains "key = value"; there, a colon is a delimiter in JSON only.
	optionName  = `[\w.%-]*(?:pass|pwd|secret|token|key|credential|signature)[\w.%-]*`
	valueOption = regexp.MustCompile(`(?i)` + optionName + `["']?\s*[=:]\s*`)
	textOption  = regexp.MustCompile(`(?i)(?:` + optionName + `=|["']` + optionName +
		`\\?["']\s*:\s*\\?["'])`)
	argument   = regexp.MustCompile(`(?i)--` + optionName + `\s+`)
	nextOption = regexp.MustCompile(`[\s&;,]+["']?[\w.%-]+["']?\s*=`)
)

// Values that are, or end with, a secret without a name.
var (
	headerField = regexp.MustCompile(`(?i)^(?:[\w-]*authorization\s*:\s*)?(?:basic|bearer|digest|token)\s+`)
	// a line of libpq's password file
	passwordFile = regexp.MustCompile(`^[^:\s]+:(?:\d+|\*):[^:\s]*:[^:\s]*:`)
	// user/password@host
	beforeSlash = regexp.MustCompile(`(?:^|[\s,;="'(])([^\s/:@]+/)[^\s@]+@[^\s/@]`)
	privateKey  = "PRIVATE KEY-----"
)

// secretsOfValue finds the secrets in a value. A password may contain any character, so its end is
// recognized by the form of the following text.
func secretsOfValue(value string) []span {
	var spans []span
	if i := strings.Index(value, privateKey); i >= 0 {
		spans = append(spans, span{i + len(privateKey), len(value)})
	}
	from := 0
	for line := range strings.Lines(value) {
		text := strings.TrimRight(line, "\r\n")
		for _, s := range slices.Concat(userOfURIs(text, isNextURI, ""), userWithoutScheme(text),
			behindSlash(text),
			options(text, valueOption, endOfOption), options(text, argument, endOfWord), rest(text,
				headerField), rest(text, passwordFile)) {
			spans = append(spans, span{from + s.from, from + s.to})
		}
		from += len(line)
	}
	return spans
}

// secretsOfText finds the secrets in prose, where white space and quotes end a quoted value.
func secretsOfText(text string) []span {
	users := userOfURIs(text, func(string, int) bool { return true }, " \t\r\n\"'`")
	spans := slices.Concat(users, options(text, textOption, endOfWord))
	for at := 0; at < len(text); {
		end := endOfWord(text[at:]) + at
		for _, s := range userWithoutScheme(text[at:end]) {
			spans = append(spans, span{at + s.from, at + s.to})
		}
		at = end + 1
	}
	return spans
}

// userOfURIs finds the user information of URIs: the text between the scheme and the last @ before
// the next URI, or before one of stops. A URI without a host has none, unless it seems to have a
// surplus slash.
func userOfURIs(text string, isNext func(string, int) bool, stops string) []span {
	var spans []span
	found := slices.DeleteFunc(scheme.FindAllStringIndex(text, -1),
		func(at []int) bool { return !isNext(text, at[0]) })
	for i, at := range found {
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		rest := text[at[1]:end]
		if stop := strings.IndexAny(rest, stops); stop >= 0 {
			rest = rest[:stop]
		}
		user := strings.LastIndexByte(rest, '@')
		if user >= 0 && (rest[0] != '/' || strings.Contains(rest[:user], ":")) {
			spans = append(spans, span{at[1], at[1] + user})
		}
	}
	return spans
}

// kind matches a prefix of a URI, as in "jdbc:mysql://".
var kind = regexp.MustCompile(`^(?:[A-Za-z]+:)+$`)

// isNextURI reports whether a scheme at that position begins a URI, rather than being a part of a
// password: it is the first one, or follows a delimiter.
func isNextURI(text string, at int) bool {
	return at == 0 || strings.IndexByte(" \t,;|=\"'(", text[at-1]) >= 0 ||
		kind.MatchString(text[:at])
}

// userWithoutScheme finds the user information of "user:password@host": from the beginning of the
// word with the first colon to the last @.
func userWithoutScheme(text string) []span {
	end := strings.LastIndexByte(text, '@')
	if end < 0 || strings.Contains(text, "://") {
		return nil
	}
	colon := strings.IndexByte(text[:end], ':')
	if colon < 0 {
		return nil
	}
	return []span{{strings.LastIndexAny(text[:colon], " \t,;=\"'(") + 1, end}}
}

// behindSlash finds the password of "user/password@host".
func behindSlash(text string) []span {
	m := beforeSlash.FindStringSubmatchIndex(text)
	if m == nil || strings.Contains(text, "://") {
		return nil
	}
	return []span{{m[3], strings.LastIndexByte(text, '@')}}
}

// rest returns the span after a prefix that matches begins.
func rest(text string, begins *regexp.Regexp) []span {
	if m := begins.FindStringIndex(text); m != nil && m[1] < len(text) {
		return []span{{m[1], len(text)}}
	}
	return nil
}

// options finds the values of options with a secret name.
func options(text string, option *regexp.Regexp, end func(string) int) []span {
	var spans []span
	for at := 0; at < len(text); {
		m := option.FindStringIndex(text[at:])
		if m == nil {
			break
		}
		from := at + m[1]
		if strings.HasPrefix(text[from:], "//") { // the scheme of a URI
			at = from
			continue
		}
		if text[from-1] == '"' || text[from-1] == '\'' { // in JSON
			from--
		}
		to := from + endOfQuoted(text[from:])
		if to == from {
			to = from + end(text[from:])
		}
		// a placeholder in a hint
		if to > from && strings.TrimRight(text[from:to], ",.") != "value" {
			spans = append(spans, span{from, to})
		}
		at = max(to, from)
	}
	return spans
}

// endOfQuoted returns the length of the quoted text at the start of s, or 0. A quote may be escaped
// by a backslash, as in libpq, or doubled.
func endOfQuoted(s string) int {
	if s == "" {
		return 0
	}
	quote := s[0]
	switch quote {
	case '"', '\'':
	case '{':
		quote = '}'
	default:
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote && quote != '}':
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// endOfOption returns the length of an option's value, up to the next option.
func endOfOption(s string) int {
	if m := nextOption.FindStringIndex(s); m != nil {
		return m[0]
	}
	return len(s)
}

// endOfWord returns the length up to white space, a quote, or the next option of a URI.
func endOfWord(s string) int {
	end := len(s)
	if i := strings.IndexAny(s, " \t\r\n\"'`"); i >= 0 {
		end = i
	}
	if m := nextOption.FindStringIndex(s[:end]); m != nil {
		return m[0]
	}
	return end
}

// Strays reports whether the user information of a URI is longer than a parser assumes, because it
// contains / ? or # without percent-encoding. An error about any other part of the URI may then
// quote a part of the password.
func Strays(uri string) bool {
	_, rest, ok := strings.Cut(uri, "://")
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	return ok && authority != "" && !strings.Contains(authority, "@") &&
		strings.Contains(authority, ":") &&
		strings.Contains(rest, "@")
}

// shortest is the minimum length of a secret that is searched for in other text. A shorter one
// would match by chance, and so would words such as "secret".
const (
	shortest = 5
	long     = 8 // from this length on it is not part of another word
)

// most limits the number of remembered secrets, so that a hostile file can't slow the loader down.
const most = 1024

// Secrets hides secrets by their values. The zero Secrets has none.
type Secrets struct {
	values []string // the longest first
}

// Add remembers the secrets in the value of a setting.
func (s *Secrets) Add(key, value string) {
	if IsSecretKey(key) || misplaced(key, value) {
		// a path is the place of a key, not the key
		if !strings.HasPrefix(value, "/") || !isPath(value) {
			s.AddSecret(value)
		}
		return
	}
	for _, at := range secretsOfValue(value) {
		secret := value[at.from:at.to]
		if !strings.HasPrefix(value[at.to:], "@") {
			s.AddSecret(secret)
			// user/password@host
		} else if value[max(0, at.from-1):at.from] == "/" && !strings.Contains(value, "://") {
			s.AddSecret(secret)
		} else if _, password, ok := strings.Cut(secret, ":"); ok {
			s.AddSecret(password)
		} else if isRandom(secret) { // a token rather than a user's name
			s.AddSecret(secret)
		}
	}
}

// AddSecret remembers a value that is a secret as a whole. Each of its lines is one secret.
func (s *Secrets) AddSecret(value string) {
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		s.add(line)
		if len(line) > 1 && (line[0] == '\'' || line[0] == '"') {
			line = strings.Trim(line, line[:1])
			s.add(line)
			s.add(strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`).Replace(line))
		}
		if plain, err := url.PathUnescape(line); err == nil {
			s.add(plain)
		}
		s.add(url.QueryEscape(line))
		s.add(url.PathEscape(line))
		s.add(url.UserPassword("", line).String()[1:])
	}
}

// add remembers a value, also as quoted by %q and JSON.
func (s *Secrets) add(value string) {
	if len(value) < shortest || len(s.values) >= most ||
		slices.Contains(secretWords, strings.ToLower(value)) {
		return
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(value)
	for _, form := range [...]string{value, quoted} {
		if !slices.Contains(s.values, form) {
			i, _ := slices.BinarySearchFunc(s.values, len(form),
				func(v string, n int) int { return n - len(v) })
			s.values = slices.Insert(s.values, i, form)
		}
	}
}

// Merge adds the secrets of other.
func (s *Secrets) Merge(other *Secrets) {
	if other != nil {
		for _, value := range other.values {
			s.add(value)
		}
	}
}

// Hide is [Text], and hides the known secrets as well. A nil Secrets knows none.
func (s *Secrets) Hide(text string) string {
	return hide(text, append(secretsOfText(text), s.spans(text)...))
}

// Value is the function [Value], and hides the known secrets as well. A nil Secrets knows none.
func (s *Secrets) Value(key, value string) string {
	if value != "" && (IsSecretKey(key) || misplaced(key, value)) {
		return Hidden
	}
	return hide(value, append(secretsOfValue(value), s.spans(value)...))
}

// spans finds the known secrets in text. A short one counts only where it is not part of a word.
func (s *Secrets) spans(text string) []span {
	if s == nil {
		return nil
	}
	var spans []span
	for _, secret := range s.values {
		for at := 0; ; {
			i := strings.Index(text[at:], secret)
			if i < 0 {
				break
			}
			from, to := at+i, at+i+len(secret)
			if len(secret) >= long || !joined(text, from) && !joined(text, to) {
				spans = append(spans, span{from, to})
			}
			at = from + 1
		}
	}
	return spans
}

// joined reports whether the characters before and behind a place in text are of one word.
func joined(text string, at int) bool {
	return at > 0 && at < len(text) && isWordByte(text[at-1]) && isWordByte(text[at])
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' &&
		c <= 'Z' || c >= 0x80
}
