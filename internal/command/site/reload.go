package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// reloadOnRequest reloads the file on request and, if it is watched, when a file has changed, until
// ctx is done.
func (s *site) reloadOnRequest(ctx context.Context, requested <-chan struct{}) {
	var tick <-chan time.Time
	if s.options.Watch {
		ticker := time.NewTicker(s.options.Interval)
		defer ticker.Stop()
		tick = ticker.C
		s.logger.DebugContext(ctx, "watching files", slog.Int("files", len(s.sources.stamps)))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-requested:
		case <-tick:
			if !s.sources.changed(ctx, s.options.Interval) {
				continue
			}
			s.reopenLogs(ctx)
		}
		s.reload(ctx)
	}
}

// reopenOnRequest forwards requests to reload, and reopens the log files at once for each: a load
// that fails or takes long must not keep a renamed file open.
func (s *site) reopenOnRequest(ctx context.Context, requested chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-s.options.Reload:
			if !ok { // no further requests
				return
			}
		}
		s.reopenLogs(ctx)
		select {
		case requested <- struct{}{}:
		default: // a requested load has not begun yet
		}
	}
}

func (s *site) reopenLogs(ctx context.Context) {
	if err := s.options.Log.Reopen(); err != nil {
		s.logger.ErrorContext(ctx, "can't open the log files anew, the old ones stay open",
			slog.Any("error", err))
	}
}

// reload loads the file and its includes, replaces the pipeline, and reports that to systemd. After
// an error nothing has changed.
func (s *site) reload(ctx context.Context) {
	s.supervisor.reloading(ctx)
	err := s.replace(ctx)
	if ctx.Err() != nil { // the server is shutting down, which is reported already
		return
	}
	s.status.Reloaded(time.Now(), err)
	s.supervisor.reloaded(ctx, err)
}

// replace loads the file and replaces the pipeline, and logs the result.
func (s *site) replace(ctx context.Context) error {
	next, err := s.loadAgain(ctx)
	if err == nil {
		if err = s.options.Log.Reload(); err != nil {
			err = errors.Join(err, next.close())
		}
	}
	if ctx.Err() != nil { // shutting down: a cancelled load is no error
		if err == nil {
			err = next.close()
		}
		s.logger.DebugContext(ctx, "not reloaded: the server ends", slog.Any("error", err))
		return err
	}
	if err != nil {
		s.logFailure(ctx, err)
		return err
	}
	for _, w := range changedSettings(s.server, next.server) {
		s.logger.WarnContext(ctx, "needs a restart", slog.String("setting", w.String()))
	}
	next.keep()
	s.relay.replace(next.pipeline)
	s.recovery.Ask() // there may be new databases
	s.logger.InfoContext(ctx, "reloaded", slog.String("config", s.options.Config))
	if err := next.server.Close(); err != nil { // it was only compared with the running one
		s.logger.ErrorContext(ctx, "can't close the resources of the server's section",
			slog.Any("error", err))
	}
	return nil
}

// notReloaded is the message about a failed reload, in the log and for systemd.
const notReloaded = "not reloaded, the old pipeline goes on"

// logFailure logs each error of a failed reload separately.
func (s *site) logFailure(ctx context.Context, err error) {
	if p, ok := errors.AsType[*panicError](err); ok {
		s.logger.ErrorContext(ctx, notReloaded, slog.Any("fault", err),
			slog.String("stack", p.stack))
		return
	}
	all, _ := errors.AsType[tree.Errors](tree.JoinErrors(err))
	for _, err := range all {
		s.logger.ErrorContext(ctx, notReloaded, slog.String("fault", err.Error()))
	}
}

// changedSettings warns about each setting of the server's section that differs from the start of
// the server: none can change while connections are open.
func changedSettings(then, now *pipeline.LoadedServer) []tree.Warning {
	running, written := then.Tree().Root, now.Tree().Root
	var warnings []tree.Warning
	warn := func(at tree.Setting, format string, args ...any) {
		warnings = append(warnings, tree.Warning{
			File: at.File, Line: at.Line, Section: at.Section, Key: at.Written,
			Message: fmt.Sprintf(format, args...),
		})
	}
	head := tree.Setting{
		File: written.Source.File, Line: written.Source.Line,
		Section: written.Source.Section,
	}
	if is, was := written.Factory.String(), running.Factory.String(); is != was {
		warn(head, "the server is %s until it is restarted, and then %s", was, is)
	}
	value := func(from *pipeline.LoadedServer, s tree.Setting) string {
		shown := from.Tree().Shown(from.Tree().Root, s)
		if shown == redact.Hidden {
			return "another one"
		}
		return fmt.Sprintf("%q", shown)
	}
	for is := range written.LocalConf.All() {
		switch was, ok := running.LocalConf.Get(is.Key); {
		case !ok:
			warn(is, "the server runs without it until it is restarted")
		case is.Value != was.Value:
			warn(is, "the server runs with %s until it is restarted, and then with %s",
				value(then, was), value(now, is))
		}
	}
	for was := range running.LocalConf.All() {
		if _, ok := written.LocalConf.Get(was.Key); !ok {
			head.Written = was.Written
			warn(head, "it is gone, but the server runs with %s until it is restarted",
				value(then, was))
		}
	}
	return warnings
}
