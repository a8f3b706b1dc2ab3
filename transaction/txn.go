package transaction

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A Txn is one transaction. Make one with [Begin], [Manager.Begin] or [Run].
//
// Its methods are safe for concurrent use by multiple goroutines, and its end is exclusive: when
// one goroutine commits or aborts, a call that another one makes at the same time either takes
// effect as a whole or fails with [ErrEnded]. Of several calls of Commit or Abort, only one takes
// effect.
type Txn struct {
	carrier       carrier
	manager       *Manager             // nil: a zero one
	seen          *observe.Request     // nil: without listeners
	onJoin        func(manager string) // tells them that a data manager has joined
	synchronizers []Synchronizer

	// held is locked by [Txn.Hold], while a savepoint is made or rolled back to, and while the end
	// takes over the managers. It is locked before all other mutexes: those of the data managers,
	// then mu. Hooks and synchronizers are called without it.
	held sync.Mutex

	mu       sync.Mutex // guards the rest; never held while calling managers, hooks, synchronizers
	status   Status
	ending   bool // a Commit or Abort is running
	settled  bool // the managers were notified of the end
	prepared bool // managers other than the last hold prepared work

	id          string // made on demand: most transactions need none
	description string
	user        string
	extension   map[string]any
	data        []kv
	managers    []resource.DataManager // in the order in which they joined
	savepoints  []*Savepoint           // valid ones, oldest first
	hooks       *hooks                 // nil: none
	recorder    string                 // the RecorderID of the last manager, if others prepare
	cause       error                  // why the status is CommitFailed
	conflict    error                  // that was known when the transaction was aborted
	left        chan struct{}          // closed by the running Commit or Abort; nil: no waiter

	// The first elements of managers and data. There are seldom more, so appending seldom
	// allocates.
	inline struct {
		managers [2]resource.DataManager
		data     [2]kv
	}
}

// A kv is an entry of [Txn.SetData]. A transaction has two or three at most, so a list is smaller
// and faster than a map.
type kv struct{ key, value any }

// ID returns the transaction's globally unique name: at least 128 random bits, as letters and
// digits.
func (t *Txn) ID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.id == "" {
		t.id = rand.Text()
	}
	return t.id
}

// Context returns a context that carries t, made from the one that t was begun with. A data manager
// that keeps a context should keep this one: the context of a call may be cancelled before t ends.
func (t *Txn) Context() context.Context { return &t.carrier }

// Status returns the state that t is in.
func (t *Txn) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Wait waits until no Commit or Abort of t is running, or ctx is done, and returns the status that
// t has then. It is for a caller whose own Commit or Abort was refused with [ErrEnded] and that has
// to know how the other goroutine's call ends. Code that a Commit or Abort calls, such as a hook,
// must not call Wait: it would deadlock.
func (t *Txn) Wait(ctx context.Context) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.ending && ctx.Err() == nil {
		if t.left == nil {
			t.left = make(chan struct{})
		}
		left := t.left
		t.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
		}
		t.mu.Lock()
	}
	return t.status
}

// Prepared is for data managers: see [resource.Txn].
func (t *Txn) Prepared() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prepared
}

// Recorder is for data managers: see [resource.Txn].
func (t *Txn) Recorder() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recorder
}

// Usable reports whether the status is [Active] or [Doomed].
func (t *Txn) Usable() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status == Active || t.status == Doomed
}

var _ resource.Txn = (*Txn)(nil)

// Join adds dm to the transaction; joining again has no effect. It is possible until the data
// managers begin to commit, so also in hooks before the commit and in a doomed transaction. After
// that the error is [ErrEnded] or [ErrCommitFailed]; dm has not joined and none of its methods is
// called.
func (t *Txn) Join(dm resource.DataManager) error {
	t.mu.Lock()
	joined, err := t.join(dm)
	t.mu.Unlock()
	if joined {
		t.tellJoined(dm)
	}
	return err
}

// Observed returns the request of the context that t was begun with, if it has listeners; else nil,
// on which its methods do nothing.
func (t *Txn) Observed() *observe.Request { return t.seen }

// join is Join, and reports whether dm is new; the caller holds t.mu.
func (t *Txn) join(dm resource.DataManager) (joined bool, err error) {
	if dm == nil {
		return false, errors.New("transaction: cannot join a nil data manager")
	}
	if err := t.usable("join"); err != nil {
		return false, err
	}
	if slices.Contains(t.managers, dm) {
		return false, nil
	}
	if t.managers == nil {
		t.managers = t.inline.managers[:0]
	}
	t.managers = append(t.managers, dm)
	return true, nil
}

// tellJoined tells the listeners, if there are any, that dm has joined.
func (t *Txn) tellJoined(dm resource.DataManager) {
	if t.seen == nil {
		return
	}
	key := "" // stays so if the manager panics
	_ = recovered(func() error { key = dm.SortKey(); return nil })
	t.onJoin(key)
}

// JoinAs joins dm as [Txn.Join] does and stores value under key as [Txn.SetData] does, unless key
// has a value already. It returns the value that key has then: if several goroutines are the first
// to use a resource in t, only one of them joins. Errors are those of Join.
func (t *Txn) JoinAs(key, value any, dm resource.DataManager) (any, error) {
	found, joined, err := t.joinAs(key, value, dm)
	if joined {
		t.tellJoined(dm)
	}
	return found, err
}

func (t *Txn) joinAs(key, value any, dm resource.DataManager) (found any, joined bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.data {
		if d.key == key {
			return d.value, false, nil
		}
	}
	if joined, err = t.join(dm); err != nil {
		return nil, false, err
	}
	t.setData(key, value)
	return value, joined, nil
}

// Hold blocks the end of t, savepoints, rollbacks to them, and the Hold of other goroutines until
// [Txn.Release]. It is for a package, such as session, whose calls take several steps in data
// managers and have to take effect as a whole. Between Hold and Release the caller may use data
// managers and call [Txn.Join], but must not call its user's code, nor Hold, Savepoint, Rollback,
// Commit or Abort, which would deadlock. The error is [ErrEnded] or [ErrCommitFailed]; then there
// is nothing to release.
func (t *Txn) Hold() error {
	t.held.Lock()
	t.mu.Lock()
	err := t.usable("use it")
	t.mu.Unlock()
	if err != nil {
		t.held.Unlock()
	}
	return err
}

// Release undoes a successful [Txn.Hold].
func (t *Txn) Release() { t.held.Unlock() }

// usable returns nil if t is active or doomed. The caller holds t.mu.
func (t *Txn) usable(operation string) error {
	switch t.status {
	case Active, Doomed:
		return nil
	case CommitFailed:
		return t.failed()
	default:
		return fmt.Errorf("%w: cannot %s, it is %s", ErrEnded, operation, t.status)
	}
}

// failed returns the error for a transaction whose status is CommitFailed. The caller holds t.mu.
func (t *Txn) failed() error { return fmt.Errorf("%w: %w", ErrCommitFailed, t.cause) }

// Doom prevents t from being committed: Commit will return [ErrDoomed]. Everything else works as
// before, so that code unaware of this runs to its end. The error is [ErrEnded] or
// [ErrCommitFailed].
func (t *Txn) Doom() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.usable("doom"); err != nil {
		return err
	}
	t.status = Doomed
	return nil
}

// IsDoomed reports whether the status is [Doomed].
func (t *Txn) IsDoomed() bool { return t.Status() == Doomed }

// IsTransient reports whether work that failed with err may succeed in another attempt, in a new
// transaction: according to [IsTransient], or to a data manager that is a
// [resource.TransientReporter]. Call it before Abort, which drops the managers.
func (t *Txn) IsTransient(err error) bool {
	if err == nil || final(err) {
		return false
	}
	if IsTransient(err) {
		return true
	}
	t.mu.Lock()
	managers := slices.Clone(t.managers)
	t.mu.Unlock()
	return slices.ContainsFunc(managers, func(dm resource.DataManager) bool {
		reporter, ok := dm.(resource.TransientReporter)
		if !ok {
			return false
		}
		yes := false
		t.report(t.background(), "data manager cannot classify an error", dm,
			recovered(func() error {
				yes = reporter.IsTransient(err)
				return nil
			}))
		return yes
	})
}

// Data returns the value that SetData stored under key, or nil.
func (t *Txn) Data(key any) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.data {
		if d.key == key {
			return d.value
		}
	}
	return nil
}

// SetData stores value with the transaction, for code that has to remember something about it. As
// with contexts, key should be of an unexported type of that code's package. The value is dropped
// at the end of the transaction, after the hooks; later calls store nothing.
func (t *Txn) SetData(key, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setData(key, value)
}

// setData is SetData; the caller holds t.mu.
func (t *Txn) setData(key, value any) {
	if t.over() {
		return
	}
	for i := range t.data {
		if t.data[i].key == key {
			t.data[i].value = value
			return
		}
	}
	if t.data == nil {
		t.data = t.inline.data[:0]
	}
	t.data = append(t.data, kv{key, value})
}

// Note adds a line to the description, without white space around it.
func (t *Txn) Note(text string) {
	text = strings.TrimSpace(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.description != "" {
		text = t.description + "\n" + text
	}
	t.description = text
}

// Description returns the notes, one per line.
func (t *Txn) Description() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.description
}

// SetUser records the user on whose behalf the transaction runs.
func (t *Txn) SetUser(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.user = user
}

// User returns the user that SetUser recorded, or "".
func (t *Txn) User() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.user
}

// SetExtension stores a value for data managers that record metadata of transactions. It is dropped
// at the end of the transaction; later calls store nothing.
func (t *Txn) SetExtension(key string, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		return
	}
	if t.extension == nil {
		t.extension = map[string]any{}
	}
	t.extension[key] = value
}

// Extension returns a copy of the values that SetExtension stored.
func (t *Txn) Extension() map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.extension)
}

// over reports whether t has ended and all participants were notified. The caller holds t.mu.
func (t *Txn) over() bool {
	return !t.ending && (t.status == Committed || t.status == Aborted)
}

// forget drops references, because contexts that carry t may outlive it. The caller holds t.mu.
func (t *Txn) forget() {
	if t.managers != nil || t.data != nil {
		clear(t.inline.managers[:])
		clear(t.inline.data[:])
	}
	t.managers, t.data, t.hooks = nil, nil, nil
	t.savepoints, t.extension = nil, nil
}

// report logs an error that can't be returned to a caller, or not only. It does nothing if err is
// nil.
func (t *Txn) report(ctx context.Context, what string, dm resource.DataManager, err error) {
	if err == nil || t.manager == nil || t.manager.Logger == nil {
		return
	}
	attrs := []slog.Attr{slog.String("transaction", t.ID()), slog.Any("error", err)}
	if dm != nil {
		attrs = append(attrs, slog.String("manager", sortKey(dm)))
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	t.manager.Logger.LogAttrs(ctx, slog.LevelError, what, attrs...) //nolint:sloglint // a constant
}

// sortKey returns the sort key of a manager for a log, or "" if it panics.
func sortKey(dm resource.DataManager) (key string) {
	_ = recovered(func() error { key = dm.SortKey(); return nil })
	return key
}

// reportSlow logs a commit that took long.
func (t *Txn) reportSlow(ctx context.Context, managers []resource.DataManager, took time.Duration) {
	limit := cmp.Or(t.manager.SlowCommit, time.Second)
	if limit < 0 || took < limit {
		return
	}
	keys := make([]string, len(managers))
	for i, dm := range managers {
		keys[i] = sortKey(dm)
	}
	t.manager.Logger.LogAttrs(ctx, slog.LevelWarn, "the commit was slow",
		slog.Duration("duration", took), slog.String("managers", strings.Join(keys, ", ")),
		slog.String("note", t.Description()))
}
