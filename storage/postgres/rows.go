package postgres

import (
	"bytes"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/transaction"
)

// The results of the app's SQL read from the connection. So each read is a use of the connection,
// which excludes other uses and is refused after the end, which closes open results.

// rows are pgx.Rows whose reads are uses of the connection.
type rows struct {
	pgx.Rows
	access *access
	failed error // why a read was refused
}

// use reports whether r may be read. If so, the caller calls access.release.
func (r *rows) use() bool {
	err := r.access.acquireForRead()
	if err == nil {
		return true
	}
	r.access.mu.Lock()
	defer r.access.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
	return false
}

// ended returns the error of the refused read, if any.
func (r *rows) ended() error {
	r.access.mu.Lock()
	defer r.access.mu.Unlock()
	return r.failed
}

func (r *rows) Close() {
	if r.use() {
		defer r.access.release()
		r.Rows.Close()
	}
}

func (r *rows) Err() error {
	if r.use() {
		defer r.access.release()
		return r.Rows.Err()
	}
	return r.ended()
}

func (r *rows) CommandTag() pgconn.CommandTag {
	if r.use() {
		defer r.access.release()
		return r.Rows.CommandTag()
	}
	return pgconn.CommandTag{}
}

func (r *rows) Next() bool {
	if r.use() {
		defer r.access.release()
		return r.Rows.Next()
	}
	return false
}

func (r *rows) Scan(dest ...any) error {
	if r.use() {
		defer r.access.release()
		return r.Rows.Scan(dest...)
	}
	return r.ended()
}

func (r *rows) Values() ([]any, error) {
	if r.use() {
		defer r.access.release()
		return r.Rows.Values()
	}
	return nil, r.ended()
}

// RawValues returns copies: the connection's own are overwritten when another goroutine ends the
// transaction.
func (r *rows) RawValues() [][]byte {
	if !r.use() {
		return nil
	}
	defer r.access.release()
	values := r.Rows.RawValues()
	own := make([][]byte, len(values))
	for i, value := range values {
		own[i] = bytes.Clone(value)
	}
	return own
}

// row is the pgx.Row of rows.
type row struct{ rows pgx.Rows }

func (r row) Scan(dest ...any) error {
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// results are pgx.BatchResults in which each read is a use of the connection.
type results struct {
	pgx.BatchResults
	access *access
}

func (r *results) Exec() (pgconn.CommandTag, error) {
	if err := r.access.acquireForRead(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer r.access.release()
	return r.BatchResults.Exec()
}

func (r *results) Query() (pgx.Rows, error) {
	if err := r.access.acquireForRead(); err != nil {
		return failed{err}, err
	}
	defer r.access.release()
	inner, err := r.BatchResults.Query()
	return &rows{Rows: inner, access: r.access}, err
}

func (r *results) QueryRow() pgx.Row {
	inner, err := r.Query()
	if err != nil {
		return failed{err}
	}
	return row{inner}
}

// Close calls the functions that the app has given with the batch.
func (r *results) Close() error {
	if err := r.access.acquireForRead(); err != nil {
		return err
	}
	r.access.beginCallbacks()
	defer r.access.release()
	return r.BatchResults.Close()
}

// acquireForRead is acquire for results, which may be read when a statement has ended the
// transaction.
func (a *access) acquireForRead() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acquireLocked()
}

// acquireLocked waits until no other goroutine uses the connection. The caller holds mu.
func (a *access) acquireLocked() error {
	for a.inUse && !a.inCallback && !a.over && !a.late {
		a.free.Wait()
	}
	switch {
	case a.over:
		return transaction.ErrEnded
	case a.late:
		return &tooLongError{a.limit}
	case a.inUse:
		return errBusy
	}
	a.inUse = true
	return nil
}

// beginCallbacks records that the current use of the connection calls functions of the app: these
// must not wait for the connection.
func (a *access) beginCallbacks() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inCallback = true
	a.free.Broadcast()
}

// opened records a function that closes the open results at the end of the transaction. It is
// called by the user of the connection.
func (a *access) opened(end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = end
}
