package sites

import (
	"context"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gorilla/sessions"
)

// gorillaCounter counts in the sessions of gorilla/sessions.
type gorillaCounter struct{ store sessions.Store }

func (c gorillaCounter) get(r *http.Request) (*sessions.Session, int, error) {
	s, err := c.store.Get(r, "session")
	if err != nil {
		return nil, 0, err
	}
	n, _ := s.Values[counterKey].(int)
	return s, n, nil
}

func (c gorillaCounter) Read(r *http.Request) (int, error) {
	_, n, err := c.get(r)
	return n, err
}

func (c gorillaCounter) Incr(w http.ResponseWriter, r *http.Request) (int, error) {
	s, n, err := c.get(r)
	if err != nil {
		return 0, err
	}
	s.Values[counterKey] = n + 1
	return n + 1, s.Save(r, w)
}

var gorillaKey = []byte("0123456789abcdef0123456789abcdef")

func openGorillaCookie(_ context.Context, _ Settings, site *Site) error {
	store := sessions.NewCookieStore(gorillaKey)
	store.Options.Secure = false // the benchmarks speak http
	site.Handler = routes(gorillaCounter{store})
	return nil
}

func openGorillaFilesystem(_ context.Context, s Settings, site *Site) error {
	dir := filepath.Join(s.Dir, "sessions")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	store := sessions.NewFilesystemStore(dir, gorillaKey)
	store.Options.Secure = false
	site.Handler = routes(gorillaCounter{store})
	return nil
}
