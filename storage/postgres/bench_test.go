package postgres_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// BenchmarkSession measures a read, or a read and a write, of a session, with each of the designs
// that were considered (see the package documentation). Each client has its own session. The server
// waits for the disk, as in production.
func BenchmarkSession(b *testing.B) {
	server := pgtest.Start(b)
	for _, design := range []struct {
		name string
		make func(b *testing.B, uri string) (read, write func(ctx context.Context,
			key string) error)
	}{
		{"lazy", func(b *testing.B, uri string) (read, write func(context.Context, string) error) {
			b.Helper()
			return buckets(b, uri)
		}},
		{"first", func(b *testing.B, uri string) (read, write func(context.Context, string) error) {
			b.Helper()
			return buckets(b, with(uri, "snapshot=first"))
		}},
		{"sql", bySQL},
	} {
		for _, clients := range []int{1, 16} {
			for _, work := range []string{"read", "write"} {
				b.Run(fmt.Sprintf("design=%s/clients=%d/work=%s", design.name, clients, work),
					func(b *testing.B) {
						read, write := design.make(b, with(server.CreateDatabase(b),
							"pool_max_conns=20"))
						f := read
						if work == "write" {
							f = write
						}
						for client := range clients {
							if err := write(b.Context(), strconv.Itoa(client)); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportAllocs()
						b.ResetTimer()
						var left atomic.Int64
						left.Store(int64(b.N))
						var crowd sync.WaitGroup
						for client := range clients {
							crowd.Go(func() {
								for key := strconv.Itoa(client); left.Add(-1) >= 0; {
									if err := f(b.Context(), key); err != nil {
										b.Error(err)
										return
									}
								}
							})
						}
						crowd.Wait()
					})
			}
		}
	}
}

// BenchmarkFillFactor measures the effect of room on the pages of the table, with clients that
// change their own keys at random: how many updates stay on their page, and how many commits are
// reported as conflicts though they share no key. The table is full at first, as after a restore.
func BenchmarkFillFactor(b *testing.B) {
	for _, work := range []string{"bucket", "sql"} {
		for _, size := range []int{300, 1000} {
			for _, fill := range [][2]int{{100, 100}, {100, 80}, {90, 90}, {80, 80}, {70, 70}} {
				name := fmt.Sprintf("work=%s/value=%d/filled=%d/fillfactor=%d", work, size,
					fill[0], fill[1])
				b.Run(name, func(b *testing.B) { updateAtRandom(b, work == "sql", size, fill) })
			}
		}
	}
}

// updateAtRandom fills the table with the fill factor fill[0], and sets fill[1] then.
func updateAtRandom(b *testing.B, sql bool, size int, fill [2]int) {
	b.Helper()
	const clients, keys = 16, 4000
	server := pgtest.Start(b)
	uri := server.CreateDatabase(b)
	db := openDB(b, with(uri, "pool_max_conns=20"))
	conn := connect(b, uri)
	const set = `ALTER TABLE pasteline_data SET (fillfactor = %d)`
	exec(b, conn, fmt.Sprintf(set, fill[0]))
	run(b, func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		for key := 0; err == nil && key < keys; key++ {
			err = tx.Bucket("sessions").Put(sessionKey(key), make([]byte, size))
		}
		return err
	})
	exec(b, conn, `VACUUM ANALYZE pasteline_data`, fmt.Sprintf(set, fill[1]))
	const bytes = `SELECT pg_relation_size('pasteline_data') / 1048576.0::float8`
	full := ask[float64](b, conn, bytes)
	change := func(ctx context.Context, key []byte) error {
		tx, err := db.Tx(ctx)
		if err == nil && sql {
			_, err = postgres.Tx(ctx, db)
		}
		if err != nil {
			return err
		}
		bucket := tx.Bucket("sessions")
		value, err := bucket.Get(key)
		if err != nil {
			return err
		}
		return bucket.Put(key, value)
	}
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var crowd sync.WaitGroup
	for client := range clients {
		crowd.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(client)))
			for left.Add(-1) >= 0 {
				key := sessionKey(random.IntN(keys/clients)*clients + client)
				if err := transaction.Run(b.Context(),
					func(ctx context.Context) error { return change(ctx, key) },
					transaction.Policy{Tries: 100}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	crowd.Wait()
	b.StopTimer()
	if err := db.Close(); err != nil { // with which the server's processes report what they did
		b.Fatal(err)
	}
	until(b, conn, `SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()`)
	b.ReportMetric(ask[float64](b, conn, `SELECT coalesce(100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)::float8
		FROM pg_stat_user_tables WHERE relname = 'pasteline_data'`), "%hot")
	b.ReportMetric(1000*float64(strings.Count(server.Log(),
		"could not serialize access"))/float64(b.N), "40001/1000op")
	b.ReportMetric(full, "MiB-full")
	b.ReportMetric(ask[float64](b, conn, bytes), "MiB-then")
}

// sessionKey returns a random key, as sessions have: keys that are close together were not created
// one after the other.
func sessionKey(n int) []byte {
	sum := sha256.Sum256(strconv.AppendInt(nil, int64(n), 10))
	return hex.AppendEncode(nil, sum[:16])
}

// session is a value of the size of a small session.
var session = make([]byte, 300)

func buckets(b *testing.B, uri string) (read, write func(ctx context.Context, key string) error) {
	b.Helper()
	db := openDB(b, uri)
	b.Cleanup(func() { _ = db.Close() })
	get := func(ctx context.Context, key string) (storage.Bucket, error) {
		tx, err := db.Tx(ctx)
		if err != nil {
			return storage.Bucket{}, err
		}
		bucket := tx.Bucket("sessions")
		_, err = bucket.Get([]byte(key))
		return bucket, err
	}
	read = func(ctx context.Context, key string) error {
		return transaction.Run(ctx, func(ctx context.Context) error {
			_, err := get(ctx, key)
			return err
		})
	}
	write = func(ctx context.Context, key string) error {
		return transaction.Run(ctx, func(ctx context.Context) error {
			bucket, err := get(ctx, key)
			if err != nil {
				return err
			}
			return bucket.Put([]byte(key), session)
		})
	}
	return read, write
}

// bySQL is one SERIALIZABLE transaction from the beginning of the request to its end, in plain SQL.
func bySQL(b *testing.B, uri string) (read, write func(ctx context.Context, key string) error) {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), uri)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(),
		`CREATE TABLE sessions (key text PRIMARY KEY, value bytea NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	run := func(ctx context.Context, f func(tx pgx.Tx) error) error {
		for {
			err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, f)
			if e, ok := errors.AsType[*pgconn.PgError](err); !ok || e.Code != "40001" {
				return err
			}
		}
	}
	get := func(ctx context.Context, tx pgx.Tx, key string) error {
		var value []byte
		err := tx.QueryRow(ctx, `SELECT value FROM sessions WHERE key = $1`, key).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = tx.Exec(ctx, `INSERT INTO sessions VALUES ($1, '')`, key)
		}
		return err
	}
	read = func(ctx context.Context, key string) error {
		return run(ctx, func(tx pgx.Tx) error { return get(ctx, tx, key) })
	}
	write = func(ctx context.Context, key string) error {
		return run(ctx, func(tx pgx.Tx) error {
			if err := get(ctx, tx, key); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE sessions SET value = $2 WHERE key = $1`, key, session)
			return err
		})
	}
	return read, write
}
