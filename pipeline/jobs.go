package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Go runs f in its own goroutine while the pipeline is open. f starts after everything is loaded,
// and its context is cancelled when the pipeline is closed. Close waits until f has returned before
// it closes the databases that the factory opened earlier.
//
// A job never runs twice at the same time in one process: after a reload, the job of the new
// pipeline waits until the old pipeline is closed. Jobs are identified by section and by the order
// of the calls. Each process of a site runs its own; [storage.DB.TryLock] lets one of them do the
// work.
//
// An error or panic of f is logged, and f is not called again. An error caused by the cancelled
// context is dropped. With [Options.NoJobs], f is not called.
func (b *Build) Go(f func(ctx context.Context) error) {
	key := fmt.Sprintf("%s\n%s\n%d", b.node.Source.File, b.node.Name, b.jobs)
	b.jobs++
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	j := &job{f: f, logger: b.Logger(), turn: b.registry.jobs.turn(key), done: make(chan struct{})}
	b.creation.jobs = append(b.creation.jobs, func() { go j.run(ctx) })
	b.OnClose(func() error {
		cancel()
		j.once.Do(func() { close(j.done) }) // run was not called
		<-j.done
		return nil
	})
}

// Every calls f while the pipeline is open, each time the period has passed since the last call
// returned; the first call comes after one period. An error or panic of f is logged, and the next
// call follows as usual. Otherwise it is like [Build.Go]. It panics if the period is not positive.
func (b *Build) Every(period time.Duration, f func(ctx context.Context) error) {
	if period <= 0 {
		panic(fmt.Sprintf("pipeline: Every with a period of %v", period))
	}
	logger := b.Logger()
	b.Go(func(ctx context.Context) error {
		timer := time.NewTimer(period)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			callJob(ctx, logger, f)
			timer.Reset(period)
		}
	})
}

// A job is a function passed to [Build.Go].
type job struct {
	f      func(context.Context) error
	logger *slog.Logger
	turn   chan struct{} // full while a job of the same key runs
	once   sync.Once     // the first of run and Close decides whether f is called
	done   chan struct{}
}

func (j *job) run(ctx context.Context) {
	start := false
	j.once.Do(func() { start = true })
	if !start {
		return
	}
	defer close(j.done)
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-j.turn }()
	callJob(ctx, j.logger, j.f)
}

// callJob calls f and logs its error or panic.
func callJob(ctx context.Context, logger *slog.Logger, f func(context.Context) error) {
	defer func() {
		if p := recover(); p != nil {
			logger.LogAttrs(ctx, slog.LevelError, "a job panicked", slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
		}
	}()
	err := f(ctx)
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		logger.LogAttrs(ctx, slog.LevelError, "a job failed", slog.Any("error", err))
	}
}

// jobs are the jobs of a registry and of the registries renewed from it.
type jobs struct {
	mu    sync.Mutex
	turns map[string]chan struct{}
}

// turn returns a channel of capacity one that a job of that key fills while it runs.
func (j *jobs) turn(key string) chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.turns == nil {
		j.turns = map[string]chan struct{}{}
	}
	if j.turns[key] == nil {
		j.turns[key] = make(chan struct{}, 1)
	}
	return j.turns[key]
}
