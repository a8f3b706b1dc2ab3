package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

// CanPrepare reports whether the server and the URI allow it.
func (e *database) CanPrepare() bool { return e.canPrepare }

// WhyNotPrepare returns the reason why the server can't prepare.
func (e *database) WhyNotPrepare() error {
	switch {
	case e.canPrepare || e.options.noTwoPhase:
		return nil
	case e.separately:
		return errors.New("this server has no PREPARE TRANSACTION: " +
			"write ?two_phase=off if no request writes to both")
	}
	return errors.New("the server has max_prepared_transactions = 0: " +
		"set it to max_connections or more and restart the server, " +
		"or write ?two_phase=off if no request writes to both")
}

// Prepare does everything of the commit except COMMIT.
func (v *view) Prepare(ctx context.Context, t resource.Txn, c *engine.Changes) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	owner, err := v.engine.owner.name(ctx)
	if err != nil {
		return v.engine.explain(fmt.Errorf("preparing: %w", err))
	}
	if err := v.shutSQL(ctx); err != nil {
		return err
	}
	if err := v.awaitInherited(); err != nil {
		return err
	}
	w, err := v.commitParams(c)
	if err != nil {
		return err
	}
	conn, err := v.claimConn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if ended := v.end(ctx, conn); ended != nil {
			err = ended
		}
	}()
	if err := v.stage(ctx, conn, w); err != nil {
		return err
	}
	v.prepared = gid{v.engine.options.program, v.engine.id, t.ID(), owner, t.Recorder()}.String()
	v.engine.owner.begin(v.prepared)
	failpoint.Here("postgres: staged")
	text := "SELECT " + setConfig("synchronous_commit", durably, true) + "; PREPARE TRANSACTION '" +
		v.prepared + "'"
	if v.sql != nil {
		v.sql.released = true
		text = releaseOrigin + text
	}
	tag, err := conn.Exec(ctx, text)
	switch {
	case originMissing(err):
		return v.sql.endReplaced()
	case isExhausted(err):
		return &transientError{fmt.Errorf(
			"preparing: %w: raise max_prepared_transactions to max_connections", err)}
	case err != nil:
		return v.engine.explain(err) // if the answer was lost, the abort settles it
	case tag.String() != "PREPARE TRANSACTION":
		return fmt.Errorf("nothing was prepared: the server answered %s", tag)
	}
	return nil
}

// Finish commits the prepared transaction.
func (v *view) Finish(ctx context.Context) error {
	name := v.prepared
	v.prepared = ""
	defer v.engine.owner.end(name)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	return v.engine.settle(ctx, "COMMIT PREPARED", name)
}

// Leave leaves the prepared transaction to recovery.
func (v *view) Leave() {
	v.engine.owner.end(v.prepared)
	v.prepared = ""
	v.Close()
}

// rollbackPrepared rolls back a prepared transaction. If the server can't be reached, recovery will
// do it.
func (e *database) rollbackPrepared(ctx context.Context, name string) {
	defer e.owner.end(name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_ = e.settle(ctx, "ROLLBACK PREPARED", name)
}

// settle ends a prepared transaction. If it does not exist any more, recovery has settled it. It
// holds its locks until it is settled, so if the connection is lost, another is tried for a while;
// then it is left to recovery.
func (e *database) settle(ctx context.Context, how, name string) error {
	deadline := time.Now().Add(endTimeout)
	for pause := outcomePause; ; pause = min(2*pause, outcomePauseMax) {
		err := e.settleOnce(ctx, how, name)
		if err == nil || !isLost(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (e *database) settleOnce(ctx context.Context, how, name string) error {
	conn, err := e.acquireConn(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for n := 1; ; n++ {
		_, err := conn.Exec(ctx, how+" '"+strings.ReplaceAll(name, "'", "''")+"'")
		pgErr, _ := errors.AsType[*pgconn.PgError](err)
		switch {
		case err == nil, pgErr != nil && pgErr.Code == "42704": // undefined_object
			return nil
		case pgErr != nil && pgErr.Code == "55000" && n < maxRuns: // another session is settling it
			time.Sleep(outcomePause)
		default:
			return e.explain(err)
		}
	}
}

// A gid is the server's name of a prepared transaction.
type gid struct {
	program     string
	tables      string // the id of the tables that took part
	transaction string
	owner       string // the process
	recorder    string // RecorderID of the deciding database; empty: it keeps no record
}

const gidPrefix = "pasteline:"

func (g gid) String() string {
	parts := []string{g.program, g.tables, g.transaction, g.owner, g.recorder}
	return gidPrefix + strings.Join(parts, ":")
}

func parseGID(name string) (g gid, ok bool) {
	rest, ours := strings.CutPrefix(name, gidPrefix)
	parts := strings.Split(rest, ":")
	if !ours || len(parts) != 5 {
		return g, false
	}
	return gid{parts[0], parts[1], parts[2], parts[3], parts[4]}, true
}

// An owner shows other processes that this process is alive: while it is, it holds an advisory
// lock, on a connection of its own.
type owner struct {
	engine *database

	mu     sync.Mutex    // guards the rest
	id     string        // empty: this process has prepared nothing yet
	lost   chan struct{} // closed when the connection is; nil: none was made yet
	stop   context.CancelFunc
	active map[string]bool // the prepared transactions, and whether they are being settled
}

func ownerLock(id string) int64 { return lockNumber("owner", id) }

// name returns the owner's id, after making sure that the lock is held.
func (o *owner) name(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.id == "" {
		o.id, o.active = newID(), map[string]bool{}
	}
	if o.lives() {
		return o.id, nil
	}
	config := o.engine.config.ConnConfig.Copy()
	o.engine.configure(&config.Config, o.engine.options.settings.with(unlimited))
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_lock($1)",
		ownerLock(o.id)); err != nil {
		return "", errors.Join(err, conn.Close(ctx))
	}
	o.watch(conn) //nolint:contextcheck // until the connection ends
	return o.id, nil
}

// lives reports whether the connection is not known to be lost. It is called with mu locked.
func (o *owner) lives() bool {
	if o.lost == nil {
		return false
	}
	select {
	case <-o.lost:
		return false
	default:
		return true
	}
}

// watch blocks on the idle owner connection to notice when it breaks: the advisory lock is lost
// with it, and later prepared transactions would look like those of a dead process. It is called
// with mu locked.
func (o *owner) watch(conn *pgx.Conn) {
	ctx, stop := context.WithCancel(context.Background())
	lost := make(chan struct{})
	o.lost, o.stop = lost, stop
	go func() {
		defer close(lost)
		for {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				break
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		_ = conn.Close(ctx) //nolint:contextcheck // broken or not needed any more
	}()
}

func (o *owner) begin(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.active[name] = true
}

func (o *owner) end(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.active, name)
}

// has reports whether this process has prepared a transaction, and whether it is settling it now.
func (o *owner) has(g gid) (mine, active bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.id != "" && g.owner == o.id, o.active[g.String()]
}

func (o *owner) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost != nil {
		o.stop()
		<-o.lost
	}
}

// Name returns the server and database, for recovery.
func (e *database) Name() string {
	c := e.config.ConnConfig
	name := fmt.Sprintf("postgres://%s:%d/%s", c.Host, c.Port, c.Database)
	if e.options.schema != "" || e.options.prefix != defaultPrefix {
		name += " (" + strings.TrimPrefix(e.options.schema+"."+e.options.prefix+"*", ".") + ")"
	}
	return name
}

// Prepared lists the prepared transactions with this program's name and the tables' id.
func (e *database) Prepared(ctx context.Context) ([]recovery.Prepared, error) {
	if !e.canPrepare {
		return nil, nil
	}
	conn, err := e.acquireConn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, qualify("SELECT gid, prepared FROM pg_catalog.pg_prepared_xacts"+
		" WHERE database {=} pg_catalog.current_database()"+
		" AND pg_catalog.starts_with(gid, $1) ORDER BY prepared, gid"),
		gidPrefix+e.options.program+":"+e.id+":")
	if err != nil {
		return nil, e.explain(err)
	}
	list, err := pgx.CollectRows(rows,
		func(row pgx.CollectableRow) (p recovery.Prepared, err error) {
			return p, row.Scan(&p.Name, &p.Since)
		})
	if err != nil {
		return nil, e.explain(err)
	}
	known := make(map[string]bool) // by owner: its process has ended
	found := list[:0]
	for _, p := range list {
		g, ok := parseGID(p.Name)
		if !ok {
			continue
		}
		p.Transaction, p.Recorder = g.transaction, g.recorder
		mine, active := e.owner.has(g)
		switch gone, asked := known[g.owner]; {
		case mine:
			p.Orphan = !active
		case asked:
			p.Orphan = gone
		default:
			err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_xact_lock($1)",
				ownerLock(g.owner)).Scan(&p.Orphan)
			if err != nil {
				return nil, e.explain(err)
			}
			known[g.owner] = p.Orphan
		}
		found = append(found, p)
	}
	return found, nil
}

// Finish commits a transaction that this or another process has prepared.
func (e *database) Finish(ctx context.Context, p recovery.Prepared) error {
	return e.settle(ctx, "COMMIT PREPARED", p.Name)
}

// Abort rolls back a transaction that this or another process has prepared.
func (e *database) Abort(ctx context.Context, p recovery.Prepared) error {
	return e.settle(ctx, "ROLLBACK PREPARED", p.Name)
}
