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

// The defaults of a [Config]; timeout and period are those of repoze.session's FileStorageSessionManagerFactory.
const (
	DefaultName    = "session"
	DefaultTimeout = 1200 * time.Second
	DefaultPeriod  = 20 * time.Second
	DefaultMaxSize = 64 << 10
	DefaultGrace   = 5 * time.Minute
)

// MaxKey is the largest size of a key in bytes.
const MaxKey = storage.MaxKey - len(ref{}) - 1

// usedSuffix makes the name of the index bucket.
const usedSuffix = ".used"

// A Config says how a [Manager] works. The zero Config is the default.
type Config struct {
	// Name tells the managers of one database apart: the sessions are in the bucket of that name, and the index in one whose
	// name ends in ".used", which no Name may. Default "session".
	Name string

	// Timeout is how long a session may be unused before it ends, give or take one Period.
	// At least a millisecond; default 1200 seconds.
	Timeout time.Duration

	// Period is the width of a time slice: a session is marked as used at most once in each, so that reading
	// costs no write. At least a millisecond; default 20 seconds.
	Period time.Duration

	// MaxSize is the largest size of one session in bytes: its keys and encoded values. Default 65536.
	MaxSize int

	// Grace is how long it is remembered that an id has ended by [Manager.Renew], so that requests which were under way with it
	// are refused instead of lost. It should be as long as such a request can take. At least a millisecond; default 5 minutes.
	Grace time.Duration

	// OnBegin is called for every session that begins: once, after the commit of the transaction that first
	// stored it. A session that was never stored never began. The transaction that ctx carries has ended: a handler that
	// stores something uses transaction.Run. It should be quick, as the response waits; a panic is logged.
	OnBegin func(ctx context.Context, info Info)

	// OnEnd is called for every session that ends: once, after the commit of the transaction that removed it,
	// be it by [Session.Invalidate], by a request that found it expired and replaced it, or by [Manager.Sweep].
	// As for OnBegin, the transaction of ctx has ended.
	OnEnd func(ctx context.Context, info Info)

	// SweepInterval is the time between two sweeps of a [Sweeper]; it is varied by a tenth, so that several
	// processes drift apart. Default a twentieth of Timeout, and not less than Period.
	SweepInterval time.Duration

	// Logger is told of sweeps, of jumps of the clock, of handlers that panic, and of sessions that can't be read. Its handler may
	// use sessions. Default: nobody.
	Logger *slog.Logger
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if longest := storage.MaxBucketName - len(usedSuffix); len(c.Name) > longest || strings.HasPrefix(c.Name, "\x00") || strings.HasSuffix(c.Name, usedSuffix) {
		errs = append(errs, fmt.Errorf("session: name %.64q: want at most %d bytes, no zero byte at the beginning and no %q at the end",
			c.Name, longest, usedSuffix))
	}
	if c.Timeout != 0 && c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: timeout %v: want at least 1ms, such as %v", c.Timeout, DefaultTimeout))
	}
	if c.Period != 0 && c.Period < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: period %v: want at least 1ms, such as %v", c.Period, DefaultPeriod))
	}
	if c.MaxSize < 0 {
		errs = append(errs, fmt.Errorf("session: maximum size %d: want a number of bytes, such as %d", c.MaxSize, DefaultMaxSize))
	}
	if c.Grace != 0 && c.Grace < time.Millisecond {
		errs = append(errs, fmt.Errorf("session: grace %v: want at least 1ms, such as %v", c.Grace, DefaultGrace))
	}
	if c.SweepInterval < 0 {
		errs = append(errs, fmt.Errorf("session: sweep interval %v: want a positive duration, such as 1m", c.SweepInterval))
	}
	return errors.Join(errs...)
}

// withDefaults returns c with its zero fields filled in.
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
	if c.MaxSize == 0 {
		c.MaxSize = DefaultMaxSize
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

// A Manager finds, makes and ends the sessions in one database. It is safe for concurrent use.
type Manager struct {
	db      *storage.DB
	config  Config
	index   string // the name of the index bucket
	sortKey string
	timeout int64 // milliseconds, as everything below the API
	period  int64
	grace   int64
	clock   *clock // shared
	watch   *watch // shared
	noted   noted
	journal journal
}

// NewManager returns a manager of the sessions that db keeps under config's name. It starts nothing: expired
// sessions are swept by whoever calls [Manager.StartSweeper] or [Manager.Sweep].
// The error joins everything that is wrong with config.
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
		journal: journal{logger: config.Logger},
		clock:   shared(db, clockKey{}, newClock),
		watch:   shared(db, watchKey{config.Name}, func() *watch { return &watch{} }),
	}, nil
}

// Timeout returns for how long a session may be unused before it ends.
func (m *Manager) Timeout() time.Duration { return m.config.Timeout }

// Get returns the session of the browser that sent the request of ctx, in the transaction of ctx: the one that is
// stored, or a new one, which is stored as soon as something is written to it and never if nothing is.
// Within one transaction the same browser gets the same Session.
//
// The browserid filter puts the browser's id into the context; [WithID] does outside of requests.
//
// Errors: [transaction.ErrNoTransaction], [ErrNoID], [ErrFinished], and those of the database.
func (m *Manager) Get(ctx context.Context) (*Session, error) {
	s, _, err := m.get(ctx)
	return s, err
}

// Lookup is Get, but it returns nil if there is no session: none was ever stored, or it has ended. Like [Manager.Get],
// and as in repoze.session, asking counts as using the session.
func (m *Manager) Lookup(ctx context.Context) (*Session, error) {
	s, stored, err := m.get(ctx)
	if err != nil || !stored {
		return nil, err
	}
	return s, nil
}

// Has reports whether the browser that sent the request of ctx has a session. Like [Manager.Get], and as in
// repoze.session, asking counts as using the session. Errors are those of Get.
func (m *Manager) Has(ctx context.Context) (bool, error) {
	_, stored, err := m.get(ctx)
	return stored, err
}

// get is Get; stored says whether there is a session, as the transaction sees it.
func (m *Manager) get(ctx context.Context) (s *Session, stored bool, err error) {
	a, err := m.hold(ctx)
	if err != nil {
		return nil, false, err
	}
	defer a.release() //nolint:contextcheck // what it logs may be of another request
	c, ok := visitor.FromContext(ctx)
	if !ok {
		return nil, false, ErrNoID
	}
	if _, ok := c.Renewed(a.txn); ok { // perhaps by another manager
		s, err = a.renew(c, "")
	} else if id, ok := c.Visitor.ID(); ok && id != "" {
		s, err = a.get(id)
	} else {
		err = ErrNoID
	}
	if err != nil {
		return nil, false, err
	}
	return s, s.current().now.exists, nil
}

// WithID returns a context in which the session is that of the browser called id: for jobs and commands, and for requests
// that tell in another way than by the browserid filter whose they are. Nothing can tell a browser of a new id there, so
// [Manager.Renew] returns [ErrNotTold].
func WithID(ctx context.Context, id string) context.Context {
	return &visitor.Context{Context: ctx, Visitor: given(id)}
}

// given is a visitor of which only the id is known.
type given string

func (id given) ID() (string, bool)                   { return string(id), true }
func (id given) MakeID([visitor.SeedSize]byte) string { return "" }
func (id given) CanTell() error                       { return errGiven }
func (id given) Tell(string) error                    { return errGiven }

var errGiven = errors.New("its id comes from session.WithID: put the browserid filter before the app")

// hold returns the attempt of the transaction of ctx, which is held.
func (m *Manager) hold(ctx context.Context) (*attempt, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, errNoTransaction
	}
	if err := t.Hold(); err != nil {
		return nil, ErrFinished
	}
	a, err := m.attempt(ctx)
	if err != nil {
		t.Release()
	}
	return a, err
}

// attempt returns what the transaction of ctx has done with m's sessions so far.
func (m *Manager) attempt(ctx context.Context) (*attempt, error) {
	t, ok := transaction.FromContext(ctx)
	if !ok {
		return nil, errNoTransaction
	}
	if a, ok := t.Data(m).(*attempt); ok {
		return a, a.usable()
	}
	tx, err := m.db.Tx(ctx)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	a := &attempt{m: m, txn: t, tx: tx, data: tx.Bucket(m.config.Name)}
	t.SetData(m, a)
	return a, nil
}

// shared returns what all managers of a database have in common under key, those after a reload, too.
func shared[T any](db *storage.DB, key any, newValue func() T) T {
	return db.Shared(key, func() any { return newValue() }).(T) //nolint:errcheck // nothing else is kept under these keys
}

// time returns the time, and the time to judge ages by: see clock.
func (m *Manager) time() (now, judged int64) { return m.clock.read(m.config.Timeout, &m.journal) }

// slice returns the start of the time slice that now lies in.
func (m *Manager) slice(now int64) int64 { return now - now%m.period }

// expired reports whether a session that was last used in the slice used has ended by the moment judged.
func (m *Manager) expired(used, judged int64) bool { return m.slice(judged)-used > m.timeout }

// over reports whether a mark of an id that ended then is of no use any more. One that a wrong clock dated far ahead isn't either.
func (m *Manager) over(ended, judged int64) bool {
	return judged-ended >= m.grace || ended-judged >= m.grace
}

// markSlice returns the slice under which the index has a mark: one that a sweep comes to when the mark is over.
func (m *Manager) markSlice(ended int64) int64 {
	return max(0, min(m.slice(ended), m.slice(ended+m.grace-m.timeout)))
}

// astray reports whether the slice used lies so far in the future of now that only a clock that was wrong can have
// written it.
func (m *Manager) astray(used, now int64) bool {
	return used-m.slice(now) > m.timeout+m.period
}
