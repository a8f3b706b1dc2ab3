package browserid

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// A codec signs and verifies cookie values of our own format:
//
//	id "." tag
//
// The tag is HMAC-SHA256, in unpadded base64url. The key of the HMAC is derived from the secret for this one use: for
// the format, the cookie's name and the names that the id varies on, so that a value is good for nothing else that is
// signed with the same secret. What is signed is the id and the values varied on, each with its length in front, so
// that no two requests give the same text.
type codec struct {
	keys []*macPool // the first signs, all verify
}

const (
	formatLabel = "pasteline browserid cookie, format 1"
	tagLen      = 43  // 32 bytes in base64url
	maxIDLen    = 128 // longer ones are not ours, and not worth hashing
)

func newCodec(secrets []string, cookieName string, varyNames []string) *codec {
	c := &codec{}
	for _, secret := range secrets {
		use := appendField([]byte(formatLabel), cookieName)
		for _, name := range varyNames {
			use = appendField(use, name)
		}
		derive := hmac.New(sha256.New, []byte(secret))
		_, _ = derive.Write(use)
		c.keys = append(c.keys, newMACPool(derive.Sum(nil)))
	}
	return c
}

// appendSigned appends the cookie value for id.
func (c *codec) appendSigned(b []byte, id ID, values []string) []byte {
	b = append(b, id...)
	b = append(b, '.')
	m := c.keys[0].get()
	b = append(b, m.tag(string(id), values)...)
	c.keys[0].put(m)
	return b
}

// verify returns the id that value proves, and which key it was signed with.
// It compares text, not decoded bytes: there is one way to write a tag, and each changed character fails.
func (c *codec) verify(value string, values []string) (id ID, key int, ok bool) {
	dot := len(value) - tagLen - 1
	if dot < 1 || dot > maxIDLen || value[dot] != '.' {
		return "", 0, false
	}
	for i, pool := range c.keys {
		m := pool.get()
		ok := m.verify(value[:dot], values, value[dot+1:])
		pool.put(m)
		if ok {
			return ID(value[:dot]), i, true
		}
	}
	return "", 0, false
}

// appendField appends s so that where it ends can't be mistaken.
func appendField(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// A macPool keeps HMAC states that have their key: a tag takes 0.25 µs with such a state and 0.6 µs with a new one.
type macPool struct {
	pool sync.Pool
}

func newMACPool(key []byte) *macPool {
	return &macPool{pool: sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }}}
}

func (p *macPool) get() *mac  { return p.pool.Get().(*mac) } //nolint:errcheck // the pool holds nothing else
func (p *macPool) put(m *mac) { p.pool.Put(m) }

// A mac is one HMAC state with the memory that computing a tag takes.
type mac struct {
	hash    hash.Hash
	message []byte
	sum     [sha256.Size]byte
	text    [tagLen]byte
	claimed [tagLen]byte
}

// tag returns the tag as text; it is valid until the next call.
func (m *mac) tag(id string, values []string) []byte {
	m.message = appendField(m.message[:0], id)
	for _, value := range values {
		m.message = appendField(m.message, value)
	}
	m.hash.Reset()
	_, _ = m.hash.Write(m.message)
	base64.RawURLEncoding.Encode(m.text[:], m.hash.Sum(m.sum[:0]))
	return m.text[:]
}

func (m *mac) verify(id string, values []string, tag string) bool {
	copy(m.claimed[:], tag)
	return len(tag) == tagLen && hmac.Equal(m.tag(id, values), m.claimed[:])
}
