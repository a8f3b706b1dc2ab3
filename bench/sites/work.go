package sites

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/handler"
)

// Sizes of responses and of texts in a session, in bytes.
const (
	PageSize  = 1 << 10
	BigSize   = 1 << 20
	ValueSize = 1 << 10
)

var (
	page = []byte(strings.Repeat("0123456789abcdef", PageSize/16))
	big  = []byte(strings.Repeat("0123456789abcdef", BigSize/16))
)

// A Counter keeps a number for every browser: the smallest session.
type Counter interface {
	// Read returns the number; 0 if none is stored.
	Read(r *http.Request) (int, error)
	// Incr adds one and returns the sum. On a site that promises durability, the sum is durable
	// before the response is sent.
	Incr(w http.ResponseWriter, r *http.Request) (int, error)
}

// A Keyed is a Counter that also keeps texts under keys, in the same session.
type Keyed interface {
	Counter
	// Value returns the text under a key; "" if none is stored.
	Value(r *http.Request, key string) (string, error)
	// SetValue stores a text under a key, with the durability of Incr.
	SetValue(r *http.Request, key, value string) error
}

// routes returns the handlers, which are the same for all sites. Without a counter it returns those
// that need no session.
func routes(c Counter) http.Handler {
	r := chi.NewRouter()
	r.Get("/hello", handler.Func(func(w http.ResponseWriter, _ *http.Request) error {
		return answer(w, "Hello!")
	}))
	r.Get("/page", handler.Func(func(w http.ResponseWriter, _ *http.Request) error {
		return write(w, page)
	}))
	r.Get("/big", handler.Func(func(w http.ResponseWriter, _ *http.Request) error {
		return write(w, big)
	}))
	r.Get("/large/{size}", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		size, err := strconv.Atoi(chi.URLParam(r, "size"))
		if err != nil {
			return &handler.Error{Status: http.StatusBadRequest, Err: err}
		}
		for chunk := big[:32<<10]; size > 0; size -= len(chunk) {
			chunk = chunk[:min(size, len(chunk))]
			if err := write(w, chunk); err != nil {
				return err
			}
		}
		return nil
	}))
	r.Post("/upload", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return err
		}
		return answer(w, strconv.FormatInt(n, 10))
	}))
	r.Get("/state", handler.Func(func(w http.ResponseWriter, _ *http.Request) error {
		state, err := ReadState()
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(state)
	}))
	if c == nil {
		return r
	}
	r.Get("/read", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		n, err := c.Read(r)
		if err != nil {
			return err
		}
		return answer(w, strconv.Itoa(n))
	}))
	r.Post("/incr", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		n, err := c.Incr(w, r)
		if err != nil {
			return err
		}
		return answer(w, strconv.Itoa(n))
	}))
	if keyed, ok := c.(Keyed); ok {
		valueRoutes(r, keyed)
	}
	return r
}

// valueRoutes adds the handlers that read and change one key of a session.
func valueRoutes(r chi.Router, c Keyed) {
	r.Get("/value/{key}", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		value, err := c.Value(r, chi.URLParam(r, "key"))
		if err != nil {
			return err
		}
		return answer(w, value)
	}))
	var changes atomic.Int64
	r.Post("/value/{key}", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		// Each text differs from the one before, or a site could leave the change out.
		value := fmt.Sprintf("%0*d", ValueSize, changes.Add(1))
		if err := c.SetValue(r, chi.URLParam(r, "key"), value); err != nil {
			return err
		}
		return answer(w, "stored")
	}))
}

func answer(w http.ResponseWriter, text string) error {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	_, err := io.WriteString(w, text)
	return err
}

func write(w http.ResponseWriter, text []byte) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write(text)
	return err
}
