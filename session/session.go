package session

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"
)

// A Session is what is kept for one browser, as one transaction sees it: values under string keys, which live until
// the browser has not come for the manager's timeout. It is got from a [Manager] and belongs to the transaction it was
// got in. It is safe for concurrent use by multiple goroutines: each call counts whole, or is refused with [ErrFinished]
// as soon as that transaction ends.
//
// Values are copies in both directions. What was read can be changed without effect on the session, and has to be
// Set to be kept; so there is nothing like Pyramid's changed().
//
// Every key that is read or written, there or not, is part of what must not be changed by another transaction until
// this one commits; otherwise the commit is a conflict. Keys that were not asked for don't matter.
type Session struct {
	a    *attempt
	got  string // the id that it was got by
	from ref    // of that id
	had  loaded // what the database held then
	now  state  // what this transaction has made of it

	created int64
}

// ID returns the browser id that the session was got by, or that it got by a renewal. It is a credential: see [Session.Ref].
func (s *Session) ID() string {
	if s.a.hold() {
		defer s.a.release()
	}
	return s.current().got
}

// User returns the name that [As] has given; ok is false if the session is nobody's.
func (s *Session) User() (name string, ok bool, err error) { return Get[string](s, userKey) }

// Ref returns a name for the session that can be logged and stored: it is made of the id, and the id can't be
// made of it, unless it can be guessed.
func (s *Session) Ref() string {
	if s.a.hold() {
		defer s.a.release()
	}
	return s.ref().String()
}

// IsNew reports whether the session was not stored before this transaction.
func (s *Session) IsNew() bool {
	if s.a.hold() {
		defer s.a.release()
	}
	s = s.current()
	return !s.now.exists || s.now.begun
}

// Created returns when the session was created; for a new one, when it was got first.
func (s *Session) Created() time.Time {
	if s.a.hold() {
		defer s.a.release()
	}
	return time.UnixMilli(s.current().created)
}

// LastUsed returns the start of the time slice in which the session was last used, this transaction included.
func (s *Session) LastUsed() time.Time {
	if s.a.hold() {
		defer s.a.release()
	}
	s = s.current()
	if !s.now.exists {
		return time.UnixMilli(s.created)
	}
	return time.UnixMilli(s.now.used)
}

// LastModified returns when something was last set in the session or deleted from it; the zero time says never.
func (s *Session) LastModified() (time.Time, error) {
	if err := s.hold(); err != nil {
		return time.Time{}, err
	}
	defer s.a.release()
	s = s.current()
	if err := s.enumerate(); err != nil {
		return time.Time{}, err
	}
	if s.now.changed {
		return time.UnixMilli(s.now.modified), nil
	}
	if !s.now.exists {
		return time.Time{}, nil
	}
	if err := s.a.data.AddReadConflict(s.ref().key(kindDeleted)); err != nil {
		return time.Time{}, err
	}
	last := s.had.deleted
	for _, record := range s.records() {
		if since, _, err := splitItem(record); err == nil { // a damaged one does not tell
			last = max(last, s.created+since)
		}
	}
	return time.UnixMilli(last), nil
}

// Valid reports whether the session can be used: it was not invalidated, and its transaction has not ended.
func (s *Session) Valid() bool {
	if s.a.hold() {
		defer s.a.release()
	}
	return s.usable() == nil
}

// Has reports whether there is a value under key.
func (s *Session) Has(key string) (bool, error) {
	_, ok, err := s.lookup(key)
	return ok, err
}

// A Source is where [Get] reads from: a [Session], or the [Info] of an event.
type Source interface {
	lookup(key string) (record []byte, ok bool, err error)
	damaged(key string, err error) error
}

// Get returns the value under key; ok is false if there is none.
//
// What was set as a string, []byte, bool, float or integer is read as one of the same kind, integers of any size that
// holds them; the type read may have a name of its own, such as time.Duration. Everything else was encoded as JSON and is read as whatever encoding/json can make of it. A T of any
// gives what is there by itself: string, []byte, bool, float64, int64 (uint64 if it must) or what JSON makes of it.
// The error is a [TypeError] if the value does not fit T, and a [RecordError] if it is damaged.
func Get[T any](s Source, key string) (value T, ok bool, err error) {
	record, ok, err := s.lookup(key)
	if err != nil || !ok {
		return value, false, err
	}
	return valueOf[T](s, key, record)
}

// valueOf is Get of a record. It may run the app's code, so nothing is held.
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

// SetDefault returns the value under key; if there is none, it sets fallback and returns that.
// Errors are those of [Get] and [Session.Set].
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
	value, _, err = valueOf[T](s, key, record) // of another goroutine
	return value, err
}

// addDefault stores a value, or returns the record that is there.
func (s *Session) addDefault(key string, v value) (record []byte, ok bool, err error) {
	if err := s.hold(); err != nil {
		return nil, false, err
	}
	defer s.a.release()
	if record, ok, err = s.read(key); ok || err != nil {
		return record, ok, err
	}
	return nil, false, s.set(key, v)
}

// Pop deletes the value under key and returns it; ok is false if there was none.
// Errors are those of [Get]; a value that can't be read is not deleted.
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

// removeIf deletes the value under key unless another goroutine has set or deleted it since it had that record.
func (s *Session) removeIf(key string, record []byte) (done bool, err error) {
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.a.release()
	now, ok, err := s.read(key)
	if err != nil || !ok || !bytes.Equal(now, record) {
		return false, err
	}
	return true, s.current().remove(key)
}

// Set stores value under key. A session that is new is stored from now on.
// How values are encoded: see [Get]. Errors: a [SizeError] if the session would become too large, a [KeyError] if the key
// is too long, a [ValueError] if the value would not come back as it is, and [ErrRenewed] if the id has ended by a renewal.
func (s *Session) Set(key string, value any) error {
	encoded, err := encode(key, value)
	if err != nil {
		return err
	}
	if err := s.hold(); err != nil {
		return err
	}
	defer s.a.release()
	return s.set(key, encoded)
}

// Update sets every value of values, in the order of their keys. The first error ends it.
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
	defer s.a.release()
	for i, v := range encoded {
		if err := s.set(keys[i], v); err != nil {
			return err
		}
	}
	return failure
}

// Delete deletes the value under key. That there is none is no error, and no change.
func (s *Session) Delete(key string) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.a.release()
	return s.delete(key)
}

func (s *Session) delete(key string) error {
	_, ok, err := s.read(key)
	if err != nil || !ok {
		return err
	}
	return s.current().remove(key)
}

// Clear deletes all values. The session itself goes on: [Session.Invalidate] is what ends it.
func (s *Session) Clear() error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.a.release()
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

// Keys returns the keys that have a value, sorted. From then on, any item that another transaction
// adds, changes or deletes makes this one conflict; so it is with Len, All, Clear and LastModified.
func (s *Session) Keys() ([]string, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.a.release()
	return s.keys()
}

// Len returns how many keys have a value.
func (s *Session) Len() (int, error) {
	keys, err := s.Keys()
	return len(keys), err
}

// All returns all values, each as Value[any] does. If some can't be read, it returns the others all the same, with an error
// that joins the [RecordError] of each.
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
	defer s.a.release()
	s = s.current()
	if err := s.enumerate(); err != nil {
		return nil, err
	}
	return maps.Collect(s.records()), nil
}

// Invalidate ends the session and deletes all that is in it; use it at log-out. This Session is of no use from then on
// ([ErrInvalidated]); the manager gives a new one for the same browser, in the same transaction too.
// Whoever writes to the session at the same time, or marks it as used, conflicts with this.
//
// The error is [ErrRenewed] if the id has ended by a renewal.
func (s *Session) Invalidate() error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.a.release()
	s = s.current()
	if err := s.writable(); err != nil {
		return err
	}
	if err := s.a.join(); err != nil {
		return err
	}
	if err := s.discard(); err != nil {
		return err
	}
	s.now.exists = false
	s.now.invalid = true
	return nil
}
