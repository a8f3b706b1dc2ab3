package session

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"
)

// A Session holds values under string keys for one browser, as seen by one transaction.
// [Manager.Get] returns it; it belongs to the transaction of that call, and expires when the
// browser has not used it for the manager's timeout. It is safe for concurrent use by multiple
// goroutines: each call is atomic, or refused with [ErrFinished] once the transaction ends.
//
// Values are copied when read and when set: a change to a value that was read is stored only by a
// call of Set. Pyramid's changed() has no counterpart.
//
// A key that is read or written, whether or not it exists, is watched: if another transaction
// changes it before this one commits, the commit is a conflict. Other keys don't matter.
type Session struct {
	ts     *txState
	id     string // the browser id under which it was loaded
	idRef  ref    // the ref of that id
	stored loaded // the records in the database when it was loaded
	state  state  // what this transaction has changed

	created int64 // in milliseconds since 1970
}

// ID returns the browser id of the session: the new one after a renewal. The id is a credential;
// log and store [Session.Ref] instead.
func (s *Session) ID() string {
	if s.ts.hold() {
		defer s.ts.release()
	}
	return s.current().id
}

// User returns the name given by [As]; ok is false if the session belongs to no user.
func (s *Session) User() (name string, ok bool, err error) { return Get[string](s, userKey) }

// Ref returns a name for the session that can be logged and stored: a hash of the id, from which
// the id can't be derived unless it is guessable.
func (s *Session) Ref() string {
	if s.ts.hold() {
		defer s.ts.release()
	}
	return s.ref().String()
}

// IsNew reports whether the session was not stored before this transaction.
func (s *Session) IsNew() bool {
	if s.ts.hold() {
		defer s.ts.release()
	}
	s = s.current()
	return !s.state.exists || s.state.begun
}

// Created returns when the session was created; for a new session, when [Manager.Get] first
// returned it.
func (s *Session) Created() time.Time {
	if s.ts.hold() {
		defer s.ts.release()
	}
	return time.UnixMilli(s.current().created)
}

// LastUsed returns the start of the time slice of the last use of the session, which may be the use
// by this transaction.
func (s *Session) LastUsed() time.Time {
	if s.ts.hold() {
		defer s.ts.release()
	}
	s = s.current()
	if !s.state.exists {
		return time.UnixMilli(s.created)
	}
	return time.UnixMilli(s.state.used)
}

// LastModified returns when a value was last set or deleted; the zero time means never.
func (s *Session) LastModified() (time.Time, error) {
	if err := s.hold(); err != nil {
		return time.Time{}, err
	}
	defer s.ts.release()
	s = s.current()
	if err := s.enumerate(); err != nil {
		return time.Time{}, err
	}
	if s.state.changed {
		return time.UnixMilli(s.state.modified), nil
	}
	if !s.state.exists {
		return time.Time{}, nil
	}
	if err := s.ts.data.AddReadConflict(s.ref().key(kindDeleted)); err != nil {
		return time.Time{}, err
	}
	last := s.stored.deleted
	for _, record := range s.records() {
		if since, _, err := splitItem(record); err == nil { // skips damaged records
			last = max(last, s.created+since)
		}
	}
	return time.UnixMilli(last), nil
}

// Valid reports whether the session can be used: it was not invalidated, and its transaction has
// not ended.
func (s *Session) Valid() bool {
	if s.ts.hold() {
		defer s.ts.release()
	}
	return s.usable() == nil
}

// Has reports whether key has a value.
func (s *Session) Has(key string) (bool, error) {
	_, ok, err := s.lookup(key)
	return ok, err
}

// A Source is a [Session] or the [Info] of an event, for [Get].
type Source interface {
	lookup(key string) (record []byte, ok bool, err error)
	damaged(key string, err error) error
}

// Get returns the value of key; ok is false if it has none.
//
// A value that was set as a string, []byte, bool, float or integer is read as the same kind. An
// integer can be read as any integer type that can hold it, and T may be a defined type, such as
// time.Duration. Other values are stored as JSON and decoded by encoding/json. If T is any, the
// value is a string, []byte, bool, float64, int64 (uint64 if it does not fit), or the result of
// decoding the JSON into an interface. The error is a [TypeError] if the value does not fit T, and
// a [RecordError] if it is damaged.
func Get[T any](s Source, key string) (value T, ok bool, err error) {
	record, ok, err := s.lookup(key)
	if err != nil || !ok {
		return value, false, err
	}
	return valueOf[T](s, key, record)
}

// valueOf decodes a record for Get. It may call methods of the app's types, so the caller must not
// hold the transaction.
func valueOf[T any](s Source, key string, record []byte) (value T, ok bool, err error) {
	_, e, err := splitItem(record)
	if err == nil {
		err = decode(e, &value)
	}
	if err == nil {
		return value, true, nil
	}
	var zero T
	if errors.Is(err, errDamaged) {
		return zero, false, s.damaged(key, err)
	}
	return zero, false, &TypeError{Key: key, Stored: e.kind(), Want: reflect.TypeFor[T]().String()}
}

// SetDefault returns the value of key; if there is none, it sets and returns fallback. Errors are
// those of [Get] and [Session.Set].
func SetDefault[T any](s *Session, key string, fallback T) (T, error) {
	value, ok, err := Get[T](s, key)
	if err != nil || ok {
		return value, err
	}
	encoded, err := encode(key, fallback)
	if err != nil {
		return fallback, err
	}
	record, ok, err := s.addDefault(key, encoded)
	if err != nil || !ok {
		return fallback, err
	}
	value, _, err = valueOf[T](s, key, record) // set by another goroutine meanwhile
	return value, err
}

// addDefault stores a value, or returns the existing record.
func (s *Session) addDefault(key string, v value) (record []byte, ok bool, err error) {
	if err := s.hold(); err != nil {
		return nil, false, err
	}
	defer s.ts.release()
	if record, ok, err = s.read(key); ok || err != nil {
		return record, ok, err
	}
	return nil, false, s.set(key, v)
}

// Pop deletes the value of key and returns it; ok is false if there was none. Errors are those of
// [Get]; a value that can't be read is not deleted.
func Pop[T any](s *Session, key string) (value T, ok bool, err error) {
	for {
		record, ok, err := s.lookup(key)
		if err != nil || !ok {
			return value, false, err
		}
		value, _, err := valueOf[T](s, key, record)
		if err != nil {
			return value, false, err
		}
		if done, err := s.removeIf(key, record); done || err != nil {
			return value, true, err
		}
	}
}

// removeIf deletes the value of key, unless another goroutine has changed its record meanwhile.
func (s *Session) removeIf(key string, record []byte) (done bool, err error) {
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.ts.release()
	now, ok, err := s.read(key)
	if err != nil || !ok || !bytes.Equal(now, record) {
		return false, err
	}
	return true, s.current().remove(key)
}

// Set stores value under key when the transaction commits. [Get] describes how values are encoded.
// Errors: a [SizeError] if the session would become too large, a [KeyError] if the key is too long,
// a [ValueError] if the value would be different when read back, and [ErrRenewed] if another
// request of the browser has renewed the id.
func (s *Session) Set(key string, value any) error {
	encoded, err := encode(key, value)
	if err != nil {
		return err
	}
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	return s.set(key, encoded)
}

// Update sets all values, in the order of their keys. It stops at the first error and returns it;
// the values before it stay set.
func (s *Session) Update(values map[string]any) error {
	keys := slices.Sorted(maps.Keys(values))
	encoded := make([]value, 0, len(keys))
	var failure error
	for _, key := range keys {
		v, err := encode(key, values[key])
		if err != nil {
			failure = err
			break
		}
		encoded = append(encoded, v)
	}
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	for i, v := range encoded {
		if err := s.set(keys[i], v); err != nil {
			return err
		}
	}
	return failure
}

// Delete deletes the value of key. If there is none, it does nothing and returns nil.
func (s *Session) Delete(key string) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	return s.delete(key)
}

func (s *Session) delete(key string) error {
	_, ok, err := s.read(key)
	if err != nil || !ok {
		return err
	}
	return s.current().remove(key)
}

// Clear deletes all values. The session itself goes on; [Session.Invalidate] ends it.
func (s *Session) Clear() error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	s = s.current()
	keys, err := s.keys()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.remove(key); err != nil {
			return err
		}
	}
	return nil
}

// Keys returns the keys that have a value, sorted. From then on, the commit is a conflict if
// another transaction adds, changes or deletes any value of the session; this also holds for Len,
// All, Clear and LastModified.
func (s *Session) Keys() ([]string, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.ts.release()
	return s.keys()
}

// Len returns the number of keys that have a value.
func (s *Session) Len() (int, error) {
	keys, err := s.Keys()
	return len(keys), err
}

// All returns all values, each as Get[any] returns it. If some can't be read, it returns the
// others, and an error that joins the [RecordError] of each.
func (s *Session) All() (map[string]any, error) {
	records, err := s.allRecords()
	if err != nil {
		return nil, err
	}
	return allValues(s, maps.All(records))
}

func (s *Session) allRecords() (map[string][]byte, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.ts.release()
	s = s.current()
	if err := s.enumerate(); err != nil {
		return nil, err
	}
	return maps.Collect(s.records()), nil
}

// Invalidate ends the session and deletes its data; use it at log-out. Later calls of this
// Session's methods return [ErrInvalidated]; the manager returns a new Session for the same
// browser, also within the same transaction. Another transaction that writes to the session at the
// same time conflicts with this one.
//
// The error is [ErrRenewed] if another request of the browser has renewed the id.
func (s *Session) Invalidate() error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	s = s.current()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.ts.join(); err != nil {
		return err
	}
	if err := s.discard(); err != nil {
		return err
	}
	s.state.exists = false
	s.state.invalid = true
	return nil
}
