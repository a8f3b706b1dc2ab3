package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

// Register makes URIs such as postgres://localhost/site known to o; postgresql:// is the same.
func Register(o *storage.Opener) {
	o.RegisterCanonical("postgres", open, canonical)
	o.RegisterCanonical("postgresql", open, canonical)
}

// The optional interfaces that the engine implements.
var (
	_ engine.Preparer            = (*database)(nil)
	_ engine.PrepareChecker      = (*database)(nil)
	_ engine.Recorder            = (*database)(nil)
	_ engine.Speculative         = (*database)(nil)
	_ engine.KeyLocker           = (*database)(nil)
	_ engine.Locker              = (*database)(nil)
	_ recovery.Participant       = (*database)(nil)
	_ resource.TransientReporter = (*database)(nil)
	_ engine.PreparingView       = (*view)(nil)
	_ engine.SideView            = (*view)(nil)
	_ engine.Watcher             = (*view)(nil)
	_ engine.Awaiter             = (*view)(nil)
	_ engine.Validator           = (*view)(nil)
	_ engine.Clock               = (*view)(nil)
)

// A database is the engine of one set of tables.
type database struct {
	options    options
	config     *pgxpool.Config
	pool       *pgxpool.Pool
	poolers    poolers
	schema     string // where the tables are
	statements *statements
	separately bool // a commit is several statements, for servers that lack features
	id         string
	canPrepare bool

	// of connections that only hold advisory locks; nil: the server has none
	lockPool  *pgxpool.Pool
	holds     holds
	accepted  acceptances
	owner     owner
	forgotten forgotten
	locks     lockWatch
	// descriptions of the open transactions with the app's own SQL, by the id of the server's
	// process
	appSQL sync.Map

	mu     sync.Mutex // guards the next two
	closed bool
	active sync.WaitGroup // the open views and other operations, such as returning a connection
}

func open(ctx context.Context, uri *url.URL) (engine.Engine, error) {
	return openAs(ctx, uri, false)
}

// openAs opens a database. With simple set, or on a server without the needed features, commits use
// several statements.
func openAs(ctx context.Context, uri *url.URL, simple bool) (_ engine.Engine, err error) {
	config, o, err := parse(uri)
	if err != nil {
		return nil, err
	}
	e := &database{options: o, config: config, separately: simple}
	e.owner.engine = e
	e.locks.read = e.readForAll
	e.locks.due, e.locks.stop = make(chan struct{}, 1), make(chan struct{})
	e.configure(&config.ConnConfig.Config, o.settings)
	config.ConnConfig.OnPgError = recordError
	config.ConnConfig.Tracer = tracer{config.ConnConfig.Database}
	if e.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, explainOpen(err)
	}
	opened := false
	defer func() {
		if !opened {
			e.pool.Close()
		}
	}()
	if err := e.inspect(ctx); err != nil {
		return nil, explainOpen(err)
	}
	if !engine.IsDryRun(ctx) {
		if err := e.makeTables(ctx); err != nil {
			return nil, explainOpen(err)
		}
	}
	opened = true
	return e, nil
}

// ownSettings are for the statements of this package; the app's own SQL runs without them.
var ownSettings = settings{
	// On small tables the planner prefers a sequential scan, whose predicate lock covers the whole
	// table and causes false conflicts.
	"enable_seqscan": "off",
	// A sequential scan that can't be avoided then has such a high cost that the server would
	// compile the query (JIT), which takes much longer than the query.
	"jit": "off",
	// Otherwise each commit would be planned again, because for an array of unknown length
	// PostgreSQL assumes more elements than ours have.
	"plan_cache_mode": "force_generic_plan",
}

// inspect finds out the server's features and the tables' schema. A later change of the search path
// does not change that.
func (e *database) inspect(ctx context.Context) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var version, role string
	err = conn.QueryRow(ctx,
		qualify("SELECT pg_catalog.version(), pg_catalog.current_setting('role'),"+
			" coalesce((SELECT n.nspname::text FROM pg_catalog.pg_class AS c"+
			" JOIN pg_catalog.pg_namespace AS n ON n.oid {=} c.relnamespace"+
			" WHERE c.oid {=} pg_catalog.to_regclass($1)), pg_catalog.current_schema()::text, '')"),
		e.options.prefix+"migrations").Scan(&version, &role, &e.schema)
	if err != nil {
		return err
	}
	e.schema = cmp.Or(e.options.schema, e.schema)
	if e.schema == "" {
		return errors.New("no schema of the search path exists: " +
			"write schema=name, or search_path=name")
	}
	_, weak := e.options.settings["synchronous_commit"]
	e.statements = newStatements(e.table, role, weak)
	if !strings.HasPrefix(version, "PostgreSQL") || strings.Contains(version, "-YB-") {
		e.separately = true
	}
	if e.separately {
		return nil // advisory locks and PREPARE TRANSACTION are missing there, or do nothing
	}
	var limit string
	err = conn.QueryRow(ctx,
		"SELECT pg_catalog.current_setting('max_prepared_transactions')").Scan(&limit)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(limit)
	e.canPrepare = err == nil && n > 0 && !e.options.noTwoPhase
	return e.openLockPool(ctx)
}

// table returns the name of one of this package's tables.
func (e *database) table(name string) string { return e.options.table(e.schema, name) }

// Begin needs no round trip: an unused view holds no connection.
func (e *database) Begin(ctx context.Context) (engine.View, error) { return e.begin(ctx) }

// BeginSpeculative is Begin, except that the first read may return what an accepted commit is about
// to write. Only a second attempt gets that, and only if there can be a third one, which reads from
// the server.
func (e *database) BeginSpeculative(ctx context.Context, used []engine.ReadRange) (
	engine.View, error,
) {
	v, err := e.begin(ctx)
	if err != nil {
		return nil, err
	}
	attempt, _ := transaction.AttemptFromContext(ctx)
	if attempt.Number == 2 && !attempt.Last() {
		v.used = used
	}
	v.mustAwait = true
	return v, nil
}

func (e *database) begin(ctx context.Context) (*view, error) {
	if err := e.acquire(); err != nil {
		return nil, err
	}
	// A second attempt has already lost a race. With a snapshot from its first read on, it can lose
	// only at its commit, when all its keys are known, so that the third attempt can queue for
	// them.
	attempt, _ := transaction.AttemptFromContext(ctx)
	return &view{engine: e, ctx: ctx, pinFirst: e.options.pinFirst || attempt.Number > 1}, nil
}

// acquire keeps the engine open until release is called, unless it is closed already.
func (e *database) acquire() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return storage.ErrClosed
	}
	e.active.Add(1)
	return nil
}

func (e *database) release() { e.active.Done() }

// Close waits for the open views.
func (e *database) Close() error {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	e.active.Wait()
	if again {
		return nil
	}
	close(e.locks.stop)
	e.forgotten.flush(context.Background(), e)
	e.owner.close()
	if e.lockPool != nil {
		e.lockPool.Close()
	}
	e.pool.Close()
	return nil
}

// acquireConn returns a connection from the pool. It waits for a limited time, because the holders
// of all connections may be waiting for another one.
func (e *database) acquireConn(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, e.options.acquireTimeout)
	defer cancel()
	conn, err := e.pool.Acquire(limited)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, &transientError{fmt.Errorf("no connection became free in %s: "+
			"more requests than connections (pool_max_conns is %d)",
			e.options.acquireTimeout, e.config.MaxConns)}
	}
	return conn, e.explain(err)
}

// runStatement runs f, which sends a single statement, again as long as PostgreSQL reports a
// conflict.
func (e *database) runStatement(ctx context.Context, f func(*pgxpool.Conn) error) error {
	conn, err := e.acquireConn(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		err := f(conn)
		if err == nil || n == maxRuns || !isSerialization(err) {
			return e.explain(err)
		}
	}
}

// maxRuns is the number of times that a statement is run while PostgreSQL reports conflicts, which
// may be false.
const maxRuns = 20

// end rolls back the SQL transaction on conn, if any, and releases conn, in the background.
func (e *database) end(ctx context.Context, conn *pgxpool.Conn) {
	pg := conn.Conn().PgConn()
	idle, clean := pg.TxStatus() == 'I', isClean(pg)
	if conn.Conn().IsClosed() || idle && clean || pg.IsBusy() { // busy: a reader has not finished
		conn.Release() // closes a busy connection
		return
	}
	e.active.Go(func() { // the caller keeps the engine open
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		if !idle {
			// if that fails, the pool closes the connection, which is a rollback
			_, _ = conn.Exec(ctx, "ROLLBACK")
		}
		if !clean && pg.TxStatus() == 'I' && cleanSession(ctx, conn.Conn()) != nil {
			_ = conn.Conn().Close(ctx)
		}
		conn.Release()
	})
}

const endTimeout = 5 * time.Second

// conflict returns an error that names the key that differed. For a range it runs another query, on
// the same connection: if all commits waited for a second connection, none might get it.
func (e *database) conflict(ctx context.Context, conn *pgxpool.Conn, d mismatch, c *engine.Changes,
	s *readSet,
) error {
	i := d.n - 1
	switch d.what {
	case badRead:
		return &storage.ConflictError{Bucket: c.Reads[i].Bucket, Key: []byte(c.Reads[i].Key)}
	case badLock:
		return &storage.ConflictError{Bucket: c.Writes[i].Bucket, Key: []byte(c.Writes[i].Key)}
	}
	r := c.Ranges[i]
	return &storage.ConflictError{
		Bucket: r.Bucket,
		Key:    []byte(e.changed(ctx, conn, r, s.bucket(r.Bucket))),
	}
}

// changed returns the first key in r that has changed since it was read, or the beginning of r if
// that is unknown.
func (e *database) changed(ctx context.Context, conn *pgxpool.Conn, r engine.ReadRange,
	b *readBucket,
) string {
	text := qualify("SELECT key, version FROM " + e.statements.data +
		" WHERE bucket {=} $1 AND key {>=} $2")
	args := []any{[]byte(r.Bucket), []byte(r.From)}
	if r.To != "" {
		text, args = text+qualify(" AND key {<} $3"), append(args, []byte(r.To))
	}
	rows, err := conn.Query(ctx, text+" ORDER BY key", args...)
	if err != nil {
		return r.From
	}
	found := map[string]int64{}
	var key []byte
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&key, &version}, func() error {
		found[string(key)] = version
		return nil
	})
	if err != nil {
		return r.From
	}
	first := ""
	consider := func(key string) {
		if first == "" || key < first {
			first = key
		}
	}
	for key, version := range found {
		if was, _ := b.versions.Get(key); was != version {
			consider(key)
		}
	}
	b.versions.Ascend(r.From, func(key string, version int64) bool {
		if !(interval{r.From, r.To}).contains(key) {
			return false
		}
		if version != 0 && found[key] == 0 {
			consider(key)
		}
		return true
	})
	return cmp.Or(first, r.From)
}
