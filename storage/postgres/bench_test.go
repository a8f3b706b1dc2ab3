package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/internal/pgtest"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// What a session costs: one read, or one read and one write, in each of the designs that were thought through (see the package's
// documentation). Each client has a session of its own. The server waits for the disk, as one in production does.
func BenchmarkSession(b *testing.B) {
	server := pgtest.Start(b)
	for _, design := range []struct {
		name string
		make func(b *testing.B, uri string) (read, write func(ctx context.Context, key string) error)
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
				b.Run(fmt.Sprintf("design=%s/clients=%d/work=%s", design.name, clients, work), func(b *testing.B) {
					read, write := design.make(b, with(server.CreateDatabase(b), "pool_max_conns=20"))
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

// session is about what a small one comes to.
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

// bySQL is one SERIALIZABLE transaction from the beginning of the request to its end, written by hand.
func bySQL(b *testing.B, uri string) (read, write func(ctx context.Context, key string) error) {
	b.Helper()
	pool, err := pgxpool.New(b.Context(), uri)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), `CREATE TABLE sessions (key text PRIMARY KEY, value bytea NOT NULL)`); err != nil {
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
