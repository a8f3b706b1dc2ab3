package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// now returns the current time; SQL's now() would return the beginning of the SQL transaction.
const now = "SELECT pg_catalog.clock_timestamp()"

// Now returns the server's time. It does not count as a read, so the view needs no snapshot for it.
func (v *view) Now() (time.Time, error) {
	var t time.Time
	scan := func(rows pgx.Rows) (err error) {
		t, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
		return err
	}
	if v.closed || v.conn != nil {
		err := v.read(now, nil, scan)
		return t, err
	}
	err := v.engine.runStatement(v.ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(v.ctx, now)
		if err != nil {
			return err
		}
		return scan(rows)
	})
	return t, err
}
