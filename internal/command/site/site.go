package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// Options describe a site. Config, Register, Log, Listening, Interval and Grace are required.
type Options struct {
	Config string            // path of an .ini file, perhaps with #name, a section other than main
	App    string            // name of the app or pipeline; "" is main
	Server string            // name of the server; "" is main
	Global map[string]string // settings of the command line for [DEFAULT]
	Set    []string          // settings that replace others, as in pipeline.Options

	// Register adds factories and databases to the registry of a load.
	Register func(*pipeline.Registry)
	// Log is reopened and reloaded with the site. The caller closes it after Run.
	Log *logging.Log
	// Warnings returns further warnings about a load, which are logged.
	Warnings func(*pipeline.LoadedServer, *pipeline.Pipeline) []tree.Warning
	// Listening is called once, when the server accepts connections. An error ends the site. The
	// returned function, unless it is nil, is called when the server has stopped.
	Listening func(context.Context, []net.Addr) (stopped func(), err error)

	// Hurry calls end when the operator asks a second time to stop, until the returned function is
	// called. It is called if the server delays its stop; nil: the delay can't be cut short.
	Hurry func(end func()) (stop func())

	Reload   <-chan struct{} // each received value reloads the file; may be nil or closed
	Watch    bool            // reload the file too when it or an include has changed
	Interval time.Duration   // between two looks at the files
	Grace    time.Duration   // for requests of a replaced pipeline, until they are cancelled
}

// RecoveryInterval is the time between two searches for transactions that other processes have left
// unfinished.
const RecoveryInterval = 30 * time.Second

// Run serves a site until ctx is done, which is no failure, or until its server fails. It returns
// when the server has stopped and everything that the factories opened is closed.
func Run(ctx context.Context, o Options) error {
	s := &site{
		options: o, logger: o.Log.Logger(), registry: pipeline.NewRegistry(),
		status: new(status.Site),
	}
	first, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.status.Started(time.Now())
	s.supervisor = newSupervisor(ctx, o.Config, s.logger)
	s.server, s.relay = first.server, newRelay(first.pipeline, o.Grace, s.logger)
	return errors.Join(s.serve(ctx, first.keep), s.close())
}

// A site is a server with its current pipeline.
type site struct {
	options  Options
	logger   *slog.Logger
	registry *pipeline.Registry // of the last load
	sources  *sources           // of the last load, also if it failed
	server   *pipeline.LoadedServer
	relay    *relay
	recovery *recovery.Worker
	status   *status.Site // for the apps

	supervisor *supervisor
}

// serve serves until ctx is done or the server fails, and reloads on request. It calls keep when
// the server listens.
func (s *site) serve(ctx context.Context, keep func()) error {
	defer runtime.KeepAlive(newBallast())
	s.recovery = recovery.Start(ctx, s.registry.Opener().Recovery(), RecoveryInterval, s.logger)
	s.status.SetRecovery(s.recovery, RecoveryInterval)
	defer func() {
		_ = waitFor(s.logger, "the recovery of databases",
			func() error { s.recovery.Close(); return nil })
	}()
	addrs, err := s.server.Listen(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // ended before the start
		}
		return s.server.Locate(err)
	}
	keep()
	// Serve must return before the resources of its handler are closed.
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(s.relay) }()
	stopped, err := s.options.Listening(ctx, addrs)
	if err != nil {
		return errors.Join(err, s.server.Shutdown(context.WithoutCancel(ctx)), <-failed)
	}
	if stopped != nil {
		defer stopped()
	}
	s.supervisor.started(ctx, addrs)
	var reloads sync.WaitGroup
	defer func() { // no reload while closing
		_ = waitFor(s.logger, "a load of the file that has begun",
			func() error { reloads.Wait(); return nil })
	}()
	running, stop := context.WithCancel(ctx)
	defer stop()
	requested := make(chan struct{}, 1)
	reloads.Go(func() { s.reopenOnRequest(running, requested) })
	reloads.Go(func() { s.reloadOnRequest(running, requested) })
	if ended, err := s.wait(ctx, failed); ended {
		return err
	}
	s.status.Drain()
	s.supervisor.stopping(ctx)
	if ended, err := s.delay(ctx, failed); ended {
		return err
	}
	s.logger.InfoContext(ctx,
		"shutting down: running requests may finish, a second signal ends them")
	if err := s.server.Shutdown(context.WithoutCancel(ctx)); err != nil {
		// This is a regular end. Requests that did not finish in time are only logged.
		s.logger.WarnContext(ctx, "not every request could finish", slog.Any("error", err))
	}
	return <-failed
}

// delay lets the server go on accepting for its drain delay, or until the operator hurries.
func (s *site) delay(ctx context.Context, failed <-chan error) (ended bool, err error) {
	delayer, ok := s.server.Server.(interface{ DrainDelay() time.Duration })
	if !ok || delayer.DrainDelay() <= 0 {
		return false, nil
	}
	s.logger.InfoContext(ctx, "not ready any more: requests are answered until the delay is over, "+
		"a second signal ends it", slog.Duration("delay", delayer.DrainDelay()))
	delayed, cancel := context.WithTimeout(context.WithoutCancel(ctx), delayer.DrainDelay())
	defer cancel()
	if s.options.Hurry != nil {
		defer s.options.Hurry(cancel)()
	}
	return s.wait(delayed, failed)
}

// wait waits until ctx is done or the server has failed, and notifies the watchdog meanwhile.
func (s *site) wait(ctx context.Context, failed <-chan error) (ended bool, err error) {
	watchdog, stop := s.supervisor.watchdog()
	defer stop()
	for {
		select {
		case err := <-failed:
			return true, err
		case <-ctx.Done():
			return false, nil
		case <-watchdog:
			s.supervisor.alive(ctx)
		}
	}
}

// close closes the pipelines and the server after the server has stopped.
func (s *site) close() error {
	if err := errors.Join(s.relay.close(), waitFor(s.logger, "the server's section",
		s.server.Close)); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	s.logger.Debug("everything is closed")
	return nil
}

// patience is the time after which the log names the part of the shutdown that is waited for.
const patience = 3 * time.Second

// waitFor calls end, and logs a message if it takes long.
func waitFor(logger *slog.Logger, what string, end func() error) error {
	slow := time.AfterFunc(patience,
		func() { logger.Warn("shutting down takes long", slog.String("waiting_for", what)) })
	defer slow.Stop()
	return end()
}

// URL returns the address of a server as a URL. An address of package server includes whether it
// uses TLS.
func URL(addr net.Addr) string {
	if a, ok := addr.(interface{ URL() string }); ok {
		return a.URL()
	}
	return "http://" + addr.String()
}
