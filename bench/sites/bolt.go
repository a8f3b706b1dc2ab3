package sites

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"path/filepath"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage/bolt"
)

// boltCounter counts in a bucket of bbolt, under the browser id of the hand-written cookie. A value
// has 8 bytes; an item of a session of Pasteline has 3 to 9.
type boltCounter struct {
	db     *bbolt.DB
	update func(func(*bbolt.Tx) error) error
}

var counterBucket = []byte("counters")

func (c *boltCounter) Read(r *http.Request) (n int, err error) {
	id := browserID(r)
	return n, c.db.View(func(tx *bbolt.Tx) error {
		n = decode(tx.Bucket(counterBucket).Get([]byte(id)))
		return nil
	})
}

func (c *boltCounter) Incr(_ http.ResponseWriter, r *http.Request) (n int, err error) {
	id := browserID(r)
	return n, c.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(counterBucket)
		n = decode(bucket.Get([]byte(id))) + 1
		return bucket.Put([]byte(id), encode(n))
	})
}

func encode(n int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n)) //nolint:gosec // not negative
}

func decode(value []byte) int {
	if value == nil {
		return 0
	}
	return int(binary.BigEndian.Uint64(value)) //nolint:gosec // see encode
}

// openBolt opens a file with the options that storage/bolt uses.
func openBolt(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		InitialMmapSize: bolt.DefaultMmapSize,
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
	})
	if err == nil {
		db.AllocSize = 1 << 20
	}
	return db, err
}

func openCounters(s Settings, site *Site) (*bbolt.DB, error) {
	db, err := openBolt(filepath.Join(s.Dir, "counters.db"))
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
	site.Handler = handWritten(&boltCounter{db, db.Update})
	return nil
}

func openBoltGroup(_ context.Context, s Settings, site *Site) error {
	db, err := openCounters(s, site)
	if err != nil {
		return err
	}
	group := newGroupCommit(db)
	site.onClose(group.close)
	site.Handler = handWritten(&boltCounter{db, group.update})
	return nil
}

// groupCommit gathers all pending writes into one bbolt update, with one fsync. It is the least
// code that gives durable writes to many clients: it relies on functions that don't fail.
type groupCommit struct {
	pending chan *groupWork
	ended   sync.WaitGroup
}

type groupWork struct {
	f    func(*bbolt.Tx) error
	done chan error
}

// groupSize is the largest number of writes in one update.
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
				// Writes that arrived during the others are part of the same update.
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
