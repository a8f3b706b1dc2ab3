package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// serveOptions are the flags of serve CONFIG.
type serveOptions struct {
	outside
	config     string
	appName    string
	serverName string
	addrFile   string
	browser    bool
	verbose    bool
	quiet      bool
	reload     bool
	interval   time.Duration
	grace      time.Duration
}

func serveCommand() command {
	return command{
		args: "CONFIG [name=value ...]", summary: "serve the app that an .ini file describes",
		about: `
CONFIG is the path of the file. It may end with #name, the section to serve instead of main.
name=value is a setting from outside, as in [DEFAULT]: it is there for %(name)s and for "get", and
a line of that name in a section does not count then. --set SECTION.KEY=VALUE replaces that line.

When it listens it prints where. On SIGINT or SIGTERM it stops accepting, lets running requests
finish, closes what the apps opened, and ends with the exit code 0; a second signal ends it at
once.

On SIGHUP it loads the file and everything that it includes anew. New requests go to the new
pipeline; those that run finish in the old one, and a stream that does not is ended after
--reload-grace. If anything is wrong with the file, the log says what, and the old pipeline goes
on. With --reload, a change of one of these files does the same, or a touch. What a [server:]
section says counts from the next start on, apart from the files of a certificate; the log names
what has changed. Go code is compiled: a change of it needs a rebuild and a restart. A terminal
that is closed ends the server.`,
		examples: []example{
			{"serve development.ini", "main of that file"},
			{"serve site.ini -n blog --server-name public", "other sections"},
			{"serve site.ini debug=false", "with a setting from outside, as [DEFAULT] has them"},
			{"serve site.ini --set server:main.port=80", "with a setting of a section replaced"},
			{
				"serve site.ini --addr-file /run/site.addr",
				"for programs that want to know the address",
			},
			{"serve -b development.ini", "and look at it"},
			{"serve --reload development.ini", "while you work on the file"},
			{`kill -HUP "$(pidof serve)"`, "a server that runs loads its file anew"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o serveOptions
			nameFlag(flags, &o.appName,
				"the `NAME` of the app or pipeline to serve; main if not given")
			flags.StringVar(&o.serverName, "server-name", "",
				"the `NAME` of the server; main if not given")
			flags.StringVar(&o.addrFile, "addr-file", "",
				"a `FILE` to write the addresses to, one a line, when the server listens")
			flags.BoolVar(&o.browser, "b", false, "open a browser when the server listens")
			flags.BoolVar(&o.browser, "browser", false, "open a browser when the server listens")
			flags.BoolVar(&o.verbose, "v", false,
				"log more: the level is debug, whatever the file says")
			flags.BoolVar(&o.verbose, "verbose", false,
				"log more: the level is debug, whatever the file says")
			flags.BoolVar(&o.reload, "reload", false, "load the file anew when it, a file that "+
				"it includes, or a file with a secret changes")
			o.setFlag(flags)
			durationFlag(flags, &o.interval, "reload-interval", time.Second,
				"how often --reload looks, as `TIME` such as 500ms or 2; 1s if not given")
			durationFlag(flags, &o.grace, "reload-grace", time.Minute, "how long requests may go "+
				"on after a reload, as `TIME`; then their context is cancelled; 1m if not given")
			quietFlag(flags, &o.quiet, "log errors alone, and do not print where it listens")
			return o.run
		},
	}
}

func (o *serveOptions) run(ctx context.Context, c *call, args []string) (err error) {
	if o.config, err = o.arguments(args); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case o.verbose:
		c.level = new(slog.LevelDebug)
	case o.quiet:
		c.level = new(slog.LevelError)
	}
	asked := c.reloads() // before the start, so that an early signal does not end the process
	log, err := c.openLog(o.config, o.outside)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // closed last
	s := &site{
		call: c, options: o, log: log, logger: log.Logger(),
		registry: pipeline.NewRegistry(),
	}
	first, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.supervisor = newSupervisor(ctx, o.config, s.logger)
	s.server, s.relay = first.server, newRelay(first.pipeline, o.grace, s.logger)
	return errors.Join(s.run(ctx, asked, first.keep), s.close())
}

// durationFlag defines a flag for a positive duration: a number of seconds, or one with its unit.
func durationFlag(flags *flag.FlagSet, d *time.Duration, name string, value time.Duration,
	text string,
) {
	*d = value
	flags.Func(name, text, func(text string) error {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			text += "s"
		}
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed <= 0 {
			return errors.New("want a time above 0, such as 500ms, 2s or 2")
		}
		*d = parsed
		return nil
	})
}

// check returns an error for flags that exclude each other.
func (o *serveOptions) check() error {
	if o.verbose && o.quiet {
		return usagef("-v and -q exclude each other")
	}
	if _, isFile := configPath(o.config); o.reload && !isFile {
		return usagef("--reload watches files, and %s is none", o.config)
	}
	return nil
}

// A site is a server with its current pipeline.
type site struct {
	call     *call
	options  *serveOptions
	log      *logs
	logger   *slog.Logger
	registry *pipeline.Registry // of the last load
	read     *reading           // of the last load, also if it failed
	server   *pipeline.LoadedServer
	relay    *relay
	recovery *recovery.Worker

	supervisor *supervisor
}

// loaded has the objects that a file describes.
type loaded struct {
	pipeline *pipeline.Pipeline
	server   *pipeline.LoadedServer
	keep     func() // called when the load is used; without it, new databases are removed by close
}

// load creates them, with a new registry, and returns all errors.
func (s *site) load(ctx context.Context) (l loaded, err error) {
	s.registry, s.read = s.registry.Renew(), newReading()
	defer s.read.over()
	fill(s.registry, s.call.register)
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
		Global: s.options.global, Set: s.options.set, Registry: s.registry, RelativeTo: ".",
		Logger: s.logger, ReadFile: s.read.ReadFile,
	}
	var serverErr, pipelineErr error
	options.Name = s.options.serverName
	l.server, serverErr = pipeline.LoadServer(ctx, s.options.config, options)
	options.Name = s.options.appName
	l.pipeline, pipelineErr = pipeline.Load(ctx, s.options.config, options)
	if err = pipeline.JoinErrors(serverErr, pipelineErr); err == nil {
		err = s.registry.Opener().CheckTwoPhase()
	}
	if complete = err == nil; complete {
		for _, w := range s.options.unused(l.server, l.pipeline) {
			s.logger.WarnContext(ctx, "check the configuration", slog.String("warning", w.String()))
		}
	}
	return l, err
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

// close closes the pipelines and the server after the server has ended.
func (s *site) close() error {
	if err := errors.Join(s.relay.close(), waitFor(s.logger, "the server's section",
		s.server.Close)); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	s.logger.Debug("everything is closed")
	return nil
}

// run serves until ctx is done or the server fails, and reloads on request. It calls started when
// the server listens.
func (s *site) run(ctx context.Context, asked <-chan struct{}, started func()) error {
	defer runtime.KeepAlive(headroom())
	s.recovery = s.startRecovery(ctx)
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
	started()
	// Serve must return before the resources of its handler are closed.
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(s.relay) }()
	if err := s.call.announce(addrs, s.options); err != nil {
		return errors.Join(err, s.server.Shutdown(context.WithoutCancel(ctx)), <-failed)
	}
	if s.options.addrFile != "" {
		defer os.Remove(s.options.addrFile) //nolint:errcheck // it may be removed already
	}
	if s.options.browser {
		if err := openBrowser(ctx, addrs); err != nil {
			s.logger.WarnContext(ctx, "can't open a browser", slog.Any("error", err))
		}
	}
	s.supervisor.started(ctx, addrs)
	var reloads sync.WaitGroup
	defer func() { // no reload while closing
		_ = waitFor(s.logger, "a load of the file that has begun",
			func() error { reloads.Wait(); return nil })
	}()
	running, stop := context.WithCancel(ctx)
	defer stop()
	next := make(chan struct{}, 1)
	reloads.Go(func() { s.rotate(running, asked, next) })
	reloads.Go(func() { s.reloads(running, next) })
	if ended, err := s.watch(ctx, failed); ended {
		return err
	}
	s.supervisor.end(ctx)
	s.logger.InfoContext(ctx,
		"shutting down: running requests may finish, a second signal ends them")
	if err := s.server.Shutdown(context.WithoutCancel(ctx)); err != nil {
		// This is a regular end. Requests that did not finish in time are only logged.
		s.logger.WarnContext(ctx, "not every request could finish", slog.Any("error", err))
	}
	return <-failed
}

// watch waits until ctx is done or the server has failed, and notifies the watchdog meanwhile.
func (s *site) watch(ctx context.Context, failed <-chan error) (ended bool, err error) {
	alive, stop := s.supervisor.alive()
	defer stop()
	for {
		select {
		case err := <-failed:
			return true, err
		case <-ctx.Done():
			return false, nil
		case <-alive:
			s.supervisor.signOfLife(ctx)
		}
	}
}

// announce prints the addresses of the server, and writes the address file for programs.
func (c *call) announce(addrs []net.Addr, options *serveOptions) error {
	out := c.Out
	if options.quiet {
		out = io.Discard
	}
	var list strings.Builder
	for _, addr := range addrs {
		line := "serving on " + urlOf(addr)
		if local, ok := localURL(addr); ok {
			line += ", here: " + local
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
		list.WriteString(addr.String() + "\n")
	}
	if options.addrFile == "" {
		return nil
	}
	return writeFile(options.addrFile, list.String())
}

// urlOf returns an address as a URL. An address of package server includes whether it uses TLS.
func urlOf(addr net.Addr) string {
	if a, ok := addr.(interface{ URL() string }); ok {
		return a.URL()
	}
	return "http://" + addr.String()
}

// localURL returns a URL that a local browser can open, for a wildcard address.
func localURL(addr net.Addr) (string, bool) {
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return "", false
	}
	scheme, _, _ := strings.Cut(urlOf(addr), ":")
	return fmt.Sprintf("%s://localhost:%d", scheme, a.Port()), true
}

// writeFile writes a file atomically.
func writeFile(name, content string) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("--addr-file: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("--addr-file: %w", err)
	}
	return nil
}
