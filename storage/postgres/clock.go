package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// now is not the beginning of the SQL transaction, as now() is.
const now = "SELECT pg_catalog.clock_timestamp()"

// Now asks the server. It counts as no read: the view needs no snapshot for it.
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
	err := v.engine.alone(v.ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(v.ctx, now)
		if err != nil {
			return err
		}
		return scan(rows)
	})
	return t, err
}
