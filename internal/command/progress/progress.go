// Package progress shows that long work goes on.
//
//	screen := progress.NewScreen(os.Stderr) // for all output to the standard error
//	…
//	task := screen.Start(logger, "settling transactions")
//	defer task.Stop()
//	task.Count(3, 40) // if the number of parts is known
//
// On a terminal a line names the work, its duration and the part that is done; it is rewritten in place, and cleared
// when the work ends or anything else is written. Elsewhere the log gets a line now and then. Work
// that is done soon shows nothing.
package progress

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/command/terminal"
)

// A Screen is a writer for a stream on which progress may be shown. It is safe for concurrent use.
type Screen struct {
	w       io.Writer
	rewrite bool
	patient time.Duration // before the first line
	line    time.Duration // between two lines on a terminal
	log     time.Duration // between two lines of the log

	mu    sync.Mutex // guards w and shown
	shown bool       // a line of progress
}

// NewScreen returns a screen that writes to w.
func NewScreen(w io.Writer) *Screen {
	return &Screen{
		w: w, rewrite: terminal.CanRewrite(w),
		patient: time.Second, line: time.Second, log: 15 * time.Second,
	}
}

// Unwrap returns the writer below.
func (s *Screen) Unwrap() io.Writer { return s.w }

// Write clears the line of progress, if there is one, and writes text.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.clear(); err != nil {
		return 0, err
	}
	return s.w.Write(text)
}

// clear clears the line of progress. The caller holds s.mu.
func (s *Screen) clear() error {
	if !s.shown {
		return nil
	}
	s.shown = false
	_, err := io.WriteString(s.w, clearLine)
	return err
}

// clearLine moves to the start of the line and erases it.
const clearLine = "\r\x1b[K"

// A Task is work that is shown. It is safe for concurrent use.
type Task struct {
	work string
	stop func()

	mu          sync.Mutex // guards done and total
	done, total int
}

// Count sets how many parts of the work are done, and of how many. A total of 0 is an unknown one.
func (t *Task) Count(done, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.total = done, total
}

// count returns the counts as text, or "" if the total is unknown.
func (t *Task) count() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total <= 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d, %d %%", t.done, t.total, 100*t.done/t.total)
}

// Stop ends the display. It may be called more than once.
func (t *Task) Stop() { t.stop() }

// Start shows that work has begun, such as "opening the databases", until Stop is called. A nil
// Screen shows it in the log only.
func (s *Screen) Start(logger *slog.Logger, work string) *Task {
	if s == nil {
		s = NewScreen(io.Discard)
	}
	t := &Task{work: work}
	begun, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	interval, show := s.log, func(elapsed time.Duration) {
		l := logger
		if count := t.count(); count != "" {
			l = l.With(slog.String("done", count))
		}
		l.Info("still working", slog.String("work", work), slog.Duration("elapsed", elapsed))
	}
	if s.rewrite {
		interval, show = s.line, func(elapsed time.Duration) { s.show(t, elapsed) }
	}
	go func() {
		defer close(ended)
		timer := time.NewTimer(max(s.patient, interval))
		if s.rewrite {
			timer.Reset(s.patient)
		}
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
				show(time.Since(begun).Round(time.Second))
				timer.Reset(interval)
			}
		}
	}()
	t.stop = sync.OnceFunc(func() {
		close(done)
		<-ended
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.clear() // the next Write fails too
	})
	return t
}

// show writes or replaces the line of progress.
func (s *Screen) show(t *Task, elapsed time.Duration) {
	line := fmt.Sprintf("%s%s … %v", clearLine, terminal.Escape(t.work), elapsed)
	if count := t.count(); count != "" {
		line += ", " + count
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.w, line)
	s.shown = err == nil
}
