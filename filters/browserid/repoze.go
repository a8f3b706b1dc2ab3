package browserid

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // repoze.browserid signs its cookies with MD5
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// A repozeCodec signs and verifies cookie values as repoze.browserid does:
//
//	id "!" tag
//
// The tag is an HMAC-MD5 in hexadecimal. Its key is the concatenation of the secret and the values
// named by vary: a secret "ab" with the value "c" gives the same key as "a" with "bc". Because of
// this weakness, new cookies should have this package's format as soon as the last Python process
// is gone.
type repozeCodec struct {
	secrets []string // the first signs, all verify
}

func (c *repozeCodec) sign(id ID, values []string) string {
	return string(id) + "!" + repozeTag(c.secrets[0], string(id), values)
}

func (c *repozeCodec) verify(value string, values []string) (id ID, key int, ok bool) {
	if !isRepozeCandidate(value) {
		return "", 0, false
	}
	text, tag, _ := strings.Cut(value, "!")
	for i, secret := range c.secrets {
		if hmac.Equal([]byte(repozeTag(secret, text, values)), []byte(tag)) {
			return ID(text), i, true
		}
	}
	return "", 0, false
}

// isRepozeCandidate reports whether value has the format of repoze.browserid's cookies; others are
// rejected without hashing.
func isRepozeCandidate(value string) bool {
	_, tag, found := strings.Cut(value, "!")
	return found && len(tag) == 2*md5.Size
}

func repozeTag(secret, id string, values []string) string {
	h := hmac.New(md5.New, []byte(secret+strings.Join(values, "")))
	_, _ = h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil))
}

// isRepozeID reports whether id has the format of repoze.browserid's ids: 40 lower-case hexadecimal
// digits.
func isRepozeID(id ID) bool {
	if len(id) != 40 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// repozeText returns the Set-Cookie header exactly as repoze.browserid writes it, including its
// date format and trailing separators. Attributes that repoze.browserid does not know are appended
// if they are configured.
func (a *cookieAttributes) repozeText(name, value string, r *http.Request, now time.Time) string {
	var b strings.Builder
	b.WriteString(name + "=" + value + "; ")
	if a.path != "" {
		b.WriteString("Path=" + a.path + "; ")
	}
	if a.domain != "" {
		b.WriteString("Domain=" + a.domain + "; ")
	}
	if a.lifetime != 0 {
		expires := now.Add(a.lifetime).UTC().Format("Mon 02-Jan-2006 15:04:05 GMT")
		b.WriteString("Expires=" + expires + "; ")
	}
	secure := a.isSecure(r)
	if secure {
		b.WriteString("Secure;")
	}
	extra := ""
	if a.httpOnly {
		extra += "HttpOnly; "
	}
	if text := sameSiteText(a.sameSite); text != "" {
		extra += text + "; "
	}
	if a.partitioned {
		extra += "Partitioned; "
	}
	if secure && extra != "" {
		b.WriteByte(' ')
	}
	b.WriteString(extra)
	return b.String()
}
