package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/systemd"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A supervisor reports the state of a site to systemd, if systemd has started it as a notifying
// service. A report that can't be sent causes a warning in the log, and has no other effect.
type supervisor struct {
	logger   *slog.Logger
	notifier *systemd.Notifier // nil without systemd
	config   string

	mu      sync.Mutex // held while sending, so that STOPPING is the last state
	serving string     // where the site listens
	ending  bool
	failing bool // the last report failed, which has been logged
}

func newSupervisor(ctx context.Context, config string, logger *slog.Logger) *supervisor {
	s := &supervisor{logger: logger, config: config}
	var err error
	if s.notifier, err = systemd.NewNotifier(os.Getenv); err != nil {
		logger.WarnContext(ctx, "check the service", slog.Any("warning", err))
	}
	return s
}

// watchdog returns a channel that receives whenever the watchdog must be notified, never without a
// watchdog, and a function that stops it.
func (s *supervisor) watchdog() (due <-chan time.Time, stop func()) {
	interval := s.notifier.Interval()
	if interval <= 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(interval)
	return ticker.C, ticker.Stop
}

// alive notifies the watchdog that the site's main goroutine is running.
func (s *supervisor) alive(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check(ctx, s.notifier.Alive())
}

// started reports that the site listens.
func (s *supervisor) started(ctx context.Context, addrs []net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	urls := make([]string, len(addrs))
	for i, addr := range addrs {
		urls[i] = URL(addr)
	}
	s.serving = "serving " + s.config + " on " + strings.Join(urls, ", ")
	s.check(ctx, s.notifier.Ready(s.serving))
}

// reloading reports that a reload begins; reloaded ends it.
func (s *supervisor) reloading(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.check(ctx, s.notifier.Reloading("loading "+s.config))
	}
}

// reloaded reports that the site serves, with the new pipeline or, after an error, with the old
// one.
func (s *supervisor) reloaded(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return
	}
	status := s.serving + "; reloaded"
	if err != nil {
		status = s.serving + "; " + notReloaded + ": " + firstError(err)
	}
	s.check(ctx, s.notifier.Ready(status))
}

// stopping reports that the site is shutting down. Only watchdog notifications follow.
func (s *supervisor) stopping(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.check(ctx, s.notifier.Stopping("shutting down: running requests may finish"))
}

// check logs the first of several consecutive errors. The caller holds s.mu.
func (s *supervisor) check(ctx context.Context, err error) {
	if err != nil && !s.failing {
		s.logger.WarnContext(ctx, "can't notify systemd", slog.Any("error", err))
	}
	s.failing = err != nil
}

// firstError returns the first of the errors that err joins, and the number of the others.
func firstError(err error) string {
	all, _ := errors.AsType[tree.Errors](tree.JoinErrors(err))
	first := all[0].Error()
	if len(all) > 1 {
		first += fmt.Sprintf(" (and %d more in the log)", len(all)-1)
	}
	return first
}
