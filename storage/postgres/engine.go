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
	_ engine.KeyLocker           = (*database)(nil)
	_ engine.Locker              = (*database)(nil)
	_ recovery.Participant       = (*database)(nil)
	_ resource.TransientReporter = (*database)(nil)
	_ engine.PreparingView       = (*view)(nil)
	_ engine.SideView            = (*view)(nil)
	_ engine.Watcher             = (*view)(nil)
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
	separately bool // a commit is several statements
	id         string
	canPrepare bool

	turns   *pgxpool.Pool // of connections that only hold advisory locks; nil: there are none
	owner   owner
	decided decided
	locks   lockWatch
	appSQL  sync.Map // what each SQL transaction of the app's that is open is for, by the process id of the server's

	mu     sync.Mutex // guards the next two
	closed bool
	views  sync.WaitGroup // the open ones, and the connections that are just being given back
}

func open(ctx context.Context, uri *url.URL) (engine.Engine, error) { return openAs(ctx, uri, false) }

// openAs opens a database. With simple set, or on a server without the needed features, commits use
// several statements.
func openAs(ctx context.Context, uri *url.URL, simple bool) (_ engine.Engine, err error) {
	config, o, err := parse(uri)
	if err != nil {
		return nil, err
	}
	e := &database{options: o, config: config, separately: simple}
	e.owner.engine = e
	e.locks.ask, e.locks.due, e.locks.stop = e.ask, make(chan struct{}, 1), make(chan struct{})
	e.configure(&config.ConnConfig.Config, o.settings)
	config.ConnConfig.OnPgError = keepError
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
	// Otherwise each commit would be planned again, because for an array of unknown length
	// PostgreSQL assumes more elements than ours have.
	"plan_cache_mode": "force_generic_plan",
}

// inspect finds out the server's features and the tables' schema: the one that the search path
// gives now, whatever an app makes of that later.
func (e *database) inspect(ctx context.Context) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var version, role string
	err = conn.QueryRow(ctx, "SELECT pg_catalog.version(), pg_catalog.current_setting('role'), coalesce((SELECT n.nspname::text"+
		" FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"+
		" WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)), pg_catalog.current_schema()::text, '')",
		e.options.prefix+"migrations").Scan(&version, &role, &e.schema)
	if err != nil {
		return err
	}
	e.schema = cmp.Or(e.options.schema, e.schema)
	if e.schema == "" {
		return errors.New("no schema of the search path exists: write schema=name, or search_path=name")
	}
	_, weak := e.options.settings["synchronous_commit"]
	e.statements = newStatements(e.table, role, weak)
	if e.separately = e.separately || !strings.HasPrefix(version, "PostgreSQL") || strings.Contains(version, "-YB-"); e.separately {
		return nil // advisory locks and PREPARE TRANSACTION are missing there, or do nothing
	}
	var most string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.current_setting('max_prepared_transactions')").Scan(&most); err != nil {
		return err
	}
	n, err := strconv.Atoi(most)
	e.canPrepare = err == nil && n > 0 && !e.options.noTwoPhase
	return e.openTurns(ctx)
}

// table returns the name of one of this package's tables.
func (e *database) table(name string) string { return e.options.table(e.schema, name) }

// Begin needs no round trip: an unused view holds no connection.
func (e *database) Begin(ctx context.Context) (engine.View, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	// A second attempt has lost a race already: with a snapshot from its first read on, it can lose
	// only at its commit, when all that it is about is known, and the third can have its turn on
	// that.
	attempt, _ := transaction.AttemptFromContext(ctx)
	return &view{engine: e, ctx: ctx, pinFirst: e.options.pinFirst || attempt.Number > 1}, nil
}

func (e *database) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return storage.ErrClosed
	}
	e.views.Add(1)
	return nil
}

// Close waits for the open views.
func (e *database) Close() error {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	e.views.Wait()
	if again {
		return nil
	}
	close(e.locks.stop)
	e.decided.flush(e)
	e.owner.close()
	if e.turns != nil {
		e.turns.Close()
	}
	e.pool.Close()
	return nil
}

// acquire takes a connection from the pool. It waits for a limited time: the holders of the others
// may be waiting for another one.
func (e *database) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	patience, cancel := context.WithTimeout(ctx, e.options.acquireTimeout)
	defer cancel()
	conn, err := e.pool.Acquire(patience)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, &lackError{fmt.Errorf("no connection became free in %s: more requests than connections (pool_max_conns is %d)",
			e.options.acquireTimeout, e.config.MaxConns)}
	}
	return conn, e.explain(err)
}

// alone runs f, a single read-only statement, and runs it again where that can help.
func (e *database) alone(ctx context.Context, f func(*pgxpool.Conn) error) error {
	conn, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		err := f(conn)
		if err == nil || n == rounds || !isSerialization(err) {
			return e.explain(err)
		}
	}
}

// rounds is how often a statement is run when PostgreSQL reports a conflict, which may be a false
// one.
const rounds = 20

// end rolls back the SQL transaction on conn, if there is one, and releases conn, in the
// background.
func (e *database) end(conn *pgxpool.Conn) {
	pg := conn.Conn().PgConn()
	idle, tidy := pg.TxStatus() == 'I', isTidy(pg)
	if conn.Conn().IsClosed() || idle && tidy || pg.IsBusy() { // busy: a reader has not finished
		conn.Release() // closes a busy connection
		return
	}
	e.views.Go(func() { // the caller is counted, so it is not too late
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		if !idle {
			_, _ = conn.Exec(ctx, "ROLLBACK") // if that fails, the pool closes the connection, which is a rollback
		}
		if !tidy && pg.TxStatus() == 'I' && cleanUp(ctx, conn.Conn()) != nil {
			_ = conn.Conn().Close(ctx)
		}
		conn.Release()
	})
}

const endTimeout = 5 * time.Second

// conflict returns an error that names the key that differed. For a range that takes another query,
// on the same connection: if all commits waited for a second connection, none might get it.
func (e *database) conflict(ctx context.Context, conn *pgxpool.Conn, d differs, c *engine.Changes, s *seen) error {
	i := d.n - 1
	switch d.what {
	case badRead:
		return &storage.ConflictError{Bucket: c.Reads[i].Bucket, Key: []byte(c.Reads[i].Key)}
	case badTurn:
		return &storage.ConflictError{Bucket: c.Writes[i].Bucket, Key: []byte(c.Writes[i].Key)}
	}
	r := c.Ranges[i]
	return &storage.ConflictError{Bucket: r.Bucket, Key: []byte(e.changed(ctx, conn, r, s.bucket(r.Bucket)))}
}

// changed returns the first key in r that has changed since it was read, or the beginning of r if
// that is unknown.
func (e *database) changed(ctx context.Context, conn *pgxpool.Conn, r engine.ReadRange, b *seenBucket) string {
	text := qualify("SELECT key, version FROM " + e.statements.data + " WHERE bucket {=} $1 AND key {>=} $2")
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
