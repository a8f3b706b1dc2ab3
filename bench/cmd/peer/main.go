// Command peer serves one of the sites that Pasteline is compared with, with a plain server of
// net/http and the GC ballast that serve has.
//
//	peer [-addr 127.0.0.1:8080] [-dir FOLDER] [-postgres URI] SITE
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	var settings sites.Settings
	flag.StringVar(&settings.Dir, "dir", ".", "a folder for the site's files")
	flag.StringVar(&settings.Postgres, "postgres", "",
		"the URI of a database, for the sites that need one")
	flag.Usage = func() {
		names := strings.Join(sites.Names(), ", ")
		_, _ = fmt.Fprintf(flag.CommandLine.Output(),
			"usage: peer [flags] SITE\n\nSITE is one of %s.\n\n", names)
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, flag.Arg(0), *addr, settings)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name, addr string, settings sites.Settings) error {
	ballast := sites.Ballast()
	defer runtime.KeepAlive(ballast)
	site, err := sites.Open(ctx, name, settings)
	if err != nil {
		return err
	}
	server := http.Server{Addr: addr, Handler: site, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return errors.Join(err, site.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(server.Shutdown(ctx), site.Close())
}
