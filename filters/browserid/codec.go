package browserid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strconv"
	"strings"
	"sync"
)

// A codec signs and verifies cookie values of this package's format:
//
//	id "." time "." tag
//
// The time of issue is in milliseconds since 1970, to the base 36: of several cookies the newest
// counts. The tag is an HMAC-SHA256 in unpadded base64url. Its key is derived from the secret, a
// label of the format, the cookie's name and the names of the variables that the id is bound to, so
// that a value is useless if the same secret signs other things, too. The signed text consists of
// the id with the time, and the values of the variables, each preceded by its length, so that
// different inputs never give the same text.
//
// Format 1, which is still read, has no time:
//
//	id "." tag
type codec struct {
	keys   []*macPool // for format 2: the first signs, all verify
	former []*macPool // for format 1, which is only read
}

const (
	formatLabel = "pasteline browserid cookie, format 2"
	formerLabel = "pasteline browserid cookie, format 1"
	tagLen      = 43  // 32 bytes in base64url
	maxIDLen    = 128 // this package makes no longer ids; they are rejected without hashing
	maxTimeLen  = 11  // digits to the base 36 that are enough for any time in an int64
)

func newCodec(secrets []string, cookieName string, varyNames []string) *codec {
	c := &codec{}
	for _, secret := range secrets {
		c.keys = append(c.keys, deriveKey(secret, formatLabel, cookieName, varyNames))
		c.former = append(c.former, deriveKey(secret, formerLabel, cookieName, varyNames))
	}
	return c
}

// deriveKey derives the key for one purpose from a secret.
func deriveKey(secret, label, cookieName string, varyNames []string) *macPool {
	use := appendField([]byte(label), cookieName)
	for _, name := range varyNames {
		use = appendField(use, name)
	}
	derive := hmac.New(sha256.New, []byte(secret))
	_, _ = derive.Write(use)
	return newMACPool(derive.Sum(nil))
}

// appendSigned appends the cookie value for id. The time issued is in milliseconds since 1970.
func (c *codec) appendSigned(b []byte, id ID, issued int64, values []string) []byte {
	from := len(b)
	b = append(b, id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, issued, 36)
	m := c.keys[0].get()
	tag := m.tag(b[from:], values)
	b = append(b, '.')
	b = append(b, tag...)
	c.keys[0].put(m)
	return b
}

// A proof is the content of a valid cookie.
type proof struct {
	id     ID
	issued int64 // time of issue in milliseconds since 1970; 0 if the format has none
	key    int   // index of the secret that signed it; 0 is the current one
	former bool  // the cookie's format is not that of new cookies
}

// isCandidate reports whether value has the format of a signed value; others are rejected without
// hashing.
func isCandidate(value string) bool {
	dot := len(value) - tagLen - 1
	return dot >= 1 && dot <= maxIDLen+1+maxTimeLen && value[dot] == '.'
}

// verify returns the content of value, which must be a candidate, if its tag is valid. It compares
// tags as text, not as decoded bytes, so that any changed character makes the tag invalid.
func (c *codec) verify(value string, values []string) (proof, bool) {
	signed, tag := value[:len(value)-tagLen-1], value[len(value)-tagLen:]
	if dot := strings.LastIndexByte(signed, '.'); dot >= 1 && dot <= maxIDLen {
		if issued, ok := parseTime(signed[dot+1:]); ok {
			if key, ok := verifyWith(c.keys, signed, values, tag); ok {
				return proof{id: ID(signed[:dot]), issued: issued, key: key}, true
			}
		}
	}
	if len(signed) > maxIDLen {
		return proof{}, false
	}
	key, ok := verifyWith(c.former, signed, values, tag)
	return proof{id: ID(signed), key: key, former: true}, ok
}

// parseTime parses the time of issue.
func parseTime(s string) (int64, bool) {
	if len(s) > maxTimeLen {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 36, 64)
	return n, err == nil && n > 0
}

// verifyWith returns the index of the key that has made the tag.
func verifyWith(keys []*macPool, signed string, values []string, tag string) (key int, ok bool) {
	for i, pool := range keys {
		m := pool.get()
		ok := m.verify(signed, values, tag)
		pool.put(m)
		if ok {
			return i, true
		}
	}
	return 0, false
}

// appendField appends s preceded by its length.
func appendField[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// A macPool pools HMAC states that are initialized with a key, as setting the key costs more than
// computing a tag.
type macPool struct {
	pool sync.Pool
}

func newMACPool(key []byte) *macPool {
	return &macPool{pool: sync.Pool{New: func() any {
		return &mac{hash: hmac.New(sha256.New, key)}
	}}}
}

func (p *macPool) get() *mac  { return p.pool.Get().(*mac) } //nolint:errcheck // always a *mac
func (p *macPool) put(m *mac) { p.pool.Put(m) }

// A mac is an HMAC state with buffers for computing a tag.
type mac struct {
	hash    hash.Hash
	message []byte
	signed  []byte
	sum     [sha256.Size]byte
	text    [tagLen]byte
	claimed [tagLen]byte
}

// tag returns the tag as text, which is valid until the next call.
func (m *mac) tag(signed []byte, values []string) []byte {
	m.message = appendField(m.message[:0], signed)
	for _, value := range values {
		m.message = appendField(m.message, value)
	}
	m.hash.Reset()
	_, _ = m.hash.Write(m.message)
	base64.RawURLEncoding.Encode(m.text[:], m.hash.Sum(m.sum[:0]))
	return m.text[:]
}

func (m *mac) verify(signed string, values []string, tag string) bool {
	copy(m.claimed[:], tag)
	m.signed = append(m.signed[:0], signed...)
	return len(tag) == tagLen && hmac.Equal(m.tag(m.signed, values), m.claimed[:])
}
