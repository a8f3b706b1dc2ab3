package servetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/server"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// A Config configures a [Site]. Only File is required.
type Config struct {
	// File is the path of an .ini file; it may end with #name, the section to load instead of main.
	File string
	// Register functions are called with a registry that has all standard filters, apps and
	// databases, as by [serve.Main].
	Register []func(*pipeline.Registry)
	// Set overrides settings of the file. Each element is "section.key=value"; see
	// [pipeline.Options].
	Set []string
	// Logger receives the site's log records; nil is the log of the test.
	Logger *slog.Logger
}

// A Site is a pipeline that serves requests in the test process. It is safe for concurrent use.
type Site struct {
	// Handler is the pipeline. A panic is answered with the status 500, as by [server.Server].
	Handler http.Handler
	// Pipeline is the loaded pipeline, with its tree and warnings. The site closes it.
	Pipeline *pipeline.Pipeline
	// Dir is the folder that %(here)s stands for.
	Dir string

	t      testing.TB
	opener *storage.Opener
	client *http.Transport
}

// New loads an .ini file and serves its app until the test ends. If the file can't be loaded, the
// test fails at once, with every fault of the file. It must be called from the goroutine of the
// test.
func New(tb testing.TB, file string, register ...func(*pipeline.Registry)) *Site {
	tb.Helper()
	return Config{File: file, Register: register}.New(tb)
}

// New is the function [New] for a configuration.
func (c Config) New(tb testing.TB) *Site {
	tb.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	root, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal("servetest: ", err)
	}
	path, section, named := strings.Cut(c.File, "#")
	path, err = filepath.Abs(path)
	if err != nil {
		tb.Fatal("servetest: ", err)
	}
	uri := below(root, path)
	if named {
		uri += "#" + section
	}
	registry := c.registry()
	registry.Opener().Intercept(c.ownDatabases(tb.Context(), root))
	registry.Opener().SetLogger(c.Logger)
	p, err := pipeline.Load(tb.Context(), uri, pipeline.Options{
		Registry: registry, Set: c.Set, Logger: c.Logger,
		ReadFile: readBelow(root, filepath.VolumeName(path)),
	})
	if err != nil {
		tb.Fatal("servetest: ", strings.ReplaceAll(err.Error(), root, ""))
	}
	s := &Site{
		Handler: server.AnswerPanics(p, c.Logger), Pipeline: p,
		Dir: filepath.Dir(below(root, path)), t: tb, opener: registry.Opener(),
	}
	s.serve(c.Logger)
	return s
}

func (c Config) registry() *pipeline.Registry {
	r := pipeline.NewRegistry()
	serve.Standard(r)
	for _, register := range c.Register {
		register(r)
	}
	return r
}

// below maps a path to one in root. All files are mapped, so that one file can name another.
func below(root, path string) string {
	return filepath.Join(root, path[len(filepath.VolumeName(path)):])
}

// ownDatabases returns a function that opens only databases in root, in memory, or named by Set.
func (c Config) ownDatabases(
	ctx context.Context, root string,
) func(context.Context, *url.URL, engine.OpenFunc) (engine.Engine, error) {
	own := map[string]bool{}
	for _, setting := range c.Set {
		if _, value, _ := strings.Cut(setting, "="); strings.Contains(value, "://") {
			own[c.canonical(ctx, value)] = true
		}
	}
	prefix := "/" + strings.Trim(filepath.ToSlash(root), "/") + "/"
	return func(ctx context.Context, uri *url.URL, open engine.OpenFunc) (engine.Engine, error) {
		inRoot := uri.Scheme == "bolt" && strings.HasPrefix(uri.Path, prefix)
		if inRoot || uri.Scheme == "memory" || own[withoutQuery(uri)] {
			return open(ctx, uri)
		}
		return nil, errors.New("not a database of the test: use one in %(here)s or in memory, or " +
			"replace the setting with Config.Set")
	}
}

// canonical returns the URI, without its query, that an opener uses for a database.
func (c Config) canonical(ctx context.Context, uri string) (canonical string) {
	opener := c.registry().Opener()
	note := func(_ context.Context, uri *url.URL, _ engine.OpenFunc) (engine.Engine, error) {
		canonical = withoutQuery(uri)
		return nil, errors.ErrUnsupported
	}
	opener.Intercept(note)
	_, _ = opener.Open(ctx, uri) // an invalid URI is reported when the file is loaded
	return canonical
}

func withoutQuery(uri *url.URL) string {
	bare := *uri
	bare.RawQuery, bare.ForceQuery = "", false
	return bare.String()
}

// readBelow returns a function that reads, for a path in root, the file that [below] mapped to it.
// It also creates the folder of that path, for the databases in it.
func readBelow(root, volume string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		rel, err := filepath.Rel(root, name)
		if err != nil || !filepath.IsLocal(rel) {
			return os.ReadFile(name)
		}
		text, err := os.ReadFile(volume + string(filepath.Separator) + rel)
		if err != nil {
			return nil, err
		}
		return text, os.MkdirAll(filepath.Dir(name), 0o700)
	}
}

// closeAfter is how long running requests may take to finish when the test has ended.
const closeAfter = 10 * time.Second

// serve starts the server, and closes it and the pipeline when the test ends.
func (s *Site) serve(logger *slog.Logger) {
	pipes := newPipes()
	s.client = &http.Transport{DialContext: pipes.dial, DialTLSContext: pipes.dial}
	srv := &http.Server{ //nolint:gosec // its only clients are those of the test
		Handler: s.Handler, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(pipes) }()
	s.t.Cleanup(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), closeAfter)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			s.t.Errorf("servetest: a request is still running %v after the end of the test: %v",
				closeAfter, errors.Join(err, srv.Close()))
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("servetest: %v", err)
		}
		if err := s.Pipeline.Close(); err != nil {
			s.t.Errorf("servetest: %v", err)
		}
	})
}

// DB opens a database of the site by its URI as in the file: %(here)s stands for [Site.Dir]. It is
// closed when the test ends. If it can't be opened, the test fails at once.
func (s *Site) DB(uri string) *storage.DB {
	s.t.Helper()
	uri = strings.ReplaceAll(uri, "%(here)s", filepath.ToSlash(s.Dir))
	db, err := s.opener.Open(s.t.Context(), uri)
	if err != nil {
		s.t.Fatal("servetest: ", err)
	}
	s.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			s.t.Error(fmt.Errorf("servetest: %w", err))
		}
	})
	return db
}
