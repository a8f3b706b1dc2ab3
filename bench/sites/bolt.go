package sites

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"
)

// boltCounter counts in a bucket of bbolt, under a plain cookie that anybody could forge: there is nothing left to leave out.
type boltCounter struct {
	db     *bbolt.DB
	update func(func(*bbolt.Tx) error) error
}

var counterBucket = []byte("counters")

func (c *boltCounter) Read(r *http.Request) (n int, err error) {
	cookie, err := r.Cookie("id")
	if err != nil {
		return 0, nil //nolint:nilerr // a new browser
	}
	return n, c.db.View(func(tx *bbolt.Tx) error {
		n = decode(tx.Bucket(counterBucket).Get([]byte(cookie.Value)))
		return nil
	})
}

func (c *boltCounter) Incr(w http.ResponseWriter, r *http.Request) (n int, err error) {
	id := plainID(w, r)
	return n, c.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(counterBucket)
		n = decode(bucket.Get([]byte(id))) + 1
		return bucket.Put([]byte(id), encode(n))
	})
}

// plainID returns the browser's id; a new browser gets one.
func plainID(w http.ResponseWriter, r *http.Request) string {
	if cookie, err := r.Cookie("id"); err == nil {
		return cookie.Value
	}
	id := rand.Text()
	setCookie(w, id)
	return id
}

func setCookie(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the benchmarks speak http
		Name: "id", Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func encode(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // not negative

func decode(value []byte) int {
	if value == nil {
		return 0
	}
	return int(binary.BigEndian.Uint64(value)) //nolint:gosec // see encode
}

// openCounters opens a file with the options that storage/bolt has found to be the fastest.
func openCounters(s Settings, site *Site) (*bbolt.DB, error) {
	db, err := bbolt.Open(filepath.Join(s.Dir, "counters.db"), 0o600, &bbolt.Options{
		InitialMmapSize: 1 << 30, NoStatistics: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	site.onClose(db.Close)
	return db, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(counterBucket)
		return err
	})
}

func openBoltUpdate(_ context.Context, s Settings, site *Site) error {
	db, err := openCounters(s, site)
	if err != nil {
		return err
	}
	site.Handler = routes(&boltCounter{db, db.Update})
	return nil
}

func openBoltGroup(_ context.Context, s Settings, site *Site) error {
	db, err := openCounters(s, site)
	if err != nil {
		return err
	}
	group := newGroupCommit(db)
	site.onClose(group.close)
	site.Handler = routes(&boltCounter{db, group.update})
	return nil
}

// groupCommit gathers what is pending into one bbolt update: one fsync for all. It is what a programmer writes who needs
// durable writes from many clients, and knows that his functions don't fail.
type groupCommit struct {
	pending chan *groupWork
	ended   sync.WaitGroup
}

type groupWork struct {
	f    func(*bbolt.Tx) error
	done chan error
}

// groupSize bounds what one update takes.
const groupSize = 1024

func newGroupCommit(db *bbolt.DB) *groupCommit {
	g := &groupCommit{pending: make(chan *groupWork, groupSize)}
	g.ended.Go(func() {
		var group []*groupWork
		for first := range g.pending {
			group = append(group[:0], first)
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, work := range group {
					if err := work.f(tx); err != nil {
						return err
					}
				}
				// What came while the others were worked on comes along.
				for len(group) < groupSize {
					select {
					case work, ok := <-g.pending:
						if !ok {
							return nil
						}
						group = append(group, work)
						if err := work.f(tx); err != nil {
							return err
						}
					default:
						return nil
					}
				}
				return nil
			})
			for _, work := range group {
				work.done <- err
			}
		}
	})
	return g
}

var works = sync.Pool{New: func() any { return &groupWork{done: make(chan error, 1)} }}

func (g *groupCommit) update(f func(*bbolt.Tx) error) error {
	work, ok := works.Get().(*groupWork)
	if !ok {
		return errors.New("the pool has something else")
	}
	work.f = f
	g.pending <- work
	err := <-work.done
	work.f = nil
	works.Put(work)
	return err
}

func (g *groupCommit) close() error {
	close(g.pending)
	g.ended.Wait()
	return nil
}
