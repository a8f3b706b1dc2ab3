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
	"strconv"
	"strings"
	"sync"
	"time"
)

// openHand opens what a careful programmer writes for one site: a signed browser id, a request
// body that can be read again, and a response that is held until the handler has returned, both in
// pooled buffers.
func openHand(_ context.Context, _ Settings, site *Site) error {
	site.Handler = handBrowserID(HandHold(routes(nil)))
	return nil
}

// handWritten returns the handlers with a counter, behind the hand-written signed cookie.
func handWritten(c Counter) http.Handler { return handBrowserID(routes(c)) }

type browserIDKey struct{}

// browserID returns the id that handBrowserID has put into the context of a request.
func browserID(r *http.Request) string {
	id, _ := r.Context().Value(browserIDKey{}).(string)
	return id
}

// The cookie of the hand-written sites has the name, the length and the parts of the cookie of
// Pasteline: 192 random bits, the time of issue, and an HMAC-SHA256 of both.
const (
	cookieName = "repoze.browserid"
	idBytes    = 24
	idLen      = idBytes * 4 / 3
	cookieSep  = "."
)

var handSecret = []byte("0123456789abcdef0123456789abcdef")

// handBrowserID is a middleware that gives every browser a random id in a signed cookie.
func handBrowserID(next http.Handler) http.Handler {
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, handSecret) }}
	sign := func(signed string) string {
		mac, _ := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		mac.Reset()
		_, _ = io.WriteString(mac, signed)
		var sum [sha256.Size]byte
		return base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0]))
	}
	verify := func(value string) (id string, ok bool) {
		dot := strings.LastIndex(value, cookieSep)
		if dot < idLen {
			return "", false
		}
		tag := []byte(sign(value[:dot]))
		return value[:idLen], subtle.ConstantTimeCompare(tag, []byte(value[dot+1:])) == 1
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id string
		c, err := r.Cookie(cookieName)
		ok := err == nil
		if ok {
			id, ok = verify(c.Value)
		}
		if !ok {
			var random [idBytes]byte
			_, _ = rand.Read(random[:]) // it never fails
			id = base64.RawURLEncoding.EncodeToString(random[:])
			signed := id + cookieSep + strconv.FormatInt(time.Now().UnixMilli(), 36)
			http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the benchmarks speak http
				Name: cookieName, Value: signed + cookieSep + sign(signed),
				Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), browserIDKey{}, id)))
	})
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// HandHold is a middleware that copies the body of a request before the handler reads it, and the
// response before it is sent, both to pooled buffers: the least that running a request again takes.
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
