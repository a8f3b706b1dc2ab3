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

// unlimited are the settings of connections that wait for locks or hold them.
var unlimited = settings{
	"idle_session_timeout": "0",
	"lock_timeout":         "0",
	"statement_timeout":    "0",
	"transaction_timeout":  "0",
}

const settingsKey = "pasteline: settings"

// optional are settings that some servers lack.
var optional = []string{
	"enable_seqscan", "idle_session_timeout", "jit", "plan_cache_mode", "transaction_timeout",
}

// sessionKey is a setting that marks the session of a connection. A session without it is another
// one.
const sessionKey = "pasteline.session"

// text returns a query that sets all settings and has more columns. Its last column is the id of
// the server's process.
func (s settings) text(more ...string) string {
	columns := more
	for _, name := range slices.Sorted(maps.Keys(s)) {
		column := setConfig(name, literal(s[name]), false)
		if slices.Contains(optional, name) {
			column = "CASE WHEN pg_catalog.current_setting(" + literal(name) +
				", true) IS NOT NULL THEN " + column + " END"
		}
		columns = append(columns, column)
	}
	if _, given := s["synchronous_commit"]; !given {
		columns = append(columns, setConfig("synchronous_commit", durably, false))
	}
	if role, given := s["role"]; given { // last, because it may lack the right to set the others
		columns = append(columns, setConfig("role", literal(role), false))
	}
	return "SELECT " + strings.Join(append(columns, "pg_catalog.pg_backend_pid()"), ", ")
}

// durably is the level of synchronous_commit for durable commits: on, or a stronger one.
const durably = "CASE WHEN pg_catalog.current_setting('synchronous_commit')" +
	" OPERATOR(pg_catalog.=) 'remote_apply' THEN 'remote_apply' ELSE 'on' END"

// setConfig returns an expression that sets a parameter, for the transaction or the session.
func setConfig(name, value string, local bool) string {
	return "pg_catalog.set_config(" + literal(name) + ", " + value + ", " +
		strconv.FormatBool(local) + ")"
}

// literal returns an SQL string literal that does not depend on standard_conforming_strings.
func literal(text string) string {
	if strings.Contains(text, `\`) {
		return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// configure makes every new connection of config set the settings, and verify that it has a session
// of its own, with transactions that are serializable.
func (e *database) configure(config *pgconn.Config, s settings) {
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		ctx, cancel := context.WithTimeout(ctx, e.options.acquireTimeout)
		defer cancel()
		err := e.setUp(ctx, conn, s)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &transientError{fmt.Errorf("no answer to the first statement in %s: "+
				"if a connection pooler is between, it may have no connection left (pool_size): %w",
				e.options.acquireTimeout, err)}
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
	conn.CustomData()[settingsKey] = s // for cleanSession
	// This is another transaction, for which a pooler may use another session of the server.
	is, err := oneRow(ctx, conn,
		"SELECT pg_catalog.current_setting('transaction_isolation'), "+sessionNow)
	switch {
	case err != nil:
		return err
	case is[1] != session:
		return pooled(conn)
	case is[0] != "serializable":
		return errNotSerializable
	case row[len(row)-1] == strconv.FormatUint(uint64(conn.PID()), 10):
		return nil // no pooler is between
	}
	return e.poolers.inspect(ctx, e, conn, session)
}

const sessionNow = "coalesce(pg_catalog.current_setting('" + sessionKey + "', true), '')"

// oneRow runs statements, and returns the last row of their results.
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
var errNotSerializable error = &sessionError{"the transactions of the connection " +
	"are not serializable, though that was set: a connection pooler is between, " +
	"which uses another session of the server for each transaction " +
	"(PgBouncer in mode transaction or statement?): " +
	"set pool_mode = session, or connect to the server itself"}

// pooled returns the error of a connection that has no session of its own.
func pooled(conn *pgconn.PgConn) error {
	return &sessionError{fmt.Sprintf("%s is a connection pooler, "+
		"which uses another session of the server for each transaction "+
		"(PgBouncer in mode transaction or statement), "+
		"so that isolation level, time-outs and locks are lost: "+
		"set pool_mode = session there, or connect to the server itself", conn.Conn().RemoteAddr())}
}

// A sessionError reports a session that does not keep its settings. A retry would not help.
type sessionError struct{ text string }

func (e *sessionError) Error() string { return e.text }

// poolers are the connection poolers between this process and the server.
type poolers struct {
	mu    sync.Mutex       // guards the rest, and is held during an inspection
	known map[string]trust // by address
}

// trust says whether a pooler is known to leave a session to its client.
type trust int

const (
	unknown trust = iota
	suspect       // it did, but its mode may have changed
	trusted
)

// suspectAll makes the next connections inspect all poolers again.
func (p *poolers) suspectAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address := range p.known {
		p.known[address] = suspect
	}
}

// inspect finds out whether a pooler leaves conn its session, which has the name session, as long
// as conn is connected. Otherwise it returns an error.
func (p *poolers) inspect(ctx context.Context, e *database, conn *pgconn.PgConn,
	session string,
) error {
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
	_, proven := errors.AsType[*sessionError](err)
	if err != nil && (known == unknown || proven || conn.IsClosed()) {
		return err
	}
	if p.known == nil {
		p.known = map[string]trust{}
	}
	if err == nil {
		p.known[address.String()] = trusted
	}
	return nil // a pooler that was trusted, and has no connection to spare now, stays trusted
}

const (
	// inspections is the number of attempts to detect the mode of a pooler. Without other clients
	// the first one succeeds; other clients may use the session in between.
	inspections = 10
	// spareTimeout limits the wait for a second connection through the pooler.
	spareTimeout = 2 * time.Second
)

// inspect connects another client, which begins transactions. A pooler in the wrong mode gives it a
// session of the server for each, most likely the last one used, that of conn. While the client
// keeps it, conn gets another one.
func inspect(ctx context.Context, config *pgconn.Config, conn *pgconn.PgConn,
	session string,
) error {
	spare, cancel := context.WithTimeout(ctx, spareTimeout)
	defer cancel()
	other, err := pgconn.ConnectConfig(spare, config)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	for range inspections {
		theirs, err := oneRow(spare, other, "BEGIN; SELECT "+sessionNow)
		// protocol_violation: PgBouncer in mode statement refuses BEGIN
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "08P01" {
			return pooled(conn)
		}
		if err != nil {
			return &transientError{fmt.Errorf(
				"the connection pooler at %s has no second connection to the server: "+
					"its pool_size must be at least pool_max_conns and 9 more, "+
					"for each process: %w", conn.Conn().RemoteAddr(), err)}
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

// dirtyKey marks a connection on which the app's own SQL was run.
const dirtyKey = "pasteline: dirty"

func isClean(conn *pgconn.PgConn) bool { return conn.CustomData()[dirtyKey] == nil }

func markDirty(conn *pgconn.PgConn) { conn.CustomData()[dirtyKey] = true }

// resetSession resets the state of a session, as DISCARD ALL does, except for prepared statements,
// which pgx relies on.
const resetSession = "CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all();" +
	" SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; DISCARD TEMP; DISCARD SEQUENCES; "

// cleanSession restores the session of a connection to its state before the app's own SQL, except
// for the app's statements that pgx has prepared under names of its own choice.
func cleanSession(ctx context.Context, conn *pgx.Conn) error {
	pg := conn.PgConn()
	s, _ := pg.CustomData()[settingsKey].(settings)
	results, err := pg.Exec(ctx, resetSession+s.text()+
		"; SELECT name FROM pg_catalog.pg_prepared_statements"+
		" WHERE from_sql OR NOT pg_catalog.starts_with(name, 'stmtcache_')"+
		" AND NOT pg_catalog.starts_with(name, 'stmt_')").ReadAll()
	if err != nil {
		return err
	}
	for _, row := range results[len(results)-1].Rows {
		if err := conn.Deallocate(ctx, string(row[0])); err != nil {
			return err
		}
	}
	delete(pg.CustomData(), dirtyKey)
	return nil
}
