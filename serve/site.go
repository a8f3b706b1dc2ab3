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
	"strings"

	"github.com/pasteline/pasteline/pipeline"
)

// serveOptions are the flags of serve CONFIG.
type serveOptions struct {
	config     string
	appName    string
	serverName string
	addrFile   string
	browser    bool
	verbose    bool
	quiet      bool
	global     map[string]string
}

func serveCommand() command {
	return command{
		args: "CONFIG [name=value ...]", summary: "serve the app that an .ini file describes",
		about: `
CONFIG is the path of the file. It may end with #name, the section to serve instead of main. name=value is a setting from
outside, as in [DEFAULT].

When it listens it prints where. On SIGINT or SIGTERM it stops accepting, lets running requests finish, closes what the apps
opened, and ends with the exit code 0; a second signal ends it at once.`,
		examples: []example{
			{"serve development.ini", "main of that file"},
			{"serve site.ini -n blog --server-name public", "other sections"},
			{"serve site.ini debug=false port=8080", "with settings from outside, as [DEFAULT] has them"},
			{"serve site.ini --addr-file /run/site.addr", "for programs that want to know the address"},
			{"serve -b development.ini", "and look at it"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o serveOptions
			nameFlag(flags, &o.appName, "the `NAME` of the app or pipeline to serve; main if not given")
			flags.StringVar(&o.serverName, "server-name", "", "the `NAME` of the server; main if not given")
			flags.StringVar(&o.addrFile, "addr-file", "", "a `FILE` to write the addresses to, one a line, when the server listens")
			flags.BoolVar(&o.browser, "b", false, "open a browser when the server listens")
			flags.BoolVar(&o.browser, "browser", false, "open a browser when the server listens")
			flags.BoolVar(&o.verbose, "v", false, "log more: the level is debug, whatever the file says")
			flags.BoolVar(&o.verbose, "verbose", false, "log more: the level is debug, whatever the file says")
			quietFlag(flags, &o.quiet, "log errors alone, and do not print where it listens")
			return o.run
		},
	}
}

func (o *serveOptions) run(ctx context.Context, c *call, args []string) (err error) {
	if o.config, o.global, err = settingsFromOutside(args); err != nil {
		return err
	}
	if o.verbose && o.quiet {
		return usagef("-v and -q exclude each other")
	}
	switch {
	case o.verbose:
		c.level = new(slog.LevelDebug)
	case o.quiet:
		c.level = new(slog.LevelError)
	}
	log, err := c.openLog(o.config, o.global)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // the last thing to be closed
	logger := log.Logger()
	site, err := c.load(ctx, o, logger)
	if err != nil {
		return err
	}
	return errors.Join(c.run(ctx, site, o, logger), site.close(logger))
}

// A site is a pipeline, and the server for it.
type site struct {
	pipeline *pipeline.Pipeline
	server   *pipeline.LoadedServer
}

// load makes both, and reports the faults of both.
func (c *call) load(ctx context.Context, options *serveOptions, logger *slog.Logger) (site, error) {
	load := c.loadOptions(options.global)
	load.Logger = logger
	var s site
	var serverErr, pipelineErr error
	load.Name = options.serverName
	s.server, serverErr = pipeline.LoadServer(ctx, options.config, load)
	load.Name = options.appName
	s.pipeline, pipelineErr = pipeline.Load(ctx, options.config, load)
	if err := pipeline.JoinErrors(serverErr, pipelineErr); err != nil {
		return s, errors.Join(err, s.close(logger))
	}
	return s, nil
}

// close closes what was loaded, the last loaded first.
func (s site) close(logger *slog.Logger) error {
	var errs []error
	if s.pipeline != nil {
		errs = append(errs, s.pipeline.Close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	logger.Debug("everything is closed")
	return nil
}

// run serves until ctx is done, or the server fails.
func (c *call) run(ctx context.Context, s site, options *serveOptions, logger *slog.Logger) error {
	addrs, err := s.server.Listen(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to end before it began
		}
		return locate(s.server.Tree(), err)
	}
	// Serve is to return before what it serves with is closed.
	failed := make(chan error, 1)
	go func() { failed <- s.server.Serve(s.pipeline) }()
	if err := c.announce(addrs, options); err != nil {
		return errors.Join(err, s.server.Shutdown(context.WithoutCancel(ctx)), <-failed)
	}
	if options.addrFile != "" {
		defer os.Remove(options.addrFile) //nolint:errcheck // it may be gone already
	}
	if options.browser {
		if err := openBrowser(ctx, addrs); err != nil {
			logger.WarnContext(ctx, "can't open a browser", slog.Any("error", err))
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	logger.InfoContext(ctx, "shutting down: running requests may finish, a second signal ends them")
	if err := s.server.Shutdown(context.WithoutCancel(ctx)); err != nil {
		// It was asked to end, and it ends. That some requests did not finish in time is for the log.
		logger.WarnContext(ctx, "not every request could finish", slog.Any("error", err))
	}
	return <-failed
}

// locate completes the errors of Listen: the settings that are to blame, where they are written.
func locate(server *pipeline.Node, err error) error {
	faults, ok := pipeline.JoinErrors(err).(pipeline.Errors) //nolint:errorlint // JoinErrors returns nothing else
	if !ok {
		return err
	}
	for i, fault := range faults {
		if fault.File != "" {
			continue
		}
		located := *fault
		located.File, located.Line, located.Section = server.Source.File, server.Source.Line, server.Source.Section
		if s, ok := server.LocalConf.Get(fault.Key); ok {
			located.File, located.Line, located.Section, located.Key = s.File, s.Line, s.Section, s.Written
			located.Value = s.Value
		}
		faults[i] = &located
	}
	return pipeline.JoinErrors(faults)
}

// announce prints where the server listens, and writes the file that programs read.
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

// urlOf returns an address as a URL: a server knows whether it speaks TLS there.
func urlOf(addr net.Addr) string {
	if a, ok := addr.(interface{ URL() string }); ok {
		return a.URL()
	}
	return "http://" + addr.String()
}

// localURL returns a URL that a browser on this machine can open, for an address that stands for all of its addresses.
func localURL(addr net.Addr) (string, bool) {
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return "", false
	}
	scheme, _, _ := strings.Cut(urlOf(addr), ":")
	return fmt.Sprintf("%s://localhost:%d", scheme, a.Port()), true
}

// writeFile writes a file that is never seen half written.
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
