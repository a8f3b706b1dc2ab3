package show

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage"
)

// hidden is what is drawn in place of a secret.
const hidden = "***"

// masks knows what must not be drawn.
type masks struct {
	registry *pipeline.Registry
	reveal   bool
	keys     map[string]bool // that some factory in the tree calls a secret
	values   []string        // of secrets, the longest first
}

// shortest is how long the value of a secret must be to be looked for in other settings. A shorter one would be found by chance.
const shortest = 6

// learn notes the secrets of a node.
func (m *masks) learn(n *pipeline.Node) {
	for s := range n.LocalConf.All() {
		if n.IsSecret(s.Key) {
			m.keys[s.Key] = true
		}
		if m.secret(n, s.Key, false) {
			m.learnValue(s.Value)
		}
	}
	for s := range n.GlobalConf.All() {
		if m.secret(n, s.Key, true) {
			m.learnValue(s.Value)
		}
	}
}

func (m *masks) learnValue(value string) {
	if len(value) < shortest || slices.Contains(m.values, value) {
		return
	}
	m.values = append(m.values, value)
	slices.SortStableFunc(m.values, func(a, b string) int { return len(b) - len(a) })
}

// secret reports whether a key is one whose value is a secret.
func (m *masks) secret(n *pipeline.Node, key string, global bool) bool {
	if !global {
		if n.IsSecret(key) {
			return true
		}
		if info, ok := describe(m.registry, n); ok &&
			slices.ContainsFunc(info.Settings, func(s pipeline.SettingInfo) bool { return s.Key == key }) {
			return false
		}
	}
	return m.keys[key] || looksSecret(key)
}

// raw returns the value of a setting of n as it may be shown.
func (m *masks) raw(n *pipeline.Node, s pipeline.Setting, global bool) string {
	switch {
	case m.reveal || s.Value == "" || byLoader(s):
		return s.Value
	case m.secret(n, s.Key, global):
		return hidden
	}
	value := s.Value
	for _, secret := range m.values {
		value = strings.ReplaceAll(value, secret, hidden)
	}
	return redact(value)
}

// value is raw in a form that text and pictures can have.
func (m *masks) value(n *pipeline.Node, s pipeline.Setting, global bool) string {
	return clean(m.raw(n, s, global))
}

var (
	passwordInList = regexp.MustCompile(`(?i)((?:password|passwd|pwd|secret|token|key)=)[^&;\s]+`)
	uriInText      = regexp.MustCompile(`\S+://\S+`)
)

// redact hides what URIs have as user and password, and what follows password= and its like.
func redact(value string) string {
	lines := strings.Split(value, "\n")
	for i, line := range lines {
		// The line as a whole first: a password may have blanks.
		line = uriInText.ReplaceAllStringFunc(storage.Redact(line), storage.Redact)
		lines[i] = passwordInList.ReplaceAllString(line, "${1}"+hidden)
	}
	return strings.Join(lines, "\n")
}

var (
	secretWords = []string{
		"secret", "secrets", "password", "passwords", "passwd", "passphrase", "pass", "pwd", "pw",
		"token", "tokens", "key", "keys", "credential", "credentials", "apikey", "salt",
	}
	// What comes behind such a word and tells of something about the secret, not the secret.
	aboutSecrets = []string{
		"file", "path", "env", "dir", "name", "header", "length", "size", "lifetime", "timeout", "ttl", "age", "id", "prefix",
		"spaces", "type", "algorithm", "field", "param", "url", "uri", "bits", "with", "required", "rotation",
	}
)

// looksSecret guesses from the key of a setting whether its value is a secret.
func looksSecret(key string) bool {
	words := strings.FieldsFunc(wordsOf(key), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) == 0 || slices.Contains(aboutSecrets, words[len(words)-1]) {
		return false
	}
	return slices.ContainsFunc(words, func(word string) bool {
		word = strings.TrimRightFunc(word, unicode.IsDigit)
		return slices.Contains(secretWords, word) ||
			strings.HasSuffix(word, "secret") || strings.HasSuffix(word, "password") || strings.HasSuffix(word, "token")
	})
}

// wordsOf writes secretKey as secret_key.
func wordsOf(key string) string {
	var b strings.Builder
	before := rune(0)
	for _, r := range key {
		if unicode.IsUpper(r) && unicode.IsLower(before) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
		before = r
	}
	return b.String()
}

// clean makes control characters other than line breaks visible, so that a file can't write to the terminal.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !printable(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if printable(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

func printable(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
