package recovery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/transaction"
)

// A Worker recovers at intervals, and logs its actions. Make one with [Start]. It is safe for
// concurrent use by multiple goroutines.
type Worker struct {
	set    *Set
	logger *slog.Logger
	cancel context.CancelFunc
	asked  chan struct{}
	ended  sync.WaitGroup

	logged map[part]logEntry // used by one pass at a time

	mu    sync.Mutex // guards stats
	stats Stats
}

// Stats count the actions of a [Worker].
type Stats struct {
	// InDoubt is the number of parts that the last pass found and could not settle, and of
	// databases that it could not ask.
	InDoubt int `json:"in_doubt"`

	Finished int       `json:"finished"`  // parts that were committed
	Aborted  int       `json:"aborted"`   // parts that were rolled back
	Failures int       `json:"failures"`  // errors, in all passes
	Passes   int       `json:"passes"`    // complete passes over all databases
	LastPass time.Time `json:"last_pass"` // end of the last complete pass
}

// repeatAfter is how often an unchanged state is logged again.
const repeatAfter = time.Hour

// part identifies a part of a transaction, or with an empty name a database, in the log.
type part struct{ participant, name string }

// logEntry is the last log line about a part.
type logEntry struct {
	verdict Verdict
	when    time.Time
}

// Start runs one pass of recovery, and then another one at every interval until Close is called. It
// returns after the first pass, which ends when the databases have answered or timed out, or ctx is
// done. Start succeeds even if a pass can't reach a database.
//
// The log gets a line for everything that was settled. A part that stays in doubt is logged when it
// is found, when its verdict changes, and once an hour.
func Start(ctx context.Context, set *Set, interval time.Duration, logger *slog.Logger) *Worker {
	w := &Worker{
		set: set, logger: logger, asked: make(chan struct{}, 1),
		logged: map[part]logEntry{},
	}
	w.pass(ctx)
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.ended.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			case <-w.asked:
			}
			w.pass(ctx)
		}
	})
	return w
}

// Ask requests a pass without waiting for it, for example because databases were added. It begins
// at once, or after the running one.
func (w *Worker) Ask() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// Close stops the worker and waits for it. Close the databases afterwards.
func (w *Worker) Close() {
	w.cancel()
	w.ended.Wait()
}

// Stats returns the counts so far.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

func (w *Worker) pass(ctx context.Context) {
	found := w.set.Recover(ctx, Options{})
	if ctx.Err() != nil { // the worker was stopped: unanswered questions are not worth a log line
		found = slices.DeleteFunc(found, func(f Finding) bool { return !f.Settled })
		w.count(found)
		w.logSettled(ctx, found)
		return
	}
	w.count(found)
	w.logSettled(ctx, found)
	w.logInDoubt(ctx, found)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.InDoubt = 0
	for _, f := range found {
		if f.InDoubt() {
			w.stats.InDoubt++
		}
	}
	w.stats.Passes++
	w.stats.LastPass = time.Now()
}

func (w *Worker) count(found []Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range found {
		switch {
		case f.Settled && f.Verdict == Finish:
			w.stats.Finished++
		case f.Settled:
			w.stats.Aborted++
		case f.Err != nil:
			w.stats.Failures++
		}
	}
}

func (w *Worker) logSettled(ctx context.Context, found []Finding) {
	for _, f := range found {
		switch {
		case !f.Settled:
		case f.Verdict == Finish:
			w.logger.LogAttrs(ctx, slog.LevelWarn,
				"finished prepared work of a committed transaction", f.attrs()...)
		default:
			w.logger.LogAttrs(ctx, slog.LevelWarn,
				"rolled back prepared work of a transaction that was not committed", f.attrs()...)
		}
	}
}

// logInDoubt logs the parts that are new, have changed, or were last logged long ago.
func (w *Worker) logInDoubt(ctx context.Context, found []Finding) {
	now := time.Now()
	before := w.logged
	w.logged = map[part]logEntry{}
	for _, f := range found {
		if !f.InDoubt() {
			continue
		}
		key := part{f.Participant, f.Prepared.Name}
		last, again := before[key]
		if again && last.verdict == f.Verdict && now.Sub(last.when) < repeatAfter {
			w.logged[key] = last
			continue
		}
		w.logged[key] = logEntry{f.Verdict, now}
		if key.name == "" {
			w.logger.LogAttrs(ctx, slog.LevelWarn,
				"a database can't list its prepared transactions", f.attrs()...)
		} else {
			w.logger.LogAttrs(ctx, slog.LevelWarn, "in doubt: a transaction is left prepared",
				f.attrs()...)
		}
	}
	for key := range before {
		if _, still := w.logged[key]; !still && key.name == "" {
			w.logger.InfoContext(ctx, "a database can list its prepared transactions again",
				slog.String("database", key.participant))
		}
	}
}

func (f Finding) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("database", f.Participant)}
	if p := f.Prepared; p.Name != "" {
		attrs = append(attrs, slog.String("transaction", p.Transaction),
			slog.String("name", p.Name), slog.Time("since", p.Since))
		if p.Recorder != "" {
			attrs = append(attrs, slog.String("decider", p.Recorder))
		}
	}
	if f.Err != nil {
		attrs = append(attrs, slog.Any("error", f.Err))
	}
	if p, ok := errors.AsType[*transaction.PanicError](f.Err); ok {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	return attrs
}
