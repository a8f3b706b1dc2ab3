package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/pasteline/pasteline/observe"
)

// A Reason says why a session ended.
type Reason int

// The reasons. The Info of an OnBegin call has the zero Reason.
const (
	Invalidated Reason = iota + 1 // Session.Invalidate was called
	Expired                       // it was not used for Config.Timeout
)

// String returns "invalidated", "expired" or "begun".
func (r Reason) String() string {
	switch r {
	case 0:
		return "begun"
	case Invalidated:
		return "invalidated"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("Reason(%d)", int(r))
}

// An Info describes a session that has begun or ended. Its values, read with [Get], are those at
// the commit for a session that has begun or was invalidated, and the last ones of a session that
// expired. It can be kept and is safe for concurrent use.
type Info struct {
	Ref      string    // as [Session.Ref]; the browser id is not stored
	Created  time.Time // when the session was created
	LastUsed time.Time // the start of the time slice of its last use
	Bytes    int       // the size of its records with their keys, in a [Survey]; else zero
	Reason   Reason    // why it ended; zero if it has begun

	items map[string][]byte
}

// Keys returns the keys that have a value, sorted.
func (i Info) Keys() []string { return slices.Sorted(maps.Keys(i.items)) }

// All returns all values, each as Get[any] returns it. If some can't be read, it returns the
// others, and an error that joins the [RecordError] of each.
func (i Info) All() (map[string]any, error) { return allValues(i, maps.All(i.items)) }

func (i Info) lookup(key string) ([]byte, bool, error) {
	record, ok := i.items[key]
	return record, ok, nil
}

func (i Info) damaged(key string, err error) error { return damagedItem(i.Ref, key, err) }

func (s *Session) damaged(key string, err error) error { return damagedItem(s.Ref(), key, err) }

func damagedItem(ref, key string, err error) error {
	return &RecordError{
		Session: ref,
		Record:  fmt.Sprintf("the value of %q", key),
		Problem: err.Error(),
	}
}

// allValues decodes records as Get[any] does.
func allValues(of Source, records iter.Seq2[string, []byte]) (map[string]any, error) {
	values := make(map[string]any)
	var errs []error
	for key, record := range records {
		var value any
		_, e, err := splitItem(record)
		if err == nil {
			err = decode(e, &value)
		}
		if err != nil {
			errs = append(errs, of.damaged(key, err))
			continue
		}
		values[key] = value
	}
	return values, errors.Join(errs...)
}

// info returns the description of the session with the records l.
func (l *loaded) info(r ref, why Reason) Info {
	i := Info{
		Ref:      r.String(),
		Created:  time.UnixMilli(l.created),
		LastUsed: time.UnixMilli(l.lastUsed()),
		Reason:   why,
		items:    make(map[string][]byte, l.nItems),
	}
	for _, it := range l.items() {
		i.items[string(itemName(it))] = it.Value
	}
	return i
}

// info returns the description of s, with the changes of this transaction.
func (s *Session) info(why Reason) Info {
	return Info{
		Ref:      s.ref().String(),
		Created:  time.UnixMilli(s.current().created),
		LastUsed: time.UnixMilli(s.state.used),
		Reason:   why,
		items:    maps.Collect(s.records()),
	}
}

// report tells listeners and event handlers what became of the sessions.
func (ts *txState) report(ctx context.Context) {
	for _, info := range ts.swept {
		ts.ended(ctx, info)
	}
	for _, s := range ts.sessions {
		switch {
		case s.state.ended && s.stored.expired:
			ts.ended(ctx, s.stored.info(s.idRef, Expired))
		case s.state.ended:
			ts.ended(ctx, s.info(Invalidated))
		case s.state.renewedAs != nil:
			ts.tell(ctx, observe.SessionRenewed, s.Ref())
		}
		if s.state.begun && s.gone() == nil {
			info := s.info(0)
			ts.tell(ctx, observe.SessionBegun, info.Ref)
			ts.m.call(ctx, ts.m.config.OnBegin, info)
		}
	}
}

// ended tells that a session has ended.
func (ts *txState) ended(ctx context.Context, info Info) {
	change := observe.SessionInvalidated
	if info.Reason == Expired {
		change = observe.SessionExpired
	}
	ts.tell(ctx, change, info.Ref)
	ts.m.call(ctx, ts.m.config.OnEnd, info)
}

// tell tells listeners about a session.
func (ts *txState) tell(ctx context.Context, change observe.SessionEvent, ref string) {
	ts.txn.Observed().SessionChanged(ctx, observe.SessionChange{Change: change, Ref: ref})
}

// call calls a handler, if it is set. A panic of a handler is logged: it must neither keep other
// handlers from being called nor turn a commit into a failure.
func (m *Manager) call(ctx context.Context, handler func(context.Context, Info), info Info) {
	if handler == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			m.config.Logger.ErrorContext(ctx, "a session event handler panicked",
				slog.String("session", info.Ref), slog.String("event", info.Reason.String()),
				slog.Any("panic", p))
		}
	}()
	handler(ctx, info)
}
