package sites

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"path/filepath"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"go.etcd.io/bbolt"
)

// Timeout is how long a session may be unused, on every site that has such a notion.
const Timeout = 20 * time.Minute

// scsCounter counts in the sessions of alexedwards/scs.
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
	return openSCSBoltWith(s, site, false)
}

func openSCSBoltIdle(_ context.Context, s Settings, site *Site) error {
	return openSCSBoltWith(s, site, true)
}

func openSCSBoltWith(s Settings, site *Site, idle bool) error {
	opened, err := OpenSCSBolt(filepath.Join(s.Dir, "scs.db"), idle)
	if err != nil {
		return err
	}
	*site = *opened.Site
	return nil
}

// An SCSBoltSite is scs on bbolt, with access to what is below it.
type SCSBoltSite struct {
	*Site
	DB    *bbolt.DB
	Store *BoltStore
}

// OpenSCSBolt opens the site with its database in the file at path, opened as the store's README does.
func OpenSCSBolt(path string, idle bool) (*SCSBoltSite, error) {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	store, err := NewBoltStore(db)
	if err != nil {
		return nil, err
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
