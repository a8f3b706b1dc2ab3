package postgres

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// A page is the part of a range that is fetched in one round trip.
const (
	firstPage   = 128     // keys
	nextPage    = 1024    // keys
	pageBytes   = 8 << 20 // a page holds at most this, and one more value
	cachedBytes = 1 << 20
)

// A view is one transaction's view. Until its second read it holds no connection.
type view struct {
	engine   *database
	ctx      context.Context
	reads    readSet
	conn     *pgxpool.Conn // on which the view has an SQL transaction; nil: none
	sql      *appTx        // the app also uses that transaction; nil: it does not
	commitID string        // the id of the record of that transaction
	closed   bool

	savepoints int // of sql, so far

	pinFirst    bool  // the snapshot begins with the first read
	hasRead     bool  // the first read was made
	first       *page // the result of the first read, unless that is too large to be cached
	firstBucket string

	used      []engine.ReadRange // all that the first attempt has used; nil: v can't inherit
	mustAwait bool               // the first read inherits, or waits for the accepted commits
	inherited *request           // the accepted commit that v has read from; nil: none

	prepared string // the name of the prepared transaction; empty: none
}

// A page is what one read returned.
type page struct {
	items []storage.Item
	got   interval // the requested range, or as much of it as fitted
}

func (v *view) Get(bucket string, key []byte) ([]byte, error) {
	one := interval{string(key), after(string(key))}
	v.inherit(bucket, one)
	if v.cached(bucket, one) {
		if p := v.first.part(one, false); len(p.items) > 0 {
			return p.items[0].Value, nil
		}
		return nil, nil
	}
	var version int64
	var value []byte
	err := v.read(v.engine.statements.get, []any{[]byte(bucket), key}, func(rows pgx.Rows) error {
		version, value = 0, nil
		for rows.Next() {
			if err := rows.Scan(&version, &value); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	v.reads.bucket(bucket).versions.Set(one.from, version)
	p := &page{got: one}
	if value != nil {
		p.items = []storage.Item{{Key: key, Value: value}}
	}
	v.cacheFirst(bucket, p)
	return value, nil
}

// Watch fetches the version of a key, unless it is known.
func (v *view) Watch(bucket string, key []byte) error {
	if _, known := v.reads.bucket(bucket).version(string(key)); known {
		return nil
	}
	_, err := v.Get(bucket, key)
	return err
}

func (v *view) Range(bucket string, r storage.Range) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		rest := interval{string(r.From), string(r.To)}
		for limit := firstPage; ; limit = nextPage {
			p, err := v.page(bucket, rest, r.Reverse, limit)
			if err != nil {
				yield(storage.Item{}, err)
				return
			}
			for _, item := range p.items {
				if !yield(item, nil) {
					return
				}
			}
			switch {
			case p.got == rest:
				return
			case r.Reverse:
				rest.to = p.got.from
			default:
				rest.from = p.got.to
			}
		}
	}
}

// page returns the first part of a range, in its direction.
func (v *view) page(bucket string, r interval, reverse bool, limit int) (*page, error) {
	v.inherit(bucket, r)
	if v.cached(bucket, r) {
		return v.first.part(r, reverse), nil
	}
	if limit == firstPage {
		p, err := v.fetch(bucket, r, reverse, limit, &v.engine.statements.firsts)
		if err != nil || len(p.items) > 0 || p.got == r {
			return p, err
		}
		if v.conn == nil {
			v.hasRead = false // it returned nothing
		}
	}
	return v.fetch(bucket, r, reverse, limit, &v.engine.statements.scans)
}

// fetch queries a page, with one of texts. If the query returns null for a value, because that is
// too large, the page ends before it. If that is the first key, the page is empty and does not
// count as read.
func (v *view) fetch(bucket string, r interval, reverse bool, limit int,
	texts *[2][2]string,
) (*page, error) {
	text := texts[index(reverse)][index(r.to != "")]
	args := []any{[]byte(bucket), []byte(r.from), limit}
	if r.to != "" {
		args = append(args, []byte(r.to))
	}
	p := &page{got: r}
	var versions []int64
	err := v.read(text, args, func(rows pgx.Rows) error {
		p.items, versions, p.got = nil, nil, r
		size := 0
		for rows.Next() {
			var item storage.Item
			var version int64
			if err := rows.Scan(&item.Key, &version, &item.Value); err != nil {
				return err
			}
			if item.Value == nil { // too large
				if reverse {
					p.got.from = after(string(item.Key))
				} else {
					p.got.to = string(item.Key)
				}
				rows.Close() // for the last error, which may invalidate the reads
				return rows.Err()
			}
			p.items, versions = append(p.items, item), append(versions, version)
			size += len(item.Value)
		}
		if n := len(p.items); n == limit || size > pageBytes { // the range may have more
			last := string(p.items[n-1].Key)
			if reverse {
				p.got.from = last
			} else {
				p.got.to = after(last)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	if len(p.items) == 0 && p.got != r {
		return p, nil
	}
	b := v.reads.bucket(bucket)
	for i, item := range p.items {
		b.versions.Set(string(item.Key), versions[i])
	}
	b.covered = append(b.covered, p.got)
	v.cacheFirst(bucket, p)
	return p, nil
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// cacheFirst stores the result of the first read, so that reading it again, as sessions do, needs
// no round trip and no snapshot.
func (v *view) cacheFirst(bucket string, p *page) {
	if v.first != nil || v.sql != nil {
		return
	}
	size := 0
	for _, item := range p.items {
		size += len(item.Key) + len(item.Value)
	}
	if size <= cachedBytes {
		v.first, v.firstBucket = p.copy(p.items), bucket
	}
}

func (v *view) cached(bucket string, r interval) bool {
	return v.first != nil && v.firstBucket == bucket && v.first.got.holds(r)
}

// part returns copies of the items of p that lie in r.
func (p *page) part(r interval, reverse bool) *page {
	var items []storage.Item
	for _, item := range p.items {
		if r.contains(string(item.Key)) {
			items = append(items, item)
		}
	}
	part := (&page{got: r}).copy(items)
	slices.SortFunc(part.items, func(a, b storage.Item) int {
		if reverse {
			a, b = b, a
		}
		return bytes.Compare(a.Key, b.Key)
	})
	return part
}

// copy returns a page with copies of items.
func (p *page) copy(items []storage.Item) *page {
	c := &page{got: p.got, items: make([]storage.Item, len(items))}
	for i, item := range items {
		value := append(make([]byte, 0, len(item.Value)), item.Value...) // never nil
		c.items[i] = storage.Item{Key: bytes.Clone(item.Key), Value: value}
	}
	return c
}

// read sends a query and passes its rows to f, which may be called again if the query is repeated.
// The first read is a transaction of its own; the second begins one that stays open.
func (v *view) read(text string, args []any, f func(pgx.Rows) error) error {
	switch {
	case v.closed:
		return storage.ErrClosed
	case v.conn == nil && !v.pinFirst && !v.hasRead:
		v.hasRead = true
		return v.engine.runStatement(v.ctx, func(conn *pgxpool.Conn) error {
			rows, err := conn.Query(v.ctx, text, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			return f(rows)
		})
	case v.conn == nil:
		return v.beginSnapshot(text, args, f)
	}
	if v.sql != nil {
		if err := v.sql.acquireForRead(); err != nil {
			return err
		}
		defer v.sql.release()
	}
	if v.sharesAppSQL() {
		b := &pgx.Batch{}
		v.asOwnRole(b, true, func() { b.Queue(text, args...).Query(f) })
		return v.engine.explain(v.conn.SendBatch(v.ctx, b).Close())
	}
	rows, err := v.conn.Query(v.ctx, text, args...)
	if err == nil {
		err = f(rows)
		rows.Close()
	}
	if isSerialization(err) && v.sql == nil { // it may be a false conflict: compare the versions
		return v.beginSnapshot(text, args, f)
	}
	return v.engine.explain(err)
}

// beginSnapshot begins a snapshot with a query.
func (v *view) beginSnapshot(text string, args []any, f func(pgx.Rows) error) error {
	_, err := v.begin(pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(b *pgx.Batch) {
		b.Queue(text, args...).Query(f)
	})
	return err
}

// asOwnRole calls queue, which queues statements. They run as the role that opened the connection,
// whatever role the app has set in its SQL transaction. With any false, queue queues none.
func (v *view) asOwnRole(b *pgx.Batch, any bool, queue func()) {
	if !any || !v.sharesAppSQL() {
		queue()
		return
	}
	b.Queue(v.engine.statements.setOwnRole)
	queue()
	b.Queue(v.engine.statements.restoreAppRole)
}

// sharesAppSQL reports whether statements run in the app's SQL transaction, which may have set
// another role.
func (v *view) sharesAppSQL() bool { return v.sql != nil && !v.engine.separately }

// begin begins an SQL transaction, checks that everything read until now is unchanged, and runs the
// statements that queue adds, all in one round trip (and one more if a snapshot has to be ended
// first). A conflict that PostgreSQL reports may be false: as long as nothing that was read has
// changed, begin begins the transaction again.
func (v *view) begin(options pgx.TxOptions, queue func(*pgx.Batch)) (pgx.Tx, error) {
	v.hasRead = true
	v.awaitAccepted()
	if err := v.awaitInherited(); err != nil {
		return nil, err
	}
	before, err := newCommitParams(v.reads.all(), &v.reads, nil)
	if err != nil {
		return nil, err
	}
	conn, err := v.claimConn(v.ctx)
	if err != nil {
		return nil, err
	}
	options.IsoLevel, options.DeferrableMode = pgx.Serializable, pgx.NotDeferrable
	for n := 1; ; n++ {
		tx, bad, err := v.beginOnce(conn, options, before, queue)
		switch {
		case isSerialization(err) && n < maxRuns:
			continue
		case err != nil:
			v.engine.end(v.ctx, conn)
			return nil, v.engine.explain(err)
		case bad.what != 0:
			err = v.engine.conflict(v.ctx, conn, bad, before.changes, &v.reads)
			v.engine.end(v.ctx, conn) // its snapshot does not fit the earlier reads
			return nil, err
		}
		v.conn, v.inherited = conn, nil // the server has verified the earlier reads
		return tx, nil
	}
}

func (v *view) beginOnce(conn *pgxpool.Conn, options pgx.TxOptions, before *commitParams,
	queue func(*pgx.Batch),
) (_ pgx.Tx, bad mismatch, err error) {
	b := &pgx.Batch{}
	b.BeginTx(options)
	if before.parts != 0 {
		b.Queue(v.engine.statements.check(before.parts), before.all()...).Query(bad.scan)
	}
	queue(b)
	if conn.Conn().PgConn().TxStatus() != 'I' {
		if _, err := conn.Exec(v.ctx, "ROLLBACK"); err != nil {
			return nil, bad, err
		}
	}
	results := conn.SendBatch(v.ctx, b)
	err = results.Close()
	return results.Tx(), bad, err
}

// A mismatch is the result of a check.
type mismatch struct {
	what int   // badRead, badRange or badLock; 0: nothing differs
	n    int64 // the index, from 1
}

func (d *mismatch) scan(rows pgx.Rows) error {
	*d = mismatch{}
	for rows.Next() {
		if err := rows.Scan(&d.what, &d.n); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Close ends the view, and rolls back prepared work.
func (v *view) Close() { v.close(v.ctx) }

func (v *view) close(ctx context.Context) {
	if v.closed {
		return
	}
	v.closed = true
	v.release(ctx)
	if v.prepared != "" {
		v.engine.rollbackPrepared(ctx, v.prepared)
	}
	v.engine.release()
}

// release releases the connection. It does not wait for the end of the SQL transaction.
func (v *view) release(ctx context.Context) {
	if conn := v.conn; conn != nil {
		v.conn = nil
		_ = v.end(ctx, conn) // Abandon reports the error
	}
}

// end returns the connection to the pool. An appTx that the application kept returns ErrEnded from
// now on; objects that pgx made from it (large objects) do so once it is committed or rolled back,
// for which end waits. It returns an error if the app's own SQL has replaced the transaction by
// another one.
func (v *view) end(ctx context.Context, conn *pgxpool.Conn) (ended *endedError) {
	if sql := v.sql; sql != nil {
		v.sql = nil
		sql.shut()
		if pg := conn.Conn().PgConn(); pg.TxStatus() != 'I' && !pg.IsBusy() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			defer cancel()
			if !sql.released {
				if _, err := conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+origin); originMissing(err) {
					ended = sql.endReplaced()
				}
			}
			_ = sql.Tx.Rollback(ctx) // if that fails, the connection is closed
		}
	}
	v.engine.end(ctx, conn)
	return ended
}
