package sites

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// poolSize is the number of connections of each of these sites, Pasteline included: one for each of
// 16 clients.
const poolSize = 16

// TableSessions is the number of sessions that the tables of the peers have from the start: on a
// table of a few rows PostgreSQL reports conflicts between unrelated transactions.
const TableSessions = 4000

func openPool(ctx context.Context, s Settings, site *Site) (*pgxpool.Pool, error) {
	if s.Postgres == "" {
		return nil, errors.New("no PostgreSQL database")
	}
	config, err := pgxpool.ParseConfig(s.Postgres)
	if err != nil {
		return nil, err
	}
	config.MaxConns = poolSize
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	site.onClose(func() error { pool.Close(); return nil })
	// The schema of scs's README, and the table of the hand-written sites.
	_, err = pool.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS sessions (
			token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL
		);
		CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry);
		CREATE TABLE IF NOT EXISTS counters (id TEXT PRIMARY KEY, n BIGINT NOT NULL)`)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `
		WITH row AS (SELECT 'another browser ' || i AS id FROM generate_series(1, $1::int) AS i),
		session AS (
			INSERT INTO sessions SELECT id, '\x00', now() + interval '1 day' FROM row
			ON CONFLICT DO NOTHING
		)
		INSERT INTO counters SELECT id, 1 FROM row ON CONFLICT DO NOTHING`, TableSessions)
	return pool, err
}

func openSCSPostgres(ctx context.Context, s Settings, site *Site) error {
	pool, err := openPool(ctx, s, site)
	if err != nil {
		return err
	}
	serveSCS(site, newSCS(pgxstore.NewWithCleanupInterval(pool, 0), false))
	return nil
}

func serializationFailure(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// serializable is the loop around a SERIALIZABLE transaction that its users write. It tries until
// the transaction commits or the browser has left: with 64 clients on one session, a limited number
// of tries would make it fast by giving up.
func serializable(
	ctx context.Context, pool *pgxpool.Pool, f func(context.Context, pgx.Tx) error,
) error {
	options := pgx.TxOptions{IsoLevel: pgx.Serializable}
	for {
		err := pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) error { return f(ctx, tx) })
		if !serializationFailure(err) || ctx.Err() != nil {
			return err
		}
	}
}

// sqlCounter counts in its own table, in transactions that run begins and commits.
type sqlCounter struct {
	run func(context.Context, func(context.Context, pgx.Tx) error) error
}

func (c sqlCounter) Read(r *http.Request) (n int, err error) {
	return n, c.run(r.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		n, err = selectCounter(ctx, tx, browserID(r))
		return err
	})
}

func (c sqlCounter) Incr(_ http.ResponseWriter, r *http.Request) (n int, err error) {
	return n, c.run(r.Context(), func(ctx context.Context, tx pgx.Tx) (err error) {
		if n, err = selectCounter(ctx, tx, browserID(r)); err != nil {
			return err
		}
		n++
		_, err = tx.Exec(ctx, `INSERT INTO counters (id, n) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n`, browserID(r), n)
		return err
	})
}

func selectCounter(ctx context.Context, tx pgx.Tx, id string) (n int, err error) {
	err = tx.QueryRow(ctx, "SELECT n FROM counters WHERE id = $1", id).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func openPgxSerializable(ctx context.Context, s Settings, site *Site) error {
	pool, err := openPool(ctx, s, site)
	if err != nil {
		return err
	}
	site.Handler = handWritten(sqlCounter{func(ctx context.Context,
		f func(context.Context, pgx.Tx) error) error {
		return serializable(ctx, pool, f)
	}})
	return nil
}

func openCockroachRetry(ctx context.Context, s Settings, site *Site) error {
	pool, err := openPool(ctx, s, site)
	if err != nil {
		return err
	}
	site.Handler = handWritten(sqlCounter{func(ctx context.Context,
		f func(context.Context, pgx.Tx) error) error {
		return crdbpgx.ExecuteTx(ctx, pool, pgx.TxOptions{IsoLevel: pgx.Serializable},
			func(tx pgx.Tx) error { return f(ctx, tx) })
	}})
	return nil
}

// openSCSPostgresTx has scs commit in the transaction of the request, as an app must whose session
// has to agree with its data: the work of Pasteline's pipeline, written by hand around scs.
func openSCSPostgresTx(ctx context.Context, s Settings, site *Site) error {
	pool, err := openPool(ctx, s, site)
	if err != nil {
		return err
	}
	sessions := newSCS(txStore{}, false)
	inner := sessions.LoadAndSave(routes(scsCounter{sessions}))
	site.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var held *heldResponse
		err := serializable(r.Context(), pool, func(ctx context.Context, tx pgx.Tx) error {
			held = &heldResponse{header: http.Header{}, body: new(bytes.Buffer)}
			failure := &txFailure{}
			ctx = context.WithValue(context.WithValue(ctx, txKey{}, tx), txFailureKey{}, failure)
			inner.ServeHTTP(held, r.WithContext(ctx))
			return failure.err
		})
		if err != nil {
			http.Error(w, http.StatusText(http.StatusServiceUnavailable),
				http.StatusServiceUnavailable)
			return
		}
		held.release(w)
	})
	// scs answers an error of its store itself; the transaction must learn of it, too.
	sessions.ErrorFunc = func(_ http.ResponseWriter, r *http.Request, err error) {
		if failure, ok := r.Context().Value(txFailureKey{}).(*txFailure); ok {
			failure.err = err
		}
	}
	return nil
}

type (
	txKey        struct{}
	txFailureKey struct{}
	txFailure    struct{ err error }
)

// txStore is an scs.CtxStore with the statements of scs's pgxstore, run in the transaction of the
// context.
type txStore struct{}

var _ scs.CtxStore = txStore{}

var errNoTransaction = errors.New("no transaction in this context")

func txOf(ctx context.Context) (pgx.Tx, error) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	if !ok {
		return nil, errNoTransaction
	}
	return tx, nil
}

func (txStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	tx, err := txOf(ctx)
	if err != nil {
		return nil, false, err
	}
	err = tx.QueryRow(ctx, "SELECT data FROM sessions WHERE token = $1 AND current_timestamp < "+
		"expiry", token).Scan(&data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return data, err == nil, err
}

func (txStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	tx, err := txOf(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sessions (token, data, expiry) VALUES ($1, $2, $3)
		ON CONFLICT (token) DO UPDATE SET data = EXCLUDED.data, expiry = EXCLUDED.expiry`,
		token, data, expiry)
	return err
}

func (txStore) DeleteCtx(ctx context.Context, token string) error {
	tx, err := txOf(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM sessions WHERE token = $1", token)
	return err
}

func (txStore) Find(string) ([]byte, bool, error)      { return nil, false, errNoTransaction }
func (txStore) Commit(string, []byte, time.Time) error { return errNoTransaction }
func (txStore) Delete(string) error                    { return errNoTransaction }
