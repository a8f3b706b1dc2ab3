package transaction

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A Txn is one transaction. Make one with [Begin], [Manager.Begin] or [Run].
//
// Its methods are safe for concurrent use by multiple goroutines, and its end is exclusive: a call of a
// goroutine that is still at work when another one commits or aborts counts whole, or is refused with
// [ErrEnded]. Only one Commit or Abort takes effect, however many are called.
type Txn struct {
	carrier       carrier
	logger        *slog.Logger
	synchronizers []Synchronizer

	// held is locked by [Txn.Hold], by the making of a savepoint, by a rollback to one, and for the moment in
	// which the end takes over the managers. It is locked before all other mutexes: those of the data managers,
	// then mu. Hooks and synchronizers are called without it.
	held sync.Mutex

	mu       sync.Mutex // guards the rest; never held while calling managers, hooks, synchronizers
	status   Status
	ending   bool // a Commit or Abort is running
	settled  bool // the managers have been told of the end
	prepared bool // managers other than the last hold prepared work

	description string
	data        []datum
	managers    []DataManager // in the order in which they joined

	rare  *rare  // nil until there is something of it, see more: most transactions have nothing, and take 96 bytes less
	hooks *hooks // the same, and another 96

	// For managers and data, as there are seldom more: a request that writes to a session makes four allocations less.
	room struct {
		managers [2]DataManager
		data     [2]datum
	}
}

// rare is what few transactions have anything of.
type rare struct {
	id         string
	user       string
	extension  map[string]any
	savepoints []*Savepoint // valid ones, oldest first
	decider    string       // the id of the last manager as a Decider, if others prepare
	cause      error        // why the status is CommitFailed
	conflict   error        // the one that was known when the transaction was aborted

	left chan struct{} // closed when the Commit or Abort that is running returns; nil if none waits for that
}

// more returns what is rare, to be written. The caller holds t.mu.
func (t *Txn) more() *rare {
	if t.rare == nil {
		t.rare = new(rare)
	}
	return t.rare
}

// has returns what is rare, to be read. The caller holds t.mu.
func (t *Txn) has() rare {
	if t.rare == nil {
		return rare{}
	}
	return *t.rare
}

// A transaction has two or three data at most, so a list is smaller and faster than a map.
type datum struct{ key, value any }

// ID returns a name for the transaction that no other has: at least 128 random bits, as letters and digits.
func (t *Txn) ID() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	more := t.more()
	if more.id == "" { // most transactions are never asked
		more.id = rand.Text()
	}
	return more.id
}

// Context returns the context that t was begun with, and carries t. A data manager that keeps a context keeps this one: that of
// a call may be done sooner.
func (t *Txn) Context() context.Context { return &t.carrier }

// Status returns the state that t is in.
func (t *Txn) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Wait waits until no Commit or Abort of t is running, or ctx is done, and returns the status that t has then. It is for a
// caller whose own one was refused with [ErrEnded], and that has to know how the one of another goroutine ends. What
// is called by a Commit or Abort, such as a hook, must not wait for it.
func (t *Txn) Wait(ctx context.Context) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.ending && ctx.Err() == nil {
		more := t.more()
		if more.left == nil {
			more.left = make(chan struct{})
		}
		left := more.left
		t.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
		}
		t.mu.Lock()
	}
	return t.status
}

// Prepared reports, during the [DataManager.Commit] that decides, whether other data managers hold prepared work: then
// what that Commit makes durable has to include t.ID().
func (t *Txn) Prepared() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prepared
}

// Decider returns, from the first [Preparer.Prepare] on, the [Decider.DeciderID] of the data manager whose Commit is the
// decision; empty if that one keeps no record. Who prepares writes it down, so that recovery knows whom to ask, even if the
// program is configured in another way by then.
func (t *Txn) Decider() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has().decider
}

// Join lets dm take part in the transaction. To join again has no effect. It is possible until the data managers begin to
// commit, so in hooks before the commit too, and in a doomed transaction.
// Otherwise the error is [ErrEnded] or [ErrCommitFailed]; dm has not joined then, and will be told nothing.
func (t *Txn) Join(dm DataManager) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.join(dm)
}

// join is Join; the caller holds t.mu.
func (t *Txn) join(dm DataManager) error {
	if dm == nil {
		return errors.New("transaction: cannot join a nil data manager")
	}
	if err := t.usable("join"); err != nil {
		return err
	}
	if t.managers == nil {
		t.managers = t.room.managers[:0]
	}
	if !slices.Contains(t.managers, dm) {
		t.managers = append(t.managers, dm)
	}
	return nil
}

// JoinAs joins dm as [Txn.Join] does, and stores value under key as [Txn.SetData] does, unless there is a
// value under key already. It returns the value that is there then: of several goroutines that are the first to
// use a resource in t, one joins. Errors are those of Join.
func (t *Txn) JoinAs(key, value any, dm DataManager) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.data {
		if d.key == key {
			return d.value, nil
		}
	}
	if err := t.join(dm); err != nil {
		return nil, err
	}
	t.setData(key, value)
	return value, nil
}

// Hold keeps t as it is until [Txn.Release]: an end, a savepoint, a rollback to one, and the Hold of another
// goroutine wait. It is for a package whose calls take several steps in data managers, and are to count whole,
// as those of package session. Between Hold and Release the caller uses data managers, and may call [Txn.Join], but no
// code of its user; and neither Hold, Savepoint, Rollback, Commit nor Abort, which would wait for ever.
// The error is [ErrEnded] or [ErrCommitFailed]; then there is nothing to release.
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

// Release ends what a [Txn.Hold] without an error has begun.
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

// failed returns the error of a transaction that has failed before. The caller holds t.mu.
func (t *Txn) failed() error { return fmt.Errorf("%w: %w", ErrCommitFailed, t.has().cause) }

// Doom makes sure that t can't be committed: a Commit will return [ErrDoomed]. It may be used as before, so that code that
// doesn't know runs to its end. The error is [ErrEnded] or [ErrCommitFailed].
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

// IsTransient reports whether err is worth another attempt in a new transaction: [IsTransient] says so, or a data manager
// that is a [TransientJudge]. Ask before Abort, when t forgets its managers.
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
	return slices.ContainsFunc(managers, func(dm DataManager) bool {
		judge, ok := dm.(TransientJudge)
		if !ok {
			return false
		}
		yes := false
		t.report(t.background(), "data manager cannot judge an error", dm, contain(func() error {
			yes = judge.IsTransient(err)
			return nil
		}))
		return yes
	})
}

// Data returns what SetData stored under key, or nil.
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

// SetData stores value with the transaction, for code that has to remember something about it. As for contexts, key
// should be of an unexported type of that code's package. It is forgotten with the end of the transaction, after the hooks;
// nothing is stored later.
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
		t.data = t.room.data[:0]
	}
	t.data = append(t.data, datum{key, value})
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

// Description returns the notes, one a line.
func (t *Txn) Description() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.description
}

// SetUser says for whom the transaction is.
func (t *Txn) SetUser(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if user != "" || t.rare != nil {
		t.more().user = user
	}
}

// User returns what SetUser set, or "".
func (t *Txn) User() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.has().user
}

// SetExtension stores a value for data managers that record metadata of transactions. It is forgotten with the end of the
// transaction; nothing is stored later.
func (t *Txn) SetExtension(key string, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		return
	}
	more := t.more()
	if more.extension == nil {
		more.extension = map[string]any{}
	}
	more.extension[key] = value
}

// Extension returns a copy of what SetExtension stored.
func (t *Txn) Extension() map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.has().extension)
}

// over reports whether t has ended and all have been told. The caller holds t.mu.
func (t *Txn) over() bool {
	return !t.ending && (t.status == Committed || t.status == Aborted)
}

// forget drops what the transaction refers to, as contexts may be kept for longer. The caller holds t.mu.
func (t *Txn) forget() {
	if t.managers != nil || t.data != nil {
		clear(t.room.managers[:])
		clear(t.room.data[:])
	}
	t.managers, t.data, t.hooks = nil, nil, nil
	if t.rare != nil {
		t.rare.savepoints, t.rare.extension = nil, nil
	}
}

// report logs an error that can't be returned to anybody, or not alone. It does nothing if err is nil.
func (t *Txn) report(ctx context.Context, what string, dm DataManager, err error) {
	if err == nil || t.logger == nil {
		return
	}
	attrs := []slog.Attr{slog.String("transaction", t.ID()), slog.Any("error", err)}
	if dm != nil {
		key := ""
		_ = contain(func() error { key = dm.SortKey(); return nil }) // without a name, then
		attrs = append(attrs, slog.String("manager", key))
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	t.logger.LogAttrs(ctx, slog.LevelError, what, attrs...) //nolint:sloglint // what is a constant of the caller
}
