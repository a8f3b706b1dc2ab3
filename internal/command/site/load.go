package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// loaded has the objects that a file describes.
type loaded struct {
	pipeline *pipeline.Pipeline
	server   *pipeline.LoadedServer
	keep     func() // called when the load is used; without it, new databases are removed by close
}

// load creates them, with a new registry, and returns all errors.
func (s *site) load(ctx context.Context) (l loaded, err error) {
	s.registry, s.sources = s.registry.Renew(), newSources()
	defer s.sources.forget()
	s.options.Register(s.registry)
	status.Register(s.registry, s.status)
	s.registry.Opener().SetLogger(s.logger)
	l.keep = s.registry.Opener().Try()
	complete := false
	defer func() { // also when a factory panics
		if !complete {
			err = errors.Join(err, l.close())
			l = loaded{}
		}
	}()
	options := pipeline.Options{
		Global: s.options.Global, Set: s.options.Set, Registry: s.registry, RelativeTo: ".",
		Logger: s.logger, ReadFile: s.sources.ReadFile,
	}
	var serverErr, pipelineErr error
	options.Name = s.options.Server
	l.server, serverErr = pipeline.LoadServer(ctx, s.options.Config, options)
	options.Name = s.options.App
	l.pipeline, pipelineErr = pipeline.Load(ctx, s.options.Config, options)
	if err = tree.JoinErrors(serverErr, pipelineErr); err == nil {
		err = s.registry.Opener().CheckTwoPhase()
	}
	if complete = err == nil; complete && s.options.Warnings != nil {
		for _, w := range s.options.Warnings(l.server, l.pipeline) {
			s.logger.WarnContext(ctx, "check the configuration", slog.String("warning", w.String()))
		}
	}
	return l, err
}

// loadAgain is load for a running process, which must survive any content of the file. It also
// checks the settings of the log.
func (s *site) loadAgain(ctx context.Context) (next loaded, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{p, string(debug.Stack())}
		}
	}()
	next, err = s.load(ctx)
	if logErr := s.options.Log.Check(); logErr != nil {
		return loaded{}, errors.Join(err, logErr, next.close())
	}
	return next, err
}

// close closes the objects in reverse order.
func (l loaded) close() error {
	var errs []error
	if l.pipeline != nil {
		errs = append(errs, l.pipeline.Close())
	}
	if l.server != nil {
		errs = append(errs, l.server.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}

// A panicError is a panic of a factory.
type panicError struct {
	value any
	stack string
}

func (p *panicError) Error() string {
	return redact.Text(fmt.Sprintf("a factory panicked: %v", p.value))
}
