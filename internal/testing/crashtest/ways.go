package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/pasteline/pasteline/sqltx"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/postgres"
)

// A way writes to a database, in the transaction of the context.
type way interface {
	add(ctx context.Context, account string, amount int64) error
	record(ctx context.Context, id string, amount int64) error // returns an error if the id exists
	read(ctx context.Context, s *state) error                  // adds the contents to s
}

// A side is one of the two databases.
type side struct {
	ways  []way // one or two
	close func() error
}

// way returns the second way if there is one and n is not 0.
func (s *side) way(n int) way {
	if n != 0 {
		return s.ways[len(s.ways)-1]
	}
	return s.ways[0]
}

type databases struct{ opener *storage.Opener }

func newDatabases() *databases {
	d := &databases{storage.NewOpener()}
	bolt.Register(d.opener)
	postgres.Register(d.opener)
	return d
}

func (d *databases) open(ctx context.Context, uri string) (*side, error) {
	if source, ok := strings.CutPrefix(uri, "sqlite:"); ok {
		return d.openSQLite(ctx, source)
	}
	db, err := d.opener.Open(ctx, uri)
	if err != nil {
		return nil, err
	}
	s := &side{[]way{buckets{db}}, db.Close}
	if strings.HasPrefix(uri, "postgres:") {
		s.ways = append(s.ways, ownSQL{db})
	}
	return s, nil
}

func (d *databases) openSQLite(ctx context.Context, source string) (*side, error) {
	pool, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	db, err := sqltx.New(ctx, pool, sqltx.Options{Name: "sqlite"})
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	leave := d.opener.Recovery().Add(db)
	return &side{[]way{driverSQL{db}}, func() error { //nolint:contextcheck // the end of all
		leave()
		return errors.Join(db.Close(), pool.Close())
	}}, nil
}

// buckets writes with package storage.
type buckets struct{ db *storage.DB }

func (b buckets) bucket(ctx context.Context, name string) (storage.Bucket, error) {
	tx, err := b.db.Tx(ctx)
	if err != nil {
		return storage.Bucket{}, err
	}
	return tx.Bucket(name), nil
}

func (b buckets) add(ctx context.Context, account string, amount int64) error {
	accounts, err := b.bucket(ctx, "accounts")
	if err != nil {
		return err
	}
	text, err := accounts.Get([]byte(account))
	if err != nil {
		return err
	}
	balance, err := strconv.ParseInt(cmp.Or(string(text), "0"), 10, 64)
	if err != nil {
		return err
	}
	return accounts.Put([]byte(account), strconv.AppendInt(nil, balance+amount, 10))
}

func (b buckets) record(ctx context.Context, id string, amount int64) error {
	transfers, err := b.bucket(ctx, "transfers")
	if err != nil {
		return err
	}
	switch old, err := transfers.Get([]byte(id)); {
	case err != nil:
		return err
	case old != nil:
		return fmt.Errorf("transfer %s has been made already", id)
	}
	return transfers.Put([]byte(id), strconv.AppendInt(nil, amount, 10))
}

func (b buckets) read(ctx context.Context, s *state) error {
	err := b.all(ctx, "accounts", func(_ string, n int64) { s.Balance += n })
	return errors.Join(err,
		b.all(ctx, "transfers", func(id string, n int64) { s.Transfers[id] += n }))
}

func (b buckets) all(ctx context.Context, name string, f func(key string, n int64)) error {
	bucket, err := b.bucket(ctx, name)
	if err != nil {
		return err
	}
	for item, err := range bucket.Range(storage.Range{}) {
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(item.Value), 10, 64)
		if err != nil {
			return err
		}
		f(string(item.Key), n)
	}
	return nil
}

// The statements for PostgreSQL and SQLite.
const (
	addSQL = `INSERT INTO accounts (id, balance) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET ` +
		`balance = accounts.balance + excluded.balance`
	noteSQL = `INSERT INTO transfers (id, amount) VALUES ($1, $2)`
	readSQL = `SELECT 'balance', coalesce(sum(balance), 0) FROM accounts UNION ALL SELECT id, ` +
		`amount FROM transfers`
)

// rows has the common methods of pgx.Rows and sql.Rows.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

func (s *state) addRows(rows rows) error {
	for rows.Next() {
		var id string
		var n int64
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		if id == "balance" {
			s.Balance += n
		} else {
			s.Transfers[id] += n
		}
	}
	return rows.Err()
}

// ownSQL writes with the app's own SQL, in the SQL transaction of the buckets.
type ownSQL struct{ db *storage.DB }

func (o ownSQL) exec(ctx context.Context, sql string, args ...any) error {
	tx, err := postgres.Tx(ctx, o.db)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, sql, args...)
	return err
}

func (o ownSQL) add(ctx context.Context, account string, amount int64) error {
	return o.exec(ctx, addSQL, account, amount)
}

func (o ownSQL) record(ctx context.Context, id string, amount int64) error {
	return o.exec(ctx, noteSQL, id, amount)
}

func (o ownSQL) read(ctx context.Context, s *state) error {
	tx, err := postgres.Tx(ctx, o.db)
	if err != nil {
		return err
	}
	rows, err := tx.Query(ctx, readSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	return s.addRows(rows)
}

// driverSQL writes with a driver of database/sql.
type driverSQL struct{ db *sqltx.DB }

func (d driverSQL) exec(ctx context.Context, sql string, args ...any) error {
	tx, err := d.db.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, sql, args...)
	return err
}

func (d driverSQL) add(ctx context.Context, account string, amount int64) error {
	return d.exec(ctx, addSQL, account, amount)
}

func (d driverSQL) record(ctx context.Context, id string, amount int64) error {
	return d.exec(ctx, noteSQL, id, amount)
}

func (d driverSQL) read(ctx context.Context, s *state) error {
	tx, err := d.db.Tx(ctx)
	if err != nil {
		return err
	}
	rows, err := tx.QueryContext(ctx, readSQL)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err returns the error
	return s.addRows(rows)
}
