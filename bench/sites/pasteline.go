package sites

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
)

// filters are the sections that stand around the app, with their default settings.
const filters = `
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

// Ini returns the site as its users write it, with its sessions in the database that a URI names
// ("bolt://..." or "postgres://..."); without sessions if the URI is empty. Settings are further
// lines of the app's section, such as "period = 1".
func Ini(database string, settings ...string) string {
	if database != "" {
		settings = append(settings, "database = "+database)
	}
	return "[app:site]\nuse = egg:bench#site\n" + strings.Join(settings, "\n") + "\n" + filters
}

// FilesIni returns a site that serves the files of a folder: behind retry and tm, or bare.
func FilesIni(root string, bare bool) string {
	filters := "egg:repoze.retry#retry egg:repoze.tm2#tm "
	if bare {
		filters = ""
	}
	return fmt.Sprintf(`
[app:files]
use = egg:Paste#static
document_root = %s

[pipeline:main]
pipeline = %sfiles

[server:main]
use = egg:Paste#http
host = 127.0.0.1
port = 0
`, root, filters)
}

// A PastelineSite is the site of Pasteline, with access to its database and its sessions.
type PastelineSite struct {
	*Site
	DB       *storage.DB
	Sessions *session.Manager
}

// appSettings are the keys of a section that uses the app.
type appSettings struct {
	Database string         `ini:"database" help:"URI of the sessions"`
	Timeout  time.Duration  `ini:"timeout" default:"1200" min:"1ms" help:"life of a session"`
	Period   time.Duration  `ini:"period" default:"20" min:"1ms" help:"length of a time slice"`
	MaxSize  pipeline.Bytes `ini:"max_size" default:"64KB" help:"the largest size of a session"`
}

// Register adds the site's app to r as "egg:bench#site".
func Register(r *pipeline.Registry) { register(r, func(*storage.DB, *session.Manager) {}) }

func register(r *pipeline.Registry, opened func(*storage.DB, *session.Manager)) {
	newApp := func(b *pipeline.Build, s appSettings) (http.Handler, error) {
		if s.Database == "" {
			return routes(nil), nil
		}
		db, err := b.Storage(s.Database)
		if err != nil {
			return nil, &pipeline.Error{Key: "database", Err: err}
		}
		sessions, err := session.NewManager(db, session.Config{
			Timeout: s.Timeout, Period: s.Period, MaxSize: int(s.MaxSize), Logger: b.Logger(),
		})
		if err != nil {
			return nil, err
		}
		b.OnClose(sessions.StartSweeper(context.Background()).Close)
		b.RequireSessions(sessions)
		opened(db, sessions)
		return routes(pastelineCounter{sessions}), nil
	}
	pipeline.App(r, "egg:bench#site", newApp)
}

// OpenPastelineIni opens the site that an .ini text describes, such as that of [Ini].
func OpenPastelineIni(ctx context.Context, dir, ini string) (*PastelineSite, error) {
	site := &PastelineSite{Site: &Site{}}
	opened := func(db *storage.DB, m *session.Manager) { site.DB, site.Sessions = db, m }
	add := func(r *pipeline.Registry) { register(r, opened) } // the sweeper outlives ctx
	p, err := loadIni(ctx, dir, ini, add)                     //nolint:contextcheck // see above
	if err != nil {
		return nil, err
	}
	site.Handler = p.Handler
	site.onClose(p.Close)
	return site, nil
}

// Compose loads an .ini text with the standard apps and filters, and those that more registers. The
// caller closes the pipeline.
func Compose(ctx context.Context, dir, ini string,
	more ...func(*pipeline.Registry)) (*pipeline.Pipeline, error) {
	return loadIni(ctx, dir, ini, append(more, Register)...)
}

func loadIni(ctx context.Context, dir, ini string,
	more ...func(*pipeline.Registry)) (*pipeline.Pipeline, error) {
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
	return openPasteline(ctx, s, site, "bolt://"+filepath.Join(s.Dir, DataFile))
}

func openPastelinePostgres(ctx context.Context, s Settings, site *Site) error {
	return openPasteline(ctx, s, site, PoolURI(s.Postgres))
}

func openPasteline(ctx context.Context, s Settings, site *Site, database string) error {
	opened, err := OpenPastelineIni(ctx, s.Dir, Ini(database, s.Ini...))
	if err != nil {
		return err
	}
	*site = *opened.Site
	return nil
}

// PoolURI adds to the URI of a PostgreSQL database the size of the pool, which is that of the other
// sites.
func PoolURI(uri string) string { return fmt.Sprintf("%s&pool_max_conns=%d", uri, poolSize) }

// pastelineCounter keeps its values in the sessions of Pasteline.
type pastelineCounter struct{ sessions *session.Manager }

func (c pastelineCounter) Value(r *http.Request, key string) (string, error) {
	s, err := c.sessions.Get(r.Context())
	if err != nil {
		return "", err
	}
	value, _, err := session.Get[string](s, key)
	return value, err
}

func (c pastelineCounter) SetValue(r *http.Request, key, value string) error {
	s, err := c.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	return s.Set(key, value)
}

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
