package sites

import (
	"bytes"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// A BoltStore is an scs.Store on bbolt. It does the same bbolt operations as scs's own boltstore,
// which is not on the module proxy, and which returns slices of the memory map after the
// transaction has ended: under load they show the data of another session, or the program crashes.
// This one copies inside the transaction. It is safe for concurrent use.
type BoltStore struct{ db *bbolt.DB }

var boltStoreBucket = []byte("scs")

// deadlineSize is the size of the deadline in front of each value: nanoseconds since 1970, big
// endian.
const deadlineSize = 8

// NewBoltStore returns a store in db. It starts no clean-up: see [BoltStore.DeleteExpired].
func NewBoltStore(db *bbolt.DB) (*BoltStore, error) {
	return &BoltStore{db}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(boltStoreBucket)
		return err
	})
}

// Find returns the session of a token, if it has one that has not expired.
func (s *BoltStore) Find(token string) (data []byte, found bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(boltStoreBucket).Get([]byte(token))
		if value != nil && !expired(value, time.Now()) {
			data, found = bytes.Clone(value[deadlineSize:]), true
		}
		return nil
	})
	return data, found, err
}

// Commit stores a session.
func (s *BoltStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return s.Put(tx, token, data, expiry) })
}

// Put stores a session in a transaction that may have many.
func (s *BoltStore) Put(tx *bbolt.Tx, token string, data []byte, expiry time.Time) error {
	value := make([]byte, 0, deadlineSize+len(data))
	value = binary.BigEndian.AppendUint64(value, uint64(expiry.UnixNano()))
	return tx.Bucket(boltStoreBucket).Put([]byte(token), append(value, data...))
}

// Delete removes a session.
func (s *BoltStore) Delete(token string) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltStoreBucket).Delete([]byte(token))
	})
}

// DeleteExpired removes the expired sessions, as the clean-up of scs's store does: it reads every
// session, and deletes in one update. It returns the number of deleted sessions.
func (s *BoltStore) DeleteExpired() (int, error) {
	var tokens [][]byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		now := time.Now()
		return tx.Bucket(boltStoreBucket).ForEach(func(token, value []byte) error {
			if expired(value, now) {
				tokens = append(tokens, bytes.Clone(token))
			}
			return nil
		})
	})
	if err != nil || len(tokens) == 0 {
		return 0, err
	}
	return len(tokens), s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(boltStoreBucket)
		for _, token := range tokens {
			if err := bucket.Delete(token); err != nil {
				return err
			}
		}
		return nil
	})
}

func expired(value []byte, now time.Time) bool {
	return uint64(now.UnixNano()) > binary.BigEndian.Uint64(value[:deadlineSize])
}
