package sites

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"go.etcd.io/bbolt"
)

// Timeout is the time after which an unused session ends, on the sites that have such a limit.
const Timeout = 20 * time.Minute

// scsCounter keeps its values in the sessions of alexedwards/scs.
type scsCounter struct{ sessions *scs.SessionManager }

const counterKey = "n"

func (c scsCounter) Read(r *http.Request) (int, error) {
	return c.sessions.GetInt(r.Context(), counterKey), nil
}

func (c scsCounter) Incr(_ http.ResponseWriter, r *http.Request) (int, error) {
	n := c.sessions.GetInt(r.Context(), counterKey) + 1
	c.sessions.Put(r.Context(), counterKey, n)
	return n, nil
}

func (c scsCounter) Value(r *http.Request, key string) (string, error) {
	return c.sessions.GetString(r.Context(), key), nil
}

func (c scsCounter) SetValue(r *http.Request, key, value string) error {
	c.sessions.Put(r.Context(), key, value)
	return nil
}

func newSCS(store scs.Store, idle bool) *scs.SessionManager {
	sessions := scs.New()
	sessions.Store = store
	if idle {
		sessions.IdleTimeout = Timeout
	}
	return sessions
}

func serveSCS(site *Site, sessions *scs.SessionManager) {
	site.Handler = sessions.LoadAndSave(routes(scsCounter{sessions}))
}

func openSCSMemory(_ context.Context, _ Settings, site *Site) error {
	serveSCS(site, newSCS(memstore.NewWithCleanupInterval(0), false))
	return nil
}

func openSCSMemoryIdle(_ context.Context, _ Settings, site *Site) error {
	serveSCS(site, newSCS(memstore.NewWithCleanupInterval(0), true))
	return nil
}

func openSCSBolt(_ context.Context, s Settings, site *Site) error {
	return openSCSBoltWith(s, site, openPlainBolt, false)
}

func openSCSBoltIdle(_ context.Context, s Settings, site *Site) error {
	return openSCSBoltWith(s, site, openPlainBolt, true)
}

func openSCSBoltTuned(_ context.Context, s Settings, site *Site) error {
	return openSCSBoltWith(s, site, openBolt, false)
}

// openPlainBolt opens a file as the README of the store does.
func openPlainBolt(path string) (*bbolt.DB, error) { return bbolt.Open(path, 0o600, nil) }

func openSCSBoltWith(
	s Settings, site *Site, open func(path string) (*bbolt.DB, error), idle bool,
) error {
	opened, err := openSCSStore(filepath.Join(s.Dir, DataFile), open, idle)
	if err != nil {
		return err
	}
	*site = *opened.Site
	return nil
}

// An SCSBoltSite is scs on bbolt, with access to its store.
type SCSBoltSite struct {
	*Site
	DB    *bbolt.DB
	Store *BoltStore
}

// OpenSCSBolt opens the site with its database in the file at path, with the options of the store's
// README.
func OpenSCSBolt(path string) (*SCSBoltSite, error) {
	return openSCSStore(path, openPlainBolt, false)
}

func openSCSStore(
	path string, open func(path string) (*bbolt.DB, error), idle bool,
) (*SCSBoltSite, error) {
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	store, err := NewBoltStore(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	site := &Site{}
	site.onClose(db.Close)
	serveSCS(site, newSCS(store, idle))
	return &SCSBoltSite{Site: site, DB: db, Store: store}, nil
}

// SCSToken returns a new token as scs makes them: 256 random bits in base64.
func SCSToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
