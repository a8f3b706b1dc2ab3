package session

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/pasteline/pasteline/storage"
)

// SetClock replaces the wall clock and the monotonic clock, even if the database has a clock.
func (m *Manager) SetClock(source func() (wall time.Time, monotonic time.Duration)) {
	m.clock = newClock()
	m.clock.source = source
	m.clock.noDBClock.Store(true)
}

// SetCommonClock is SetClock, except that the clock counts as the database's.
func (m *Manager) SetCommonClock(source func() (wall time.Time, monotonic time.Duration)) {
	m.SetClock(source)
	wall, mono := source()
	m.clock.sample.Store(&sample{wall, mono})
}

// SetMachineClock replaces the clocks of the machine.
func (m *Manager) SetMachineClock(source func() (wall time.Time, monotonic time.Duration)) {
	m.clock = newClock()
	m.clock.source = source
}

// Restart deletes m's records of use, as a restart of the process does.
func (m *Manager) Restart() { m.usage = newUsage(m.usage.db) }

// Flush stores the pending uses.
func (m *Manager) Flush(ctx context.Context) error { return m.flush(ctx) }

// Defers reports whether a use in slice can be left to a flush; both are in milliseconds.
func (m *Manager) Defers(marked, slice int64) bool { return m.defers(marked, slice) }

// Pending returns the number of sessions with pending uses.
func (m *Manager) Pending() int { return int(m.usage.count.Load()) }

// SharesClock reports whether two managers have the same clock.
func (m *Manager) SharesClock(with *Manager) bool {
	return m.clock == with.clock && m.usage == with.usage
}

// ShareClock gives m the clock of another manager, as after a reload.
func (m *Manager) ShareClock(of *Manager) { m.clock = of.clock }

// SweepLock returns the name of a sweeper's lock.
func (m *Manager) SweepLock() string { return m.sweepLock() }

// SweepAlone sweeps as a sweeper does.
func (m *Manager) SweepAlone(ctx context.Context) (ended int,
	err error,
) {
	return m.sweepAlone(ctx)
}

// NextBatch returns the size of the next batch, given the durations of the fastest commit, if there
// was one, and of the last one.
func NextBatch(size int, fastest, took time.Duration) int {
	s := batchSize{size, fastest}
	s.committed(took)
	return s.n
}

// Used returns the slices of the index entries of the session with this id.
func (m *Manager) Used(ctx context.Context, id string) (slices []time.Time, err error) {
	ts, err := m.txState(ctx)
	if err != nil {
		return nil, err
	}
	for it, err := range ts.index().Snapshot().Range(storage.Range{}) {
		if err != nil {
			return nil, err
		}
		if slice, r, ok := readIndexKey(it.Key); ok && r == refOf(id) {
			slices = append(slices, time.UnixMilli(slice))
		}
	}
	return slices, nil
}

// RefOf returns the Session.Ref of a browser id.
func RefOf(id string) string { return refOf(id).String() }

// Records returns the keys of all records in both buckets, in hexadecimal.
func (m *Manager) Records(ctx context.Context) (keys []string, err error) {
	ts, err := m.txState(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range []storage.Bucket{ts.data, ts.index()} {
		for it, err := range b.Snapshot().Range(storage.Range{}) {
			if err != nil {
				return nil, err
			}
			keys = append(keys, hex.EncodeToString(it.Key))
		}
	}
	return keys, nil
}

// PutItem stores the record of one item without checking it.
func (s *Session) PutItem(key string, record []byte) error { return s.put(key, record, s.created) }

// PutRecord stores a record of another kind without checking it.
func (m *Manager) PutRecord(ctx context.Context, id, rest string, value []byte) error {
	ts, err := m.txState(ctx)
	if err != nil {
		return err
	}
	r := refOf(id)
	return ts.data.Put(append(r[:], rest...), value)
}

// Unexported functions for the fuzz tests.
var (
	AppendValue = func(value any) ([]byte, error) { return appendValue(nil, value) }
	DecodeValue = func(b []byte, to any) error { // as decode does, with any pointer
		e := encoded(b)
		if err := e.check(); err != nil {
			return err
		}
		if done, err := e.decodeBasic(to); done {
			return err
		}
		return e.decodeOther(to)
	}
	ReadMeta = func(b []byte) (created, used int64, problem string) {
		m, problem := readMeta(b)
		return m.created, m.used, problem
	}
	AppendMeta = func(created, used int64) []byte {
		return meta{
			created: created,
			used:    used,
		}.append(nil)
	}

	ItemKey      = func(id, key string) []byte { return refOf(id).itemKey(key) }
	UsedKey      = func(id string, slice int64) []byte { return refOf(id).usedKey(slice) }
	IndexKey     = func(id string, slice int64) []byte { return refOf(id).indexKey(slice) }
	ReadIndexKey = func(key []byte) (slice int64, ref string, ok bool) {
		slice, r, ok := readIndexKey(key)
		return slice, r.String(), ok
	}
	AddRecord = func(key, value []byte) (record, problem string) {
		var l loaded
		return l.add(storage.Item{Key: key, Value: value})
	}
)
