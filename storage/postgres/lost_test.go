package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// marked is the prefix of every value that these tests write, which the proxy recognizes.
const marked = "counter-value:"

// increment adds one to a counter in a bucket.
func increment(ctx context.Context, db *storage.DB, key string) error {
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	b := tx.Bucket("counters")
	value, err := b.Get([]byte(key))
	if err != nil {
		return err
	}
	n := 0
	if value != nil {
		if n, err = strconv.Atoi(strings.TrimPrefix(string(value), marked)); err != nil {
			return err
		}
	}
	return b.Put([]byte(key), fmt.Appendf(nil, "%s%d", marked, n+1))
}

// create writes a new key without a read, as for a new session.
func create(ctx context.Context, db *storage.DB, key string) error {
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	return tx.Bucket("created").Put([]byte(key), []byte(marked))
}

// remove deletes one of the keys that create made.
func remove(ctx context.Context, db *storage.DB, key string) error {
	tx, err := db.Tx(ctx)
	if err != nil {
		return err
	}
	return tx.Bucket("created").Delete([]byte(key))
}

// incrementSQL adds one to a counter in a table of the app.
func incrementSQL(ctx context.Context, db *storage.DB, key string) error {
	tx, err := postgres.Tx(ctx, db)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO counters VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n `+
		`= counters.n + 1`, key)
	return err
}

func incrementBoth(ctx context.Context, db *storage.DB, key string) error {
	if err := increment(ctx, db, key); err != nil {
		return err
	}
	return incrementSQL(ctx, db, key)
}

// counters returns all counters of a database, read from its tables.
func counters(tb testing.TB, uri string) (inBucket, inTable map[string]int) {
	tb.Helper()
	conn := connect(tb, uri)
	inBucket, inTable = map[string]int{}, map[string]int{}
	var key string
	var n int
	rows, err := conn.Query(tb.Context(),
		`SELECT convert_from(key, 'UTF8'), substr(convert_from(value, 'UTF8'), $1)::int FROM `+
			`pasteline_data WHERE bucket = 'counters'`,
		len(marked)+1)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&key, &n},
			func() error { inBucket[key] = n; return nil })
	}
	if err != nil {
		tb.Fatal(err)
	}
	rows, err = conn.Query(tb.Context(), `SELECT id, n FROM counters`)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&key, &n},
			func() error { inTable[key] = n; return nil })
	}
	if err != nil {
		tb.Fatal(err)
	}
	return inBucket, inTable
}

const countersTable = `CREATE TABLE counters (id text PRIMARY KEY, n int NOT NULL)`

// The answer to a commit is lost, or the commit, or the server receives the commit after the client
// has looked it up. Exactly the acknowledged commits are stored, once, and since the server can be
// reached, none is in doubt.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options string
		work          func(context.Context, *storage.DB, string) error
		commit        string // what of the commit shows on the way
	}{
		{"bucket", "", increment, marked},
		{"bucket, one connection", "pool_max_conns=1", increment, marked},
		{"bucket, snapshot=first", "snapshot=first", increment, marked},
		{"sql", "", incrementSQL, "commit\x00"},
		{"both", "", incrementBoth, "commit\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			uri := pgtest.Database(t)
			exec(t, connect(t, uri), countersTable)
			p, through := newProxy(t, uri)
			db := openDB(t, with(through, tt.options))
			want := 0
			for round := range 6 {
				for _, f := range []fault{none, before, middle, after, answer, late} {
					p.arm(f, tt.commit)
					err := transaction.Run(t.Context(),
						func(ctx context.Context) error { return tt.work(ctx, db, "n") })
					if err != nil {
						t.Fatalf("round %d, %s: got %v, want that it is found out, and done "+
							"again if it was not committed", round, f, err)
					}
					want++
				}
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			p.cut()
			inBucket, inTable := counters(t, uri)
			for _, got := range []map[string]int{inBucket, inTable} {
				if n := got["n"]; len(got) > 0 && n != want {
					t.Errorf("got %d, want %d, which is how many were acknowledged", n, want)
				}
			}
		})
	}
}

// A lost answer to a commit that writes without reading, or only deletes, is also resolved: such
// commits leave no version to look up.
func TestLostAnswersOfBlindWrites(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	p, through := newProxy(t, uri)
	db := openDB(t, through)
	defer db.Close()
	conn := connect(t, uri)
	has := func(key string) bool {
		return ask[bool](t, conn, `SELECT EXISTS (SELECT FROM pasteline_data WHERE bucket = `+
			`'created' AND key = $1)`, []byte(key))
	}
	for _, f := range []fault{none, before, middle, after, answer, late} {
		for _, step := range []struct {
			name, text string
			do         func(context.Context, *storage.DB, string) error
			want       bool
		}{
			{"put", marked, create, true},
			{"delete", "key of " + f.String(), remove, false},
		} {
			p.arm(f, step.text)
			// after the fault: on a busy machine an attempt may fail before it, with a lost
			// connection
			again := 0
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				if f == answer && !p.armed() {
					again++
				}
				return step.do(ctx, db, "key of "+f.String())
			})
			if got := has("key of " + f.String()); err != nil || got != step.want {
				t.Errorf("%s, %s: got %v, there: %t; want it done, there: %t", step.name, f, err,
					got, step.want)
			}
			if again > 0 {
				t.Errorf("%s, %s: got %d further attempts, want none: it was committed",
					step.name, f, again)
			}
		}
	}
}

// After a crash the server may reuse the number of a transaction that it had not written to disk.
// The outcome of the second transaction must not count as that of the first.
func TestLostAnswerAndCrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Settings("fsync = off", "wal_writer_delay = 10s",
		"autovacuum = off"))
	uri := server.CreateDatabase(t)
	exec(t, connect(t, uri), countersTable)
	p, through := newProxy(t, uri)
	db := openDB(t, through)
	defer db.Close()
	for range 3 {
		p.arm(hold, "commit\x00") // it never arrives: the server is killed
		attempts := 0
		done := make(chan error, 1)
		go func() {
			done <- transaction.Run(t.Context(), func(ctx context.Context) error {
				attempts++
				return incrementSQL(ctx, db, "n")
			})
		}()
		<-p.struck
		server.Kill()
		server.Start()
		conn := connect(t, uri)
		for range 20 {
			exec(t, conn, `INSERT INTO counters VALUES ('other', 1) ON CONFLICT (id) DO UPDATE `+
				`SET n = counters.n + 1`)
		}
		p.free()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if attempts < 2 {
			t.Errorf("got %d attempts, want another one: the first was lost with the server",
				attempts)
		}
	}
	if _, got := counters(t, uri); got["n"] != 3 {
		t.Errorf("got %d, want 3", got["n"])
	}
}

// The server is killed several times while clients work. All share a counter; each has its own
// counters, too, or there is only the shared one, whose commits share statements.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("own=%t", own), func(t *testing.T) {
			t.Parallel()
			killServer(t, own)
		})
	}
}

func killServer(t *testing.T, own bool) {
	t.Helper()
	server := pgtest.Start(t, pgtest.Settings("fsync = off"))
	uri := server.CreateDatabase(t)
	exec(t, connect(t, uri), countersTable)
	db := openDB(t, with(uri, "pool_max_conns=6"))
	defer db.Close()
	const workers, kills = 6, 3
	acknowledged, doubtful := make([]int, workers), make([]int, workers)
	transient := 0
	var mu sync.Mutex // guards transient
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := &groups{}
	job := observe.NewContext(t.Context(), observe.NewJob("test", observe.NewListeners(told)))
	var crowd sync.WaitGroup
	progress := make(chan struct{}, 1)
	for worker := range workers {
		crowd.Go(func() {
			key := strconv.Itoa(worker)
			work := incrementBoth
			if worker%2 == 0 {
				work = increment
			}
			for ctx.Err() == nil {
				err := transaction.Run(job, func(ctx context.Context) error {
					if err := increment(ctx, db, "shared"); err != nil || !own {
						return err
					}
					return work(ctx, db, key)
				})
				switch {
				case err == nil:
					acknowledged[worker]++
					select {
					case progress <- struct{}{}:
					default:
					}
				case errors.Is(err, transaction.ErrInDoubt):
					doubtful[worker]++
				case transaction.IsTransient(err):
					mu.Lock()
					transient++
					mu.Unlock()
				default:
					t.Errorf("got %v, want nothing but bad luck", err)
					return
				}
			}
		})
	}
	for range kills {
		for range 20 {
			<-progress
		}
		server.Kill()
		server.Start()
	}
	for range 20 {
		<-progress
	}
	stop()
	crowd.Wait()
	inBucket, inTable := counters(t, uri)
	all, allDoubtful := 0, 0
	for worker := range workers {
		low, high := acknowledged[worker], acknowledged[worker]+doubtful[worker]
		all, allDoubtful = all+low, allDoubtful+doubtful[worker]
		for _, got := range []map[string]int{inBucket, inTable} {
			n, ok := got[strconv.Itoa(worker)]
			if ok && (n < low || n > high) {
				t.Errorf("worker %d: got %d, want %d to %d", worker, n, low, high)
			}
		}
	}
	if n := inBucket["shared"]; n < all || n > all+allDoubtful {
		t.Errorf("shared: got %d, want %d to %d", n, all, all+allDoubtful)
	}
	if !own && told.shared == 0 {
		t.Errorf("none of %d commits has shared a statement", told.commits)
	}
	t.Logf("%d acknowledged, %d in doubt, %d gave up", all, allDoubtful, transient)
}
