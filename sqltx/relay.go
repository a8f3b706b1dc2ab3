package sqltx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// A relay is a driver's connection that passes on what is given to it. There is no other way to see all errors of an
// [sql.Stmt], an [sql.Row] or [sql.Rows]: they are structs of database/sql, whose errors may come late, and be ignored.
type relay struct {
	rows driver.Rows // the answer to every query
	stmt driver.Stmt // what everything is prepared as
	err  error       // of Connect
}

// open returns the only connection. Nothing is left of it as soon as what was made of it is closed, or collected.
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

// relayedRow returns a row whose Scan gives what r has first, or returns err.
func relayedRow(ctx context.Context, r driver.Rows, err error) *sql.Row {
	db := sql.OpenDB(relay{rows: r, err: err})
	defer func() { _ = db.Close() }() // leaves the row open
	return db.QueryRowContext(context.WithoutCancel(ctx), "")
}

// relayedRows returns rows that are r's.
func relayedRows(ctx context.Context, r driver.Rows) (*sql.Rows, error) {
	db := sql.OpenDB(relay{rows: r})
	defer func() { _ = db.Close() }() // leaves the rows open
	return db.QueryContext(context.WithoutCancel(ctx), "")
}

// relayedStmt returns a statement that is s.
func relayedStmt(ctx context.Context, s driver.Stmt) (*sql.Stmt, error) {
	ctx = context.WithoutCancel(ctx)
	conn, err := relay{stmt: s}.open(ctx)
	if err != nil {
		return nil, err
	}
	return conn.PrepareContext(ctx, "")
}

// firstRow is a row that was read already, if there was one.
type firstRow struct {
	columns []string
	values  []any
}

// readFirst reads the first of rows and closes them, so that every error is seen and the connection is free.
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
		if first.values, err = scan(rows, len(first.columns)); err != nil {
			return nil, err
		}
	}
	return first, rows.Err()
}

// scan reads a row as the driver gave it.
func scan(rows *sql.Rows, n int) ([]any, error) {
	values, places := make([]any, n), make([]any, n)
	for i := range values {
		places[i] = &values[i]
	}
	return values, rows.Scan(places...)
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

func (s relayStmt) Close() error                               { return s.real.Close() }
func (s relayStmt) NumInput() int                              { return -1 } // the database's own driver counts
func (s relayStmt) CheckNamedValue(*driver.NamedValue) error   { return nil }
func (s relayStmt) Exec([]driver.Value) (driver.Result, error) { return nil, errors.ErrUnsupported }
func (s relayStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, errors.ErrUnsupported }

func (s relayStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return run(ctx, s.tx, s.query, func() (sql.Result, error) { return s.real.ExecContext(ctx, plain(args)...) })
}

func (s relayStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := s.tx.queryRows(ctx, s.query, func() (*sql.Rows, error) { return s.real.QueryContext(ctx, plain(args)...) })
	if err != nil {
		return nil, err
	}
	return s.tx.relayRows(rows)
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

// relayRows passes on rows, and tells their Tx of errors.
type relayRows struct {
	tx      *Tx
	rows    *sql.Rows
	columns []string
	types   []*sql.ColumnType
	more    bool // rows has gone on to the next result set
}

func (tx *Tx) relayRows(rows *sql.Rows) (*relayRows, error) {
	columns, err := rows.Columns()
	if err != nil {
		_ = rows.Close()
		return nil, err
	}
	return &relayRows{tx: tx, rows: rows, columns: columns}, nil
}

func (r *relayRows) Columns() []string { return r.columns }

func (r *relayRows) Close() error { return r.tx.sawError(r.rows.Close()) }

func (r *relayRows) Next(dest []driver.Value) error {
	if r.more || !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return r.tx.sawError(err)
		}
		r.more = r.more || r.rows.NextResultSet()
		return io.EOF
	}
	values, err := scan(r.rows, len(r.columns))
	for i, v := range values {
		dest[i] = v
	}
	return err
}

// HasNextResultSet is asked after Next has returned io.EOF.
func (r *relayRows) HasNextResultSet() bool { return r.more }

func (r *relayRows) NextResultSet() (err error) {
	if !r.more && !r.rows.NextResultSet() {
		if err := r.rows.Err(); err != nil {
			return r.tx.sawError(err)
		}
		return io.EOF
	}
	r.more, r.types = false, nil
	r.columns, err = r.rows.Columns()
	return err
}

// column returns the type of a column, or the zero one if it is not known any more.
func (r *relayRows) column(i int) *sql.ColumnType {
	if r.types == nil && !r.more {
		r.types, _ = r.rows.ColumnTypes()
	}
	if i < len(r.types) {
		return r.types[i]
	}
	return &sql.ColumnType{}
}

func (r *relayRows) ColumnTypeDatabaseTypeName(i int) string { return r.column(i).DatabaseTypeName() }

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
