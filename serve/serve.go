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
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/command/site"
	"github.com/pasteline/pasteline/internal/command/watch"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
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
	watch      bool
	build      string
	interval   time.Duration
	grace      time.Duration
}

func serveCommand() command {
	return command{
		args: "CONFIG [name=value ...]", summary: "serve the app that an .ini file describes",
		about: `
CONFIG is the path of the file, perhaps followed by #name, the section to serve instead of main.
name=value is a setting as in [DEFAULT]: it can be used as %(name)s and with "get", and takes
precedence over a line with that name in a section. --set SECTION.KEY=VALUE replaces one line.

The addresses are printed when the server listens. On SIGINT or SIGTERM it stops accepting
connections, lets running requests finish, closes the resources of the apps, and exits with code
0; a second signal ends it at once. With drain_delay in the [server:] section it goes on accepting
for that time first, while egg:pasteline#health says that it is not ready; a second signal ends
the delay.

On SIGHUP it reloads the file and its includes. New requests go to the new pipeline; running
requests finish in the old one, and are cancelled after --reload-grace. If the file has errors,
they are logged, and the old pipeline stays. With --reload, a change of one of these files does
the same. Changes in the [server:] section need a restart, apart from the files of a certificate;
the log names them. Closing the terminal ends the server.

With --watch, a program of your own is built with go build, run, and built and restarted when its Go
files change; the command go must be installed. Changes of the .ini file are reloaded as with
--reload. While a build fails, its errors are printed, and the program of before keeps running. Embedded
files are not watched: with package assets, templates and static files show changes without a
restart. On Windows a restart does not wait for running requests.`,
		examples: []example{
			{"serve development.ini", "the app main of the file"},
			{"serve site.ini -n blog --server-name public", "another app and another server"},
			{"serve site.ini debug=false", "with a setting as in [DEFAULT]"},
			{"serve site.ini --set server:main.port=80", "with a replaced setting"},
			{
				"serve site.ini --addr-file /run/site.addr",
				"for programs that need the address",
			},
			{"serve -b development.ini", "and open it in a browser"},
			{"serve --reload development.ini", "reload when the file changes"},
			{
				"go run . --watch development.ini",
				"in the folder of a program: rebuild it when its Go files change",
			},
			{
				"serve --watch --build ./cmd/shop development.ini",
				"the same, for a package in another folder",
			},
			{`kill -HUP "$(pidof serve)"`, "make a running server reload its file"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o serveOptions
			nameFlag(flags, &o.appName,
				"`NAME` of the app or pipeline (default main)")
			flags.StringVar(&o.serverName, "server-name", "",
				"`NAME` of the server (default main)")
			flags.StringVar(&o.addrFile, "addr-file", "",
				"write the addresses to `FILE`, one a line, when the server listens")
			flags.BoolVar(&o.browser, "b", false, "open a browser when the server listens")
			flags.BoolVar(&o.browser, "browser", false, "open a browser when the server listens")
			flags.BoolVar(&o.verbose, "v", false,
				"log at level debug, whatever the file says")
			flags.BoolVar(&o.verbose, "verbose", false,
				"log at level debug, whatever the file says")
			flags.BoolVar(&o.reload, "reload", false, "reload the file when it, an include, or "+
				"a file with a secret changes")
			flags.BoolVar(&o.watch, "watch", false,
				"build and run the program, and restart it when its Go files change")
			flags.StringVar(&o.build, "build", "",
				"`PACKAGE` that --watch builds (default: that of the working folder)")
			o.setFlag(flags)
			durationFlag(flags, &o.interval, "reload-interval", time.Second,
				"how often --reload and --watch look, as `TIME` such as 500ms or 2 (default 1s)")
			durationFlag(flags, &o.grace, "reload-grace", time.Minute, "how long requests may run "+
				"on after a reload before they are cancelled, as `TIME` (default 1m)")
			quietFlag(flags, &o.quiet, "log errors only, and do not print the addresses")
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
	switch started := watch.Started(); {
	case o.watch && started == 0:
		return watch.Run(ctx, watch.Options{
			Package: o.build, Name: c.program, Args: c.args, Stdout: c.Out,
			Stderr:   c.screen.Unwrap(), // a terminal stays one for the program
			Interval: o.interval, Reload: c.reloads(),
		})
	case o.watch:
		_, isFile := configPath(o.config)
		o.reload = isFile
		o.browser = o.browser && started == 1
	}
	switch {
	case o.verbose:
		c.level = new(slog.LevelDebug)
	case o.quiet:
		c.level = new(slog.LevelError)
	}
	reload := c.reloads() // before the start, so that an early signal does not end the process
	log, err := c.openLog(o.config, o.outside)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // closed last
	loaded := c.screen.Start(log.Logger(), "opening the databases of "+o.config)
	defer loaded.Stop()
	return site.Run(ctx, site.Options{
		Config: o.config, App: o.appName, Server: o.serverName, Global: o.global, Set: o.set,
		Register: func(r *pipeline.Registry) { fill(r, c.register) },
		Log:      log,
		Warnings: func(server *pipeline.LoadedServer, p *pipeline.Pipeline) []tree.Warning {
			return o.unused(server.Tree(), p.Tree())
		},
		Listening: func(ctx context.Context, addrs []net.Addr) (stopped func(), err error) {
			loaded.Stop()
			return o.announce(ctx, c, addrs, log.Logger())
		},
		Hurry: c.hurry, Reload: reload, Watch: o.reload, Interval: o.interval, Grace: o.grace,
	})
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
	if o.build != "" && !o.watch {
		return usagef("--build is for --watch")
	}
	if _, isFile := configPath(o.config); o.reload && !isFile {
		return usagef("--reload needs a file, not %s", o.config)
	}
	return nil
}

// announce prints the addresses of the server, writes the address file for programs, and opens the
// browser. The returned function removes the file.
func (o *serveOptions) announce(ctx context.Context, c *call, addrs []net.Addr,
	logger *slog.Logger,
) (stopped func(), err error) {
	out := c.Out
	if o.quiet {
		out = io.Discard
	}
	var list strings.Builder
	for _, addr := range addrs {
		line := "serving on " + site.URL(addr)
		if local, ok := localURL(addr); ok {
			line += ", here: " + local
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return nil, err
		}
		list.WriteString(addr.String() + "\n")
	}
	if o.addrFile != "" {
		if err := writeFile(o.addrFile, []byte(list.String()), 0o644); err != nil {
			return nil, fmt.Errorf("--addr-file: %w", err)
		}
		stopped = func() { _ = os.Remove(o.addrFile) } // it may be removed already
	}
	if o.browser {
		if err := openBrowser(ctx, addrs); err != nil {
			logger.WarnContext(ctx, "can't open a browser", slog.Any("error", err))
		}
	}
	return stopped, nil
}

// localURL returns a URL that a local browser can open, for a wildcard address.
func localURL(addr net.Addr) (string, bool) {
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil || !a.Addr().IsUnspecified() {
		return "", false
	}
	scheme, _, _ := strings.Cut(site.URL(addr), ":")
	return fmt.Sprintf("%s://localhost:%d", scheme, a.Port()), true
}
