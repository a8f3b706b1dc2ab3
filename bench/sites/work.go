package sites

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/handler"
)

// Sizes of what the handlers answer, in bytes.
const (
	PageSize = 1 << 10
	BigSize  = 1 << 20
)

var (
	page = []byte(strings.Repeat("0123456789abcdef", PageSize/16))
	big  = []byte(strings.Repeat("0123456789abcdef", BigSize/16))
)

// A Counter keeps a number for every browser: the session, reduced to what costs.
type Counter interface {
	// Read returns the number; 0 if none was kept.
	Read(r *http.Request) (int, error)
	// Incr adds one and returns the sum. It is durable by the time the response has left, as far as the site promises that at all.
	Incr(w http.ResponseWriter, r *http.Request) (int, error)
}

// routes are the handlers, which are the same for all sites. Without a counter there are those alone that need none.
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
	return r
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
