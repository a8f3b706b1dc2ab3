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

// A Worker recovers again and again, and tells what it does. Make one with [Start]. It is safe for concurrent use by multiple
// goroutines.
type Worker struct {
	set    *Set
	logger *slog.Logger
	cancel context.CancelFunc
	asked  chan struct{}
	ended  sync.WaitGroup

	told map[part]telling // used by one pass after the other

	mu    sync.Mutex // guards stats
	stats Stats
}

// Stats count what a [Worker] has done.
type Stats struct {
	InDoubt  int       `json:"in_doubt"`  // how many parts the last pass found and could not settle, and databases that it could not ask
	Finished int       `json:"finished"`  // parts that were committed
	Aborted  int       `json:"aborted"`   // parts that were rolled back
	Failures int       `json:"failures"`  // errors, in all passes
	Passes   int       `json:"passes"`    // how often all databases were asked
	LastPass time.Time `json:"last_pass"` // when that was last complete
}

// repeatAfter is how often the log is told of what has not changed.
const repeatAfter = time.Hour

// part is what the log may have been told of.
type part struct{ participant, name string }

// telling is what it was told, and when.
type telling struct {
	verdict Verdict
	when    time.Time
}

// Start recovers, and again at every interval until Close is called. When it returns, the first pass is over: it takes no longer than
// the databases need for an answer, or ctx is not done. A pass that can't reach a database is no reason not to start.
//
// The log is told of everything that was settled, and of what is in doubt when it is found, when there is another reason, and once an
// hour.
func Start(ctx context.Context, set *Set, interval time.Duration, logger *slog.Logger) *Worker {
	w := &Worker{set: set, logger: logger, asked: make(chan struct{}, 1), told: map[part]telling{}}
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

// Ask has a pass begin at once, or after the one that runs: there are other databases now, say. It does not wait for it.
func (w *Worker) Ask() {
	select {
	case w.asked <- struct{}{}:
	default:
	}
}

// Close ends the worker, and waits for it. Close the databases afterwards.
func (w *Worker) Close() {
	w.cancel()
	w.ended.Wait()
}

// Stats returns what was done until now.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

func (w *Worker) pass(ctx context.Context) {
	found := w.set.Recover(ctx, Options{})
	if ctx.Err() != nil { // what it could not ask any more is no news
		found = slices.DeleteFunc(found, func(f Finding) bool { return !f.Settled })
		w.count(found)
		w.tellSettled(ctx, found)
		return
	}
	w.count(found)
	w.tellSettled(ctx, found)
	w.tellInDoubt(ctx, found)
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

func (w *Worker) tellSettled(ctx context.Context, found []Finding) {
	for _, f := range found {
		switch {
		case !f.Settled:
		case f.Verdict == Finish:
			w.logger.LogAttrs(ctx, slog.LevelWarn, "finished what a committed transaction had left prepared", f.attrs()...)
		default:
			w.logger.LogAttrs(ctx, slog.LevelWarn, "rolled back what a transaction that was never committed had left prepared", f.attrs()...)
		}
	}
}

// tellInDoubt logs what is new, or has not been told for long.
func (w *Worker) tellInDoubt(ctx context.Context, found []Finding) {
	now := time.Now()
	before := w.told
	w.told = map[part]telling{}
	for _, f := range found {
		if !f.InDoubt() {
			continue
		}
		key := part{f.Participant, f.Prepared.Name}
		last, again := before[key]
		if again && last.verdict == f.Verdict && now.Sub(last.when) < repeatAfter {
			w.told[key] = last
			continue
		}
		w.told[key] = telling{f.Verdict, now}
		if key.name == "" {
			w.logger.LogAttrs(ctx, slog.LevelWarn, "a database can't say what transactions it holds prepared", f.attrs()...)
		} else {
			w.logger.LogAttrs(ctx, slog.LevelWarn, "in doubt: a transaction is left prepared", f.attrs()...)
		}
	}
	for key := range before {
		if _, still := w.told[key]; !still && key.name == "" {
			w.logger.InfoContext(ctx, "a database can say again what transactions it holds prepared", slog.String("database", key.participant))
		}
	}
}

func (f Finding) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("database", f.Participant)}
	if p := f.Prepared; p.Name != "" {
		attrs = append(attrs, slog.String("transaction", p.Transaction), slog.String("name", p.Name), slog.Time("since", p.Since))
		if p.Decider != "" {
			attrs = append(attrs, slog.String("decider", p.Decider))
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
