package sites

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
)

// Ini is the site as its users write it. A text that begins with "bolt://" or "postgres://" takes the place of %s.
const Ini = `
[app:site]
use = egg:bench#site
database = %s

[filter:browserid]
use = egg:repoze.browserid#browserid
secret_key = 59f4ef1f1a3d2c0b7a6859483726150493827160a5b4c3d2e1f00f1e2d3c4b5a

[pipeline:main]
pipeline =
       browserid
       egg:repoze.retry#retry
       egg:repoze.tm2#tm
       site

[server:main]
use = egg:Paste#http
host = 127.0.0.1
port = 0
`

// A PastelineSite is ours, with access to what is below it.
type PastelineSite struct {
	*Site
	DB       *storage.DB
	Sessions *session.Manager
}

// appSettings are the keys of a section that uses the app.
type appSettings struct {
	Database string        `ini:"database" help:"where sessions are kept; none: the site has only the pages that need no session"`
	Timeout  time.Duration `ini:"timeout" default:"1200" min:"1ms" help:"a session ends when it has not been used for so long"`
	Period   time.Duration `ini:"period" default:"20" min:"1ms" help:"a session is marked as used at most once in so long"`
}

// Register adds the site's app to r as "egg:bench#site".
func Register(r *pipeline.Registry) { register(r, func(*storage.DB, *session.Manager) {}) }

func register(r *pipeline.Registry, opened func(*storage.DB, *session.Manager)) {
	pipeline.App(r, "egg:bench#site", func(b *pipeline.Build, s appSettings) (http.Handler, error) {
		if s.Database == "" {
			return routes(nil), nil
		}
		db, err := b.Storage(s.Database)
		if err != nil {
			return nil, &pipeline.Error{Key: "database", Err: err}
		}
		sessions, err := session.NewManager(db, session.Config{Timeout: s.Timeout, Period: s.Period, Logger: b.Logger()})
		if err != nil {
			return nil, err
		}
		b.OnClose(sessions.StartSweeper(context.Background()).Close)
		b.RequireSessions(sessions)
		opened(db, sessions)
		return routes(pastelineCounter{sessions}), nil
	})
}

// OpenPasteline opens the site with its sessions in the database that a URI names.
func OpenPasteline(ctx context.Context, dir, database string) (*PastelineSite, error) {
	return OpenPastelineIni(ctx, dir, fmt.Sprintf(Ini, database))
}

// OpenPastelineIni opens the site that an .ini text describes, which may be [Ini] with other settings.
func OpenPastelineIni(ctx context.Context, dir, ini string) (*PastelineSite, error) {
	site := &PastelineSite{Site: &Site{}}
	p, err := load(ctx, dir, ini, func(r *pipeline.Registry) { //nolint:contextcheck // the sweeper outlives ctx
		register(r, func(db *storage.DB, sessions *session.Manager) { site.DB, site.Sessions = db, sessions })
	})
	if err != nil {
		return nil, err
	}
	site.Handler = p.Handler
	site.onClose(p.Close)
	return site, nil
}

// Compose loads an .ini text with the standard set, and whatever else is registered. Whoever calls it closes the pipeline.
func Compose(ctx context.Context, dir, ini string, more ...func(*pipeline.Registry)) (*pipeline.Pipeline, error) {
	return load(ctx, dir, ini, append(more, Register)...)
}

func load(ctx context.Context, dir, ini string, more ...func(*pipeline.Registry)) (*pipeline.Pipeline, error) {
	path := filepath.Join(dir, "site.ini")
	if err := os.WriteFile(path, []byte(ini), 0o600); err != nil {
		return nil, err
	}
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	for _, f := range more {
		f(registry)
	}
	return pipeline.Load(ctx, path, pipeline.Options{Registry: registry})
}

func openPastelineSite(ctx context.Context, s Settings, site *Site) error {
	opened, err := OpenPasteline(ctx, s.Dir, "bolt://"+filepath.Join(s.Dir, "pasteline.db"))
	if err != nil {
		return err
	}
	*site = *opened.Site
	return nil
}

func openPastelinePostgres(ctx context.Context, s Settings, site *Site) error {
	// The peers' pools have as many connections.
	opened, err := OpenPasteline(ctx, s.Dir, fmt.Sprintf("%s&pool_max_conns=%d", s.Postgres, poolSize))
	if err != nil {
		return err
	}
	*site = *opened.Site
	return nil
}

// pastelineCounter counts in our sessions.
type pastelineCounter struct{ sessions *session.Manager }

func (c pastelineCounter) get(r *http.Request) (*session.Session, int, error) {
	s, err := c.sessions.Get(r.Context())
	if err != nil {
		return nil, 0, err
	}
	n, _, err := session.Get[int](s, counterKey)
	return s, n, err
}

func (c pastelineCounter) Read(r *http.Request) (int, error) {
	_, n, err := c.get(r)
	return n, err
}

func (c pastelineCounter) Incr(_ http.ResponseWriter, r *http.Request) (int, error) {
	s, n, err := c.get(r)
	if err != nil {
		return 0, err
	}
	return n + 1, s.Set(counterKey, n+1)
}
