package sites

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"io"
	"net/http"
	"sync"
)

// openHand is what a careful programmer writes for one site: a signed browser id, a request body that could be read again and a
// response that is held until the handler has returned, both in pooled buffers.
func openHand(_ context.Context, _ Settings, site *Site) error {
	site.Handler = HandBrowserID([]byte("0123456789abcdef0123456789abcdef"))(HandHold(routes(nil)))
	return nil
}

type browserIDKey struct{}

// HandBrowserID is a middleware that gives every browser a random id in a cookie signed with HMAC-SHA256.
func HandBrowserID(secret []byte) func(http.Handler) http.Handler {
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
	sign := func(id string) string {
		mac, _ := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		mac.Reset()
		_, _ = io.WriteString(mac, id)
		var sum [sha256.Size]byte
		return base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0]))
	}
	const idSize = 27
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var id string
			if c, err := r.Cookie("id"); err == nil && len(c.Value) > idSize &&
				subtle.ConstantTimeCompare([]byte(sign(c.Value[:idSize])), []byte(c.Value[idSize:])) == 1 {
				id = c.Value[:idSize]
			} else {
				id = (rand.Text() + "0")[:idSize]
				setCookie(w, id+sign(id))
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), browserIDKey{}, id)))
		})
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// HandHold is a middleware that copies the body of a request before the handler reads it, and the response before it leaves, both
// to pooled buffers: the least that running a request again takes.
func HandHold(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			body, _ := buffers.Get().(*bytes.Buffer)
			body.Reset()
			defer buffers.Put(body)
			if _, err := body.ReadFrom(r.Body); err != nil {
				http.Error(w, "the body could not be read", http.StatusBadRequest)
				return
			}
			again := *r
			again.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
			r = &again
		}
		response, _ := buffers.Get().(*bytes.Buffer)
		response.Reset()
		defer buffers.Put(response)
		held := heldResponse{header: http.Header{}, body: response}
		next.ServeHTTP(&held, r)
		held.release(w)
	})
}

// A heldResponse is kept in memory until release.
type heldResponse struct {
	header http.Header
	status int
	body   *bytes.Buffer
}

func (h *heldResponse) Header() http.Header { return h.header }

func (h *heldResponse) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *heldResponse) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

func (h *heldResponse) release(w http.ResponseWriter) {
	header := w.Header()
	for name, values := range h.header {
		header[name] = append(header[name], values...)
	}
	if h.status != 0 {
		w.WriteHeader(h.status)
	}
	_, _ = w.Write(h.body.Bytes())
}
