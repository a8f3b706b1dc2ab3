package errorpage

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pasteline/pasteline/internal/redact"
)

// A concealer hides the secrets of one request in everything that is shown of it: those of the
// site's files, and those that the request and its sessions have under the name of a secret. It
// learns them first, since an error may quote them.
type concealer struct {
	known redact.Secrets
	long  []string // the begins of secrets of unknown or great length
}

const (
	longSecret = 1 << 10 // bytes from which on a secret is recognized by its begin
	mostSearch = 8 << 10 // bytes of a text that is searched for secrets; the rest is not shown
)

// begin returns the begin of a text, which is to be searched for secrets. It ends before a long
// secret, whose end is not searched for.
func (c *concealer) begin(text string) string {
	if len(text) > mostSearch {
		text = text[:mostSearch]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	for _, secret := range c.long {
		if before, _, found := strings.Cut(text, secret); found {
			text = before + redact.Hidden
		}
	}
	return text
}

// addSecret remembers a value that is a secret as a whole.
func (c *concealer) addSecret(value string) {
	if len(value) < longSecret {
		c.known.AddSecret(value)
		return
	}
	value = value[:longSecret]
	quoted := strings.Trim(strconv.Quote(value), `"`)
	c.long = append(c.long, value, quoted, url.QueryEscape(value))
}

// text returns prose without secrets, at most most bytes of it.
func (c *concealer) text(text string, most int) string {
	length := len(text)
	text = c.known.Hide(c.begin(text))
	return shorten(text, most, length)
}

// value returns the value under a name without secrets, at most most bytes of it.
func (c *concealer) value(name, value string, most int) string {
	if value != "" && isSecretName(name) {
		return redact.Hidden
	}
	length := len(value)
	value = c.known.Value("", c.begin(value))
	return shorten(value, most, length)
}

// learn remembers the value under a name, if the name is that of a secret.
func (c *concealer) learn(name, value string) {
	if isSecretName(name) {
		c.addSecret(value)
	} else {
		c.known.Add("", value[:min(len(value), mostSearch)])
	}
}

// shorten returns at most most bytes of text, with the length of the whole if that is longer.
func shorten(text string, most, length int) string {
	if len(text) <= most && length <= mostSearch {
		return text
	}
	cut := min(most, len(text))
	for cut > 0 && cut < len(text) && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes in all)", text[:cut], length)
}

// short is shorten for a text that is whole.
func short(text string, most int) string { return shorten(text, most, len(text)) }

// secretFields are header fields that are secret, or identify the browser, whatever their name
// looks like.
var secretFields = []string{"Cookie", "Set-Cookie", "Cookie2", "Sec-Websocket-Key"}

// privateWords are words in the names of fields of forms that redact does not know, as no setting
// has such a name.
var privateWords = []string{
	"auth", "authorization", "authentication", "session", "sessionid", "sid", "jwt", "csrf", "xsrf",
	"otp", "totp", "pin", "cvv", "cvc", "ssn", "iban", "card", "cardnumber", "mfa", "hmac", "nonce",
	"browserid", "ticket", "bearer", "assertion", "saml", "samlresponse", "sig",
}

// isSecretName reports whether the value of a header field, a field of a form, a parameter of a
// query or a key of a session is a secret, judging by its name.
func isSecretName(name string) bool {
	if redact.IsSecretKey(name) || slices.Contains(secretFields, http.CanonicalHeaderKey(name)) {
		return true
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r < 0x80 && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
	return slices.ContainsFunc(words, func(word string) bool {
		return slices.Contains(privateWords, word) || strings.HasSuffix(word, "sessionid") ||
			strings.HasSuffix(word, "sessid")
	})
}

// A pair is a name and its value, as they are shown.
type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// The limits of the shown part of a request.
const (
	mostPairs = 100
	mostValue = 500  // bytes
	mostText  = 2000 // bytes
)

// pairs returns the values of a form or a query, sorted by name.
func (c *concealer) pairs(values map[string][]string) []pair {
	var list []pair
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			if len(list) >= mostPairs {
				return append(list, pair{"…", fmt.Sprintf("and more: %d names in all", len(values))})
			}
			list = append(list, pair{c.text(name, mostValue), c.value(name, value, mostValue)})
		}
	}
	return list
}

// learnAll learns the values of a form, a query or a header.
func (c *concealer) learnAll(values map[string][]string) {
	for name, list := range values {
		for _, value := range list {
			c.learn(name, value)
		}
	}
}

// learnHeader learns the secrets of a header. A cookie is remembered by its value and by the parts
// of it, since the id of the browser is one.
func (c *concealer) learnHeader(r *http.Request, header http.Header) {
	for name, list := range header {
		for _, value := range list {
			switch {
			case name == "Cookie":
			case isSecretName(name):
				c.addSecret(value)
				if _, sent, ok := strings.Cut(value, " "); ok { // Bearer, Basic and others
					c.addSecret(strings.TrimSpace(sent))
				}
			}
		}
	}
	if _, password, ok := r.BasicAuth(); ok {
		c.addSecret(password)
	}
	for _, cookie := range r.Cookies() {
		if len(cookie.Value) < minCookie && !isSecretName(cookie.Name) {
			continue // such as a language, which other texts have too
		}
		c.addSecret(cookie.Value)
		for _, part := range strings.FieldsFunc(cookie.Value, func(r rune) bool {
			return strings.ContainsRune("!|.:&$%", r)
		}) {
			if len(part) >= minCookie {
				c.addSecret(part)
			}
		}
	}
}

// minCookie is the least length in bytes of a value that identifies a browser.
const minCookie = 16

// header returns the fields of a header, sorted by name. Of cookies it has the names.
func (c *concealer) header(r *http.Request, header http.Header) []pair {
	var list []pair
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if name == "Cookie" {
			var names []string
			for _, cookie := range r.Cookies() {
				names = append(names, c.text(cookie.Name, mostValue)+"="+redact.Hidden)
			}
			list = append(list, pair{name, strings.Join(names, "; ")})
			continue
		}
		for _, value := range header[name] {
			if len(list) >= mostPairs {
				return append(list, pair{"…", fmt.Sprintf("and more: %d fields in all", len(header))})
			}
			if name == "Referer" {
				value = c.url(value)
			}
			list = append(list, pair{c.text(name, mostValue), c.value(name, value, mostValue)})
		}
	}
	return list
}

// url returns a URL whose query has no secrets.
func (c *concealer) url(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redact.Hidden
	}
	u.User = nil
	u.RawQuery = c.query(u.RawQuery)
	shown := u.String()
	return c.value("", shown, mostText)
}

// query returns a query without secrets, otherwise as it was sent.
func (c *concealer) query(raw string) string {
	parts := strings.Split(raw, "&")
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); ok && value != "" && (err != nil || isSecretName(plain)) {
			parts[i] = name + "=" + redact.Hidden
		}
	}
	return strings.Join(parts, "&")
}

// data returns a value of a session or of JSON for output: the parts of it that are secrets, by
// their names, are hidden, and values that are nested too deeply are left out.
func (c *concealer) data(name string, v any, depth int) any {
	if isSecretName(name) && v != nil && v != "" {
		return redact.Hidden
	}
	if depth > 8 {
		return "…"
	}
	switch v := v.(type) {
	case map[string]any:
		shown := make(map[string]any, len(v))
		for key, value := range v {
			shown[c.text(key, mostValue)] = c.data(key, value, depth+1)
		}
		return shown
	case []any:
		shown := make([]any, 0, min(len(v), mostPairs))
		for i, value := range v {
			if i >= mostPairs {
				return append(shown, fmt.Sprintf("… (%d more)", len(v)-i))
			}
			shown = append(shown, c.data("", value, depth+1))
		}
		return shown
	case string:
		return c.value("", v, mostValue)
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	default:
		return v
	}
}

// learnData learns the secrets of a value of a session or of JSON.
func (c *concealer) learnData(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if isSecretName(name) {
				key = name
			}
			c.learnData(key, value)
		}
	case []any:
		for _, value := range v {
			c.learnData(name, value)
		}
	case string:
		c.learn(name, v)
	}
}
