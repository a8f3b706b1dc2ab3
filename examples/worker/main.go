// Command worker does jobs outside of HTTP: it takes them from a table in PostgreSQL, and marks
// each job as done in the transaction of its effects, which are in storage. So every job takes
// effect exactly once, with any number of workers, even if they are killed.
//
//	go run ./examples/worker postgres://localhost/site add "to be or not to be" "to do"
//	go run ./examples/worker postgres://localhost/site work     # until interrupted
//	go run ./examples/worker postgres://localhost/site drain    # until no job is left
//	go run ./examples/worker postgres://localhost/site words
//
// A job is a text, and its effect is to count the words in it. A job that fails is set aside, with
// the reason.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New(
	"usage: worker postgres://host/database {add TEXT... | work | drain | words}")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) < 2 {
		return errUsage
	}
	opener := storage.NewOpener()
	postgres.Register(opener)
	db, err := opener.Open(ctx, args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := &queue{db: db, log: slog.New(slog.NewTextHandler(stderr, nil))}
	if err := postgres.Migrate(ctx, db, "worker", migrations); err != nil {
		return err
	}
	switch args[1] {
	case "add":
		return q.add(ctx, args[2:])
	case "work":
		return q.work(ctx)
	case "drain":
		return q.drain(ctx)
	case "words":
		return q.words(ctx, stdout)
	default:
		return errUsage
	}
}

//go:embed *.sql
var migrations embed.FS

// A queue is the table job, in the database that storage uses.
type queue struct {
	db  *storage.DB
	log *slog.Logger
}

// policy allows many attempts, because no client waits and other workers run at the same time.
var policy = transaction.Policy{
	Tries: 20, Delay: 5 * time.Millisecond, MaxDelay: time.Second, Jitter: 1,
}

// sql runs f in a transaction, and passes it the SQL transaction that is part of it.
func (q *queue) sql(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return transaction.Run(ctx, func(ctx context.Context) error {
		tx, err := postgres.Tx(ctx, q.db)
		if err != nil {
			return err
		}
		return f(ctx, tx)
	}, policy)
}

func (q *queue) add(ctx context.Context, texts []string) error {
	return q.sql(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO job (text) SELECT unnest($1::text[])`, texts)
		return err
	})
}

// work does the jobs in the table, and those added later, until ctx is done.
func (q *queue) work(ctx context.Context) error {
	for {
		if err := q.drain(ctx); err != nil && ctx.Err() == nil {
			// the database may be back soon
			q.log.LogAttrs(ctx, slog.LevelError, "no job done", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// drain works until no job is left.
func (q *queue) drain(ctx context.Context) error {
	for {
		found, err := q.one(ctx)
		if err != nil || !found {
			return err
		}
	}
}

// one does one job, and reports whether there was one.
func (q *queue) one(ctx context.Context) (found bool, err error) {
	err = q.sql(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found = false // reset for each attempt
		var id int64
		var text string
		// Other workers skip the row until this transaction ends; if the process is killed, it ends
		// at once.
		err := tx.QueryRow(ctx, `SELECT id, text FROM job WHERE state = 'new'
			ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&id, &text)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		if err := count(ctx, q.db, text); err != nil {
			return &failure{id, err}
		}
		_, err = tx.Exec(ctx, `UPDATE job SET state = 'done' WHERE id = $1`, id)
		return err
	})
	failed, ok := errors.AsType[*failure](err)
	if !ok || transaction.IsTransient(err) || ctx.Err() != nil {
		return found, err
	}
	// The transaction was aborted, with all effects of the job. Another one records the failure.
	q.log.LogAttrs(ctx, slog.LevelWarn, "a job has failed", slog.Int64("job", failed.id),
		slog.Any("error", failed.err))
	return true, q.sql(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE job SET state = 'failed', error = $2
			WHERE id = $1 AND state = 'new'`, failed.id, failed.err.Error())
		return err
	})
}

// A failure is an error of a job, not of the queue.
type failure struct {
	id  int64
	err error
}

func (f *failure) Error() string { return fmt.Sprintf("job %d: %v", f.id, f.err) }
func (f *failure) Unwrap() error { return f.err }

// count does the job. It uses storage only, without SQL, as the code of a site would.
func count(ctx context.Context, db *storage.DB, text string) error {
	bucket, err := db.Bucket(ctx, "words")
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		if len(word) > 40 {
			return fmt.Errorf("%.10q...: words have up to 40 bytes", word)
		}
		n := 0
		value, err := bucket.Get([]byte(word))
		if err != nil {
			return err
		}
		if value != nil {
			if n, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
		if err := bucket.Put([]byte(word), []byte(strconv.Itoa(n+1))); err != nil {
			return err
		}
	}
	return nil
}

// words prints the counted words.
func (q *queue) words(ctx context.Context, w io.Writer) error {
	var lines []string
	err := transaction.Run(ctx, func(ctx context.Context) error {
		lines = nil
		bucket, err := q.db.Bucket(ctx, "words")
		if err != nil {
			return err
		}
		for item, err := range bucket.Range(storage.Range{}) {
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%s %s\n", item.Value, item.Key))
		}
		return nil
	}, policy)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Join(lines, ""))
	return err
}
