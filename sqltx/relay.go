package sqltx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// A relay is a driver's connection that passes on prepared results. There is no other way to see
// all errors of an [sql.Stmt], an [sql.Row] or [sql.Rows]: they are structs of database/sql, whose
// errors may come late, and may be ignored.
type relay struct {
	rows driver.Rows // the answer to every query
	stmt driver.Stmt // the result of every Prepare
	err  error       // of Connect
}

// open returns the only connection. It is released as soon as the objects made from it are closed,
// or collected.
func (r relay) open(ctx context.Context) (*sql.Conn, error) {
	db := sql.OpenDB(r)
	defer func() { _ = db.Close() }() // leaves the connection open
	return db.Conn(ctx)
}

func (r relay) Connect(context.Context) (driver.Conn, error) { return r, r.err }
func (r relay) Driver() driver.Driver                        { return nil }
func (r relay) Close() error                                 { return nil }
func (r relay) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (r relay) Prepare(string) (driver.Stmt, error)          { return r.stmt, nil }

func (r relay) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return r.rows, nil
}

// relayedRow returns a row whose Scan returns the first row of r, or err.
func relayedRow(ctx context.Context, r driver.Rows, err error) *sql.Row {
	db := sql.OpenDB(relay{rows: r, err: err})
	defer func() { _ = db.Close() }() // leaves the row open
	return db.QueryRowContext(context.WithoutCancel(ctx), "")
}

// relayedRows returns r as [sql.Rows].
func relayedRows(ctx context.Context, r driver.Rows) (*sql.Rows, error) {
	db := sql.OpenDB(relay{rows: r})
	defer func() { _ = db.Close() }() // leaves the rows open
	return db.QueryContext(context.WithoutCancel(ctx), "")
}

// relayedStmt returns s as an [sql.Stmt].
func relayedStmt(ctx context.Context, s driver.Stmt) (*sql.Stmt, error) {
	ctx = context.WithoutCancel(ctx)
	conn, err := relay{stmt: s}.open(ctx)
	if err != nil {
		return nil, err
	}
	return conn.PrepareContext(ctx, "")
}

// firstRow is the first row of a result, if there was one.
type firstRow struct {
	columns []string
	values  []any
}

// readFirst reads the first of rows and closes them, so that every error is noticed and the
// connection is free.
func readFirst(rows *sql.Rows) (first *firstRow, err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	first = &firstRow{}
	if first.columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	if rows.Next() {
		r := newRow(len(first.columns))
		if err = rows.Scan(r.places...); err != nil {
			return nil, err
		}
		first.values = r.values
	}
	return first, rows.Err()
}

// A row is room for one, as the driver gives it.
type row struct{ values, places []any }

func newRow(n int) row {
	r := row{make([]any, n), make([]any, n)}
	for i := range r.values {
		r.places[i] = &r.values[i]
	}
	return r
}

func (r *firstRow) Columns() []string { return r.columns }
func (r *firstRow) Close() error      { return nil }

func (r *firstRow) Next(dest []driver.Value) error {
	if r.values == nil {
		return io.EOF
	}
	for i, v := range r.values {
		dest[i] = v
	}
	r.values = nil
	return nil
}

// A relayStmt passes on a prepared statement.
type relayStmt struct {
	tx    *Tx
	query string
	real  *sql.Stmt
}

// the database's own driver counts
func (s relayStmt) NumInput() int                              { return -1 }
func (s relayStmt) CheckNamedValue(*driver.NamedValue) error   { return nil }
func (s relayStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errors.ErrUnsupported }
func (s relayStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errors.ErrUnsupported }

// Close leaves closing the statement to the end of the transaction if the connection is busy.
func (s relayStmt) Close() error {
	s.tx.mu.Lock()
	defer s.tx.mu.Unlock()
	if s.tx.busy() {
		return nil
	}
	return s.real.Close()
}

func (s relayStmt) ExecContext(ctx context.Context,
	args []driver.NamedValue,
) (driver.Result, error) {
	return run(ctx, s.tx, s.query, func() (sql.Result,
		error,
	) {
		return s.real.ExecContext(ctx, plain(args)...)
	})
}

func (s relayStmt) QueryContext(ctx context.Context,
	args []driver.NamedValue,
) (driver.Rows, error) {
	return s.tx.queryRows(ctx, s.query,
		func() (*sql.Rows, error) { return s.real.QueryContext(ctx, plain(args)...) })
}

func plain(args []driver.NamedValue) []any {
	list := make([]any, len(args))
	for i, arg := range args {
		list[i] = arg.Value
		if arg.Name != "" {
			list[i] = sql.Named(arg.Name, arg.Value)
		}
	}
	return list
}

// relayRows passes on rows, and reports errors to their Tx. All uses of rows hold the mutex of tx:
// so the end of the transaction never closes them during a Next, and a later Next is refused rather
// than taken for the end of the rows.
type relayRows struct {
	tx      *Tx
	rows    *sql.Rows
	columns []string
	types   []*sql.ColumnType
	row     row
	more    bool // rows has gone on to the next result set
	cut     bool // rows was closed before its end, and not by the app
}

// relayRows returns what passes on rows. The caller holds mu.
func (tx *Tx) relayRows(rows *sql.Rows) (*relayRows, error) {
	columns, err := rows.Columns()
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	return &relayRows{tx: tx, rows: rows, columns: columns, row: newRow(len(columns))}, nil
}

func (r *relayRows) Columns() []string { return r.columns }

func (r *relayRows) Close() error {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	return r.tx.sawError(r.rows.Close())
}

func (r *relayRows) Next(dest []driver.Value) error {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if err := r.errCut(); err != nil {
		return err
	}
	if r.more || !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return r.tx.sawError(err)
		}
		r.more = r.more || r.rows.NextResultSet()
		return io.EOF
	}
	err := r.rows.Scan(r.row.places...)
	for i, v := range r.row.values {
		dest[i] = v
	}
	return err
}

// errCut returns the reason why there are no further rows, if they were not read to their end.
func (r *relayRows) errCut() error {
	if err := r.tx.errEnded(); err != nil {
		return err
	}
	if r.cut {
		return r.tx.db.named(errCut)
	}
	return nil
}

var errCut = errors.New("the rows were closed by the rollback to a savepoint")

// open reports whether rows may have more rows, or an error.
func (r *relayRows) open() bool {
	_, err := r.rows.Columns()
	return err == nil || r.rows.Err() != nil
}

// HasNextResultSet is called after Next has returned io.EOF.
func (r *relayRows) HasNextResultSet() bool { return r.more }

func (r *relayRows) NextResultSet() (err error) {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if err := r.errCut(); err != nil {
		return err
	}
	if !r.more && !r.rows.NextResultSet() {
		if err := r.rows.Err(); err != nil {
			return r.tx.sawError(err)
		}
		return io.EOF
	}
	r.more, r.types = false, nil
	r.columns, err = r.rows.Columns()
	r.row = newRow(len(r.columns))
	return err
}

// column returns the type of a column, or the zero one if it is not known any more.
func (r *relayRows) column(i int) *sql.ColumnType {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	if r.types == nil && !r.more {
		r.types, _ = r.rows.ColumnTypes()
	}
	if i < len(r.types) {
		return r.types[i]
	}
	return &sql.ColumnType{}
}

func (r *relayRows) ColumnTypeDatabaseTypeName(i int) string {
	return r.column(i).DatabaseTypeName()
}

func (r *relayRows) ColumnTypeScanType(i int) reflect.Type {
	if t := r.column(i).ScanType(); t != nil {
		return t
	}
	return reflect.TypeFor[any]()
}

func (r *relayRows) ColumnTypeLength(i int) (length int64, ok bool) { return r.column(i).Length() }

func (r *relayRows) ColumnTypeNullable(i int) (nullable, ok bool) { return r.column(i).Nullable() }

func (r *relayRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	return r.column(i).DecimalSize()
}
