package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// settings are the run-time parameters of a session, by name. They are set by a statement after
// connecting: a pooler refuses, or drops, parameters of a start-up message that it does not know.
type settings map[string]string

// with returns a copy with others in it.
func (s settings) with(others settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, others)
	return all
}

// unlimited is for connections that wait for something else than an answer to their own work.
var unlimited = settings{
	"idle_session_timeout": "0",
	"lock_timeout":         "0",
	"statement_timeout":    "0",
	"transaction_timeout":  "0",
}

const settingsKey = "pasteline: settings"

// optional are the settings of ours that not every server has.
var optional = []string{"enable_seqscan", "idle_session_timeout", "plan_cache_mode", "transaction_timeout"}

// sessionKey is a setting that exists only because it is set: a session that does not have it is
// another one.
const sessionKey = "pasteline.session"

// text returns the query that sets all, and more; its last column is the id of the server's
// process.
func (s settings) text(more ...string) string {
	columns := more
	for _, name := range slices.Sorted(maps.Keys(s)) {
		column := setConfig(name, literal(s[name]), false)
		if slices.Contains(optional, name) {
			column = "CASE WHEN pg_catalog.current_setting(" + literal(name) + ", true) IS NOT NULL THEN " + column + " END"
		}
		columns = append(columns, column)
	}
	if _, given := s["synchronous_commit"]; !given {
		columns = append(columns, setConfig("synchronous_commit", durably, false))
	}
	if role, given := s["role"]; given { // last, as it may not have the right to the others
		columns = append(columns, setConfig("role", literal(role), false))
	}
	return "SELECT " + strings.Join(append(columns, "pg_catalog.pg_backend_pid()"), ", ")
}

// durably is the level of synchronous_commit of acknowledged commits: on, or a stronger one.
const durably = "CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'remote_apply'" +
	" THEN 'remote_apply' ELSE 'on' END"

// setConfig returns an expression that sets a parameter, for the transaction or the session.
func setConfig(name, value string, local bool) string {
	return "pg_catalog.set_config(" + literal(name) + ", " + value + ", " + strconv.FormatBool(local) + ")"
}

// literal writes a string that is the same whatever standard_conforming_strings is.
func literal(text string) string {
	if strings.Contains(text, `\`) {
		return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// configure makes every connection of config, once it is made, one with the settings, and looks
// whether it really is.
func (e *database) configure(config *pgconn.Config, s settings) {
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, e.options.acquireTimeout)
		defer cancel()
		err := e.setUp(ctx, conn, s)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &lackError{fmt.Errorf("no answer to the first statement in %s: if a connection pooler is between,"+
				" it may have no connection left (pool_size): %w", e.options.acquireTimeout, err)}
		}
		return err
	}
}

func (e *database) setUp(ctx context.Context, conn *pgconn.PgConn, s settings) error {
	session := rand.Text()
	row, err := oneRow(ctx, conn, s.text(setConfig(sessionKey, literal(session), false)))
	if err != nil {
		return err
	}
	conn.CustomData()[settingsKey] = s // to come back to
	// In a transaction of its own, which a pooler may give to another of the server's sessions.
	is, err := oneRow(ctx, conn, "SELECT pg_catalog.current_setting('transaction_isolation'), "+sessionNow)
	switch {
	case err != nil:
		return err
	case is[1] != session:
		return pooled(conn)
	case is[0] != "serializable":
		return errNotSerializable
	case row[len(row)-1] == strconv.FormatUint(uint64(conn.PID()), 10):
		return nil // nothing but a network is between
	}
	return e.poolers.inspect(ctx, e, conn, session)
}

const sessionNow = "coalesce(pg_catalog.current_setting('" + sessionKey + "', true), '')"

// oneRow returns the last row that a text of statements has as its result.
func oneRow(ctx context.Context, conn *pgconn.PgConn, text string) ([]string, error) {
	results, err := conn.Exec(ctx, text).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, result := range slices.Backward(results) {
		if n := len(result.Rows); n > 0 {
			row := make([]string, len(result.Rows[n-1]))
			for i, value := range result.Rows[n-1] {
				row[i] = string(value)
			}
			return row, nil
		}
	}
	return nil, errors.New("the server returned nothing")
}

// errNotSerializable is the error of a connection whose transactions are not serializable although
// that was set.
var errNotSerializable error = &sessionError{"the transactions of the connection are not serializable, though that was set: a connection pooler is between" +
	" which gives away the server's session after each transaction (PgBouncer in mode transaction or statement?):" +
	" set pool_mode = session, or connect to the server itself"}

// pooled returns the error of a connection that has no session of its own.
func pooled(conn *pgconn.PgConn) error {
	return &sessionError{fmt.Sprintf("%s is a connection pooler which gives away the server's session after each transaction"+
		" (PgBouncer in mode transaction or statement), and with it isolation level, time-outs and locks: set pool_mode = session there,"+
		" or connect to the server itself", conn.Conn().RemoteAddr())}
}

// A sessionError is that of a session which is not as it was set. Another attempt has no better
// one.
type sessionError struct{ text string }

func (e *sessionError) Error() string { return e.text }

// poolers are those that connections lead through.
type poolers struct {
	mu    sync.Mutex // guards the rest, and is held while one is inspected
	known map[string]knowledge
}

// knowledge says whether there is a pooler, as far as that is known.
type knowledge int

const (
	unknown knowledge = iota
	doubted           // it left the sessions to their clients, but may have been given another mode
	trusted
)

// doubt has all poolers inspected once more, with the next connection.
func (p *poolers) doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := range p.known {
		p.known[address] = doubted
	}
}

// inspect finds out whether a pooler leaves conn its session, which is named session, as long as it
// is connected, or gives it to another client between two transactions.
func (p *poolers) inspect(ctx context.Context, e *database, conn *pgconn.PgConn, session string) error {
	address := conn.Conn().RemoteAddr()
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.known[address.String()]
	if known == trusted {
		return nil
	}
	config := e.config.ConnConfig.Copy()
	config.AfterConnect = nil
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	}
	err := inspect(ctx, &config.Config, conn, session)
	if _, proven := errors.AsType[*sessionError](err); err != nil && (known == unknown || proven || conn.IsClosed()) {
		return err
	}
	if p.known == nil {
		p.known = map[string]knowledge{}
	}
	if err == nil {
		p.known[address.String()] = trusted
	}
	return nil // where a pooler was good, and has no connection to spare now, it counts as good
}

const (
	// inspections is how often a pooler is tried. Where nothing else uses it, the first shows its
	// mode; else other clients may have got in between.
	inspections = 10
	// spareTimeout is how long to wait for a pooler to spare another connection.
	spareTimeout = 2 * time.Second
)

// inspect connects another client. That begins transactions, for each of which a pooler gives it a
// session of the server's: if it can be that of conn, the one that was used last, most likely.
// The other client keeps it, so that conn is given another one then.
func inspect(ctx context.Context, config *pgconn.Config, conn *pgconn.PgConn, session string) error {
	spare, cancel := context.WithTimeout(ctx, spareTimeout)
	defer cancel()
	other, err := pgconn.ConnectConfig(spare, config)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	for range inspections {
		theirs, err := oneRow(spare, other, "BEGIN; SELECT "+sessionNow)
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "08P01" { // no transactions at all
			return pooled(conn)
		}
		if err != nil {
			return &lackError{fmt.Errorf("the connection pooler at %s has no second connection to the server: its pool_size"+
				" must be at least pool_max_conns and 9 more, for each process: %w", conn.Conn().RemoteAddr(), err)}
		}
		if theirs[0] != "" {
			return pooled(conn)
		}
		ours, err := oneRow(ctx, conn, "SELECT "+sessionNow)
		switch {
		case err != nil:
			return err
		case ours[0] != session:
			return pooled(conn)
		}
		if _, err := other.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			return err
		}
	}
	return nil
}

// untidyKey is kept with a connection on which the app's own SQL was run.
const untidyKey = "pasteline: untidy"

func isTidy(conn *pgconn.PgConn) bool { return conn.CustomData()[untidyKey] == nil }

func makeUntidy(conn *pgconn.PgConn) { conn.CustomData()[untidyKey] = true }

// forget ends what belongs to a session and not to a transaction, as DISCARD ALL does; but what pgx
// has prepared stays, which it counts on.
const forget = "CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL;" +
	" DISCARD TEMP; DISCARD SEQUENCES; "

// cleanUp restores the session of a connection to its state before the app's own SQL, except for
// the app's statements that pgx has prepared under names of its own choice.
func cleanUp(ctx context.Context, conn *pgx.Conn) error {
	pg := conn.PgConn()
	s, _ := pg.CustomData()[settingsKey].(settings)
	results, err := pg.Exec(ctx, forget+s.text()+qualify("; SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql"+
		" OR NOT pg_catalog.starts_with(name, 'stmtcache_') AND NOT pg_catalog.starts_with(name, 'stmt_')")).ReadAll()
	if err != nil {
		return err
	}
	for _, row := range results[len(results)-1].Rows {
		if err := conn.Deallocate(ctx, string(row[0])); err != nil {
			return err
		}
	}
	delete(pg.CustomData(), untidyKey)
	return nil
}
