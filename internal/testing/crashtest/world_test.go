package main_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

// A pair is what the two databases are. The second decides.
type pair string

const (
	pgPG     pair = "postgres+postgres"
	pgBolt   pair = "postgres+bolt"
	pgSQLite pair = "postgres+sqlite"
)

var pairs = []pair{pgPG, pgBolt, pgSQLite}

// servers are two, so that one can be killed without the other.
type servers [2]*pgtest.Server

func startServers(t *testing.T) servers {
	t.Helper()
	var s servers
	for i := range s {
		s[i] = pgtest.Start(t, pgtest.Settings("fsync = off"))
	}
	// Of two that could both decide, the last by name does; and it is the second that is to.
	if s[0].URI("") > s[1].URI("") {
		s[0], s[1] = s[1], s[0]
	}
	return s
}

// A world is a pair of databases, and what workers have said that they did there.
type world struct {
	t       *testing.T
	pair    pair
	servers servers
	uris    [2]string
	pg      []*database // one or two

	mu      sync.Mutex // guards the rest
	answers map[string]answer
	doubts  int
}

type answer struct{ verb, why string }

// A database is one of PostgreSQL, and a connection of the test's own.
type database struct {
	server *pgtest.Server
	uri    string
	conn   *pgx.Conn
}

// do runs f with a connection: a new one, if the server was killed.
func (d *database) do(t *testing.T, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if d.conn != nil && d.conn.Ping(ctx) != nil {
		d.conn.Close(ctx)
		d.conn = nil
	}
	if d.conn == nil {
		conn, err := pgx.Connect(ctx, d.uri)
		if err != nil {
			t.Fatal(err)
		}
		d.conn = conn
	}
	if err := f(ctx, d.conn); err != nil {
		t.Fatal(err)
	}
}

func (d *database) exec(t *testing.T, statements ...string) {
	t.Helper()
	d.do(t, func(ctx context.Context, conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

func (d *database) strings(t *testing.T, query string, args ...any) (list []string) {
	t.Helper()
	d.do(t, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return list
}

// number asks for one number.
func (d *database) number(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	d.do(t, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, query, args...).Scan(&n) })
	return n
}

var tables = []string{
	`CREATE TABLE accounts (id text PRIMARY KEY, balance bigint NOT NULL)`,
	`CREATE TABLE transfers (id text PRIMARY KEY, amount bigint NOT NULL)`,
}

// foreign is prepared by others: another tool, another program with this library, and this program with other tables.
var foreign = []string{"some tool's 42", "pasteline:other-program:TABLES:TRANSACTION:PROCESS:DECIDER", "pasteline:crashtest:OTHERTABLES:TRANSACTION:PROCESS:"}

func newWorld(t *testing.T, s servers, of pair) *world {
	t.Helper()
	w := &world{t: t, pair: of, servers: s, answers: map[string]answer{}}
	w.addPG(0)
	file := filepath.Join(t.TempDir(), "second")
	switch of {
	case pgPG:
		w.addPG(1)
	case pgBolt:
		w.uris[1] = "bolt://" + file
	case pgSQLite:
		w.uris[1] = "sqlite:file:" + file + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
		db := w.openSQLite()
		defer db.Close()
		for _, statement := range tables {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

func (w *world) addPG(i int) {
	w.t.Helper()
	d := &database{server: w.servers[i], uri: w.servers[i].CreateDatabase(w.t)}
	d.exec(w.t, tables...)
	d.exec(w.t, `CREATE TABLE of_others (gid text)`)
	names := strings.Split(d.uri, "/")
	name, _, _ := strings.Cut(names[len(names)-1], "?")
	for _, gid := range foreign {
		quoted := "'" + strings.ReplaceAll(name+" "+gid, "'", "''") + "'" // they are names for the whole server
		if strings.HasPrefix(gid, "pasteline:") {
			quoted = "'" + gid + name + "'"
		}
		d.exec(w.t, "BEGIN", "INSERT INTO of_others VALUES ("+quoted+")", "PREPARE TRANSACTION "+quoted)
	}
	w.pg, w.uris[i] = append(w.pg, d), d.uri
	w.t.Cleanup(func() { d.drop(w.t, name) })
}

// drop makes room: the server allows so many prepared transactions.
func (d *database) drop(t *testing.T, name string) {
	t.Helper()
	for _, statement := range d.strings(t, `SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database()`) {
		d.exec(t, statement)
	}
	d.conn.Close(context.WithoutCancel(t.Context()))
	d.conn = nil
	d.uri = d.server.URI("postgres")
	d.exec(t, "DROP DATABASE "+name+" WITH (FORCE)")
	d.conn.Close(context.WithoutCancel(t.Context()))
}

// uri is what a worker of that name is told.
func (w *world) uri(i int, name string) string {
	text := w.uris[i]
	if !strings.HasPrefix(text, "postgres:") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		w.t.Fatal(err)
	}
	query := u.Query()
	query.Set("program", "crashtest")
	query.Set("application_name", name)
	u.RawQuery = query.Encode()
	return u.String()
}

func (w *world) openSQLite() *sql.DB {
	w.t.Helper()
	db, err := sql.Open("sqlite", strings.TrimPrefix(w.uris[1], "sqlite:"))
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// answered is called for every transfer of which a worker has told the outcome.
func (w *world) answered(id, verb, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if verb == "doubt" {
		w.doubts++
	}
	w.answers[id] = answer{verb, why}
}

// prepared returns what is, but for what is of others, which has to be there.
func (w *world) prepared() (ours []string) {
	w.t.Helper()
	for _, d := range w.pg {
		found := 0
		for _, gid := range d.strings(w.t, `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`) {
			if strings.Contains(gid, ":TRANSACTION:PROCESS:") || strings.Contains(gid, "some tool") {
				found++
			} else {
				ours = append(ours, gid)
			}
		}
		if found != len(foreign) {
			w.t.Errorf("of %d transactions that others had prepared, %d are left", len(foreign), found)
		}
	}
	return ours
}

// awaitAlone waits until PostgreSQL has noticed that all workers but p are gone.
func (w *world) awaitAlone(p *process) {
	w.t.Helper()
	for _, d := range w.pg {
		for range 3000 {
			if d.number(w.t, `SELECT count(*) FROM pg_stat_activity, pg_sleep(0.005)
				WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid() AND application_name <> $1`, p.name) == 0 {
				break
			}
		}
	}
}

// decisions is how many records there are, of commits and of transactions that were given up.
func (w *world) decisions() int {
	w.t.Helper()
	switch w.pair {
	case pgPG:
		n := 0
		for _, d := range w.pg {
			n += d.number(w.t, `SELECT count(*) FROM pasteline_decisions`)
		}
		return n
	case pgSQLite:
		db := w.openSQLite()
		defer db.Close()
		var n int
		if err := db.QueryRowContext(w.t.Context(), `SELECT count(*) FROM pasteline_decided WHERE id <> 'decider-id'`).Scan(&n); err != nil {
			w.t.Fatal(err)
		}
		return n
	default:
		return boltDecisions(w.t, strings.TrimPrefix(w.uris[1], "bolt://"))
	}
}

// check starts a worker, which recovers, and looks whether all is well: with what was said, and what is there; and whether the databases
// can be used.
func (w *world) check() {
	w.t.Helper()
	p := w.start("PASTELINE_CRASH=")
	p.expect("ready")
	if !w.inspect(p) {
		w.t.Fatalf("the worker died\n%s", p.log())
	}
	if got := p.order("move 4"); got != "moved" {
		w.t.Fatalf("the worker says %q, want moved\n%s", got, p.log())
	}
	p.finish()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, answer := range w.answers {
		if strings.HasPrefix(id, p.name+"-") && answer.verb != "committed" {
			w.t.Errorf("after all was settled, transfer %s was %s:%s", id, answer.verb, answer.why)
		}
	}
}

// inspect has p, while nobody else is at work, recover what is left, and compares. It returns false if p dies of that.
func (w *world) inspect(p *process) (alive bool) {
	w.t.Helper()
	// A server may notice late that its client is gone, and finish a statement that it was given.
	w.awaitAlone(p)
	for n := 0; ; n++ {
		left := p.left()
		if left < 0 {
			return false
		}
		if left == 0 || n == 1000 {
			break
		}
		w.pg[0].exec(w.t, `SELECT pg_sleep(0.01)`)
	}
	if ours := w.prepared(); len(ours) > 0 {
		w.t.Errorf("after recovery there is still prepared: %v\n%s", ours, p.log())
	}
	var states [2]struct {
		Balance   int64
		Transfers map[string]int64
	}
	text := p.order("dump")
	if text == "" {
		return false
	}
	if json.Unmarshal([]byte(text), &states) != nil {
		w.t.Fatalf("the worker says %q, want what there is\n%s", text, p.log())
	}
	if sum := states[0].Balance + states[1].Balance; sum != 0 {
		w.t.Errorf("both sides together have %d, want 0", sum)
	}
	for i, s := range states {
		sum := int64(0)
		for _, amount := range s.Transfers {
			sum += amount
		}
		if s.Balance != sum {
			w.t.Errorf("side %d has %d, and its transfers are %d together", i, s.Balance, sum)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all := maps.Clone(states[0].Transfers)
	maps.Copy(all, states[1].Transfers)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if a, b := states[0].Transfers[id], states[1].Transfers[id]; a != -b {
			w.t.Errorf("transfer %s is half: %d on one side, %d on the other", id, a, b)
		}
		if answer := w.answers[id]; answer.verb == "aborted" {
			w.t.Errorf("transfer %s was made, but the worker had said that it was not:%s", id, answer.why)
		}
	}
	for id, answer := range w.answers {
		if _, made := all[id]; !made && answer.verb == "committed" {
			w.t.Errorf("transfer %s was acknowledged, and is lost", id)
		}
	}
	return true
}
