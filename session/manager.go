package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// Defaults of a [Config]. Timeout and period are those of repoze.session's
// FileStorageSessionManagerFactory.
const (
	DefaultName    = "session"
	DefaultTimeout = 1200 * time.Second
	DefaultPeriod  = 20 * time.Second
	DefaultMaxSize = 64 << 10
	DefaultGrace   = 5 * time.Minute
)

// MaxKey is the largest size of a key in bytes.
const MaxKey = storage.MaxKey - len(ref{}) - 1

// usedSuffix is appended to the name of the data bucket to form the name of the index bucket.
const usedSuffix = ".used"

// A Config configures a [Manager]. The zero Config is the default.
type Config struct {
	// Name distinguishes the managers of one database. The sessions are stored in the bucket of
	// that name and the index in a bucket whose name has ".used" appended; Name must not end in
	// ".used". Default "session".
	Name string

	// Timeout is how long a session may be unused before it expires, accurate to one Period. At
	// least a millisecond; default 1200 seconds.
	Timeout time.Duration

	// Period is the length of a time slice: a session is marked as used at most once in each, within
	// a quarter of Period after the use, and reads don't wait for that. At least a millisecond;
	// default 20 seconds.
	Period time.Duration

	// MaxSize limits the size of one session in bytes: its keys and encoded values. Zero means
	// 65536, a negative number no limit but that of the database.
	MaxSize int

	// Grace is how long an id that was ended by [Manager.Renew] is remembered, so that writing
	// requests in flight with that id are refused instead of lost. It should be the longest time
	// that a request can take. At least a millisecond; default 5 minutes.
	Grace time.Duration

	// OnBegin is called once for every session that begins, after the commit of the transaction
	// that first stored it. The transaction of ctx has ended: a handler that stores something uses
	// transaction.Run. The handler should be quick, as the response waits for it; a panic is
	// logged.
	OnBegin func(ctx context.Context, info Info)

	// OnEnd is called once for every session that ends, after the commit of the transaction that
	// removed it: by [Session.Invalidate], by a request that replaced an expired session, or by
	// [Manager.Sweep]. As for OnBegin, the transaction of ctx has ended.
	OnEnd func(ctx context.Context, info Info)

	// SweepInterval is the time between two sweeps of a [Sweeper]. It is varied by a tenth, so that
	// several processes don't sweep at the same time. Default a twentieth of Timeout, but at least
	// Period.
	SweepInterval time.Duration

	// Logger receives records about sweeps, clock jumps, panics of event handlers and unreadable
	// sessions. Its handler may use sessions. Default: no logging.
	Logger *slog.Logger
}

// Validate returns an error that joins all faults of c, or nil.
func (c Config) Validate() error {
	var errs []error
	longest := storage.MaxBucketName - len(usedSuffix)
	if len(c.Name) > longest || strings.HasPrefix(c.Name, "\x00") ||
		strings.HasSuffix(c.Name, usedSuffix) {
		errs = append(errs, fmt.Errorf("session: name %.64q: "+
			"want at most %d bytes, no zero byte at the beginning and no %q at the end",
			c.Name, longest, usedSuffix))
	}
	if c.Timeout != 0 && c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: timeout %v: want at least 1ms, such as %v",
			c.Timeout, DefaultTimeout))
	}
	if c.Period != 0 && c.Period < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: period %v: want at least 1ms, such as %v",
			c.Period, DefaultPeriod))
	}
	if c.Grace != 0 && c.Grace < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: grace %v: want at least 1ms, such as %v",
			c.Grace, DefaultGrace))
	}
	if c.SweepInterval < 0 {
		errs = append(errs, fmt.Errorf("session: sweep interval %v: "+
			"want a positive duration, such as 1m",
			c.SweepInterval))
	}
	return errors.Join(errs...)
}

// withDefaults returns c with defaults in place of its zero fields.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Period == 0 {
		c.Period = DefaultPeriod
	}
	switch {
	case c.MaxSize == 0:
		c.MaxSize = DefaultMaxSize
	case c.MaxSize < 0:
		c.MaxSize = storage.MaxValue
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.SweepInterval == 0 {
		c.SweepInterval = max(c.Period, c.Timeout/20)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Manager finds, creates and ends the sessions in one database. It is safe for concurrent use.
type Manager struct {
	db      *storage.DB
	config  Config
	index   string // the name of the index bucket
	sortKey string
	timeout int64 // in milliseconds, as all unexported times of this package
	period  int64
	grace   int64
	clock   *clock // shared by the managers of a database
	usage   *usage // shared by the managers of one name in a database
	logged  loggedRefs
	log     logQueue
}

// NewManager returns a manager of the sessions that are stored in db under config's name. It starts
// no goroutine: call [Manager.StartSweeper] or [Manager.Sweep] to delete expired sessions. The
// error joins all faults of config.
func NewManager(db *storage.DB, config Config) (*Manager, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if db == nil {
		return nil, errors.New("session: no database; open one with storage's Opener first")
	}
	config = config.withDefaults()
	return &Manager{
		db:      db,
		config:  config,
		index:   config.Name + usedSuffix,
		sortKey: "session:" + config.Name,
		timeout: config.Timeout.Milliseconds(),
		period:  config.Period.Milliseconds(),
		grace:   config.Grace.Milliseconds(),
		log:     logQueue{logger: config.Logger},
		clock:   shared(db, clockKey{}, func(*storage.DB) *clock { return newClock() }),
		usage:   shared(db, usageKey{config.Name}, newUsage),
	}, nil
}

// Timeout returns how long a session may be unused before it expires.
func (m *Manager) Timeout() time.Duration { return m.config.Timeout }

// Get returns the session of the browser that sent the request of ctx, in the transaction of ctx.
// If the browser has none, it returns a new session, which is stored when something is first
// written to it. Within one transaction the same browser gets the same Session.
//
// The browserid filter puts the browser's id into the context; outside of requests, [WithID] does.
//
// Errors: [transaction.ErrNoTransaction], [ErrNoID], [ErrFinished], and those of the database.
func (m *Manager) Get(ctx context.Context) (*Session, error) {
	s, _, err := m.get(ctx)
	return s, err
}

// Lookup is Get, except that it returns nil and no error if the browser has no session: none was
// ever stored, or it has ended. As in repoze.session, the call counts as a use of the session.
func (m *Manager) Lookup(ctx context.Context) (*Session, error) {
	s, stored, err := m.get(ctx)
	if err != nil || !stored {
		return nil, err
	}
	return s, nil
}

// Has reports whether the browser that sent the request of ctx has a session. As in repoze.session,
// the call counts as a use of the session. Errors are those of [Manager.Get].
func (m *Manager) Has(ctx context.Context) (bool, error) {
	_, stored, err := m.get(ctx)
	return stored, err
}

// get is Get; stored reports whether the session exists in the transaction's view.
func (m *Manager) get(ctx context.Context) (s *Session, stored bool, err error) {
	ts, err := m.hold(ctx)
	if err != nil {
		return nil, false, err
	}
	defer ts.release()
	c, ok := visitor.FromContext(ctx)
	if !ok {
		return nil, false, ErrNoID
	}
	if _, ok := c.Renewed(ts.txn); ok { // by this manager or another one of the transaction
		s, err = ts.renew(c, "")
	} else if id, ok := c.Visitor.ID(); ok && id != "" {
		s, err = ts.get(id)
	} else {
		err = ErrNoID
	}
	if err != nil {
		return nil, false, err
	}
	return s, s.current().state.exists, nil
}

// WithID returns a context in which the session is that of the browser with this id. It is for jobs
// and commands, and for requests that are identified by other means than the browserid filter. No
// cookie can be sent for such a context, so [Manager.Renew] returns [ErrIDNotSent].
func WithID(ctx context.Context, id string) context.Context {
	return &visitor.Context{Context: ctx, Visitor: given(id)}
}

// given is a visitor with a fixed id.
type given string

func (id given) ID() (string, bool)                   { return string(id), true }
func (id given) MakeID([visitor.SeedSize]byte) string { return "" }
func (id given) CanSetID() error                      { return errGiven }
func (id given) SetID(string) error                   { return errGiven }

var errGiven = errors.New("its id comes from session.WithID, which sends no cookie; " +
	"put the browserid filter in front of the app instead")

// hold returns the txState of the transaction of ctx, and holds it.
func (m *Manager) hold(ctx context.Context) (*txState, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, errNoTransaction
	}
	if err := t.Hold(); err != nil {
		return nil, ErrFinished
	}
	ts, err := m.txState(ctx)
	if err != nil {
		t.Release()
	}
	return ts, err
}

// txState returns the txState of the transaction of ctx, and creates it at the first call.
func (m *Manager) txState(ctx context.Context) (*txState, error) { return m.txStateOf(ctx, m.db) }

// txStateOf is txState with another DB of the manager's database.
func (m *Manager) txStateOf(ctx context.Context, db *storage.DB) (*txState, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, errNoTransaction
	}
	if ts, ok := t.Data(m).(*txState); ok {
		return ts, ts.usable()
	}
	tx, err := db.Tx(ctx)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	ts := &txState{m: m, txn: t, tx: tx, data: tx.Bucket(m.config.Name)}
	t.SetData(m, ts)
	ts.tellContents(ctx)
	return ts, nil
}

// shared returns the value under key that all managers of a database share, across reloads.
func shared[T any](db *storage.DB, key any, newValue func(*storage.DB) T) T {
	//nolint:errcheck // only values of this type are stored under the key
	return db.Shared(key, func(db *storage.DB) any { return newValue(db) }).(T)
}

// time returns the time, and the adjusted time by which ages are measured: see [clock].
func (m *Manager) time() (now, adjusted int64) { return m.clock.read(m.config.Timeout, &m.log) }

// slice returns the start of the time slice that contains now.
func (m *Manager) slice(now int64) int64 { return now - now%m.period }

// expired reports whether a session that was last used in the slice used has expired at the
// adjusted time.
func (m *Manager) expired(used, adjusted int64) bool { return m.slice(adjusted)-used > m.timeout }

// graceOver reports whether the tombstone of an id that ended at the given time is older than
// Grace. It returns true, too, for a tombstone that a wrong clock dated far ahead.
func (m *Manager) graceOver(ended, adjusted int64) bool {
	return adjusted-ended >= m.grace || ended-adjusted >= m.grace
}

// tombstoneSlice returns the slice under which the index lists a tombstone, so that a sweep reaches
// it when its grace is over.
func (m *Manager) tombstoneSlice(ended int64) int64 {
	return max(0, min(m.slice(ended), m.slice(ended+m.grace-m.timeout)))
}

// farAhead reports whether the slice used is so far ahead of now that it must have been written by
// a wrong clock.
func (m *Manager) farAhead(used, now int64) bool {
	return used-m.slice(now) > m.timeout+m.period
}
