package myapp

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/internal/request/stopping"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// Register adds the app to r as "egg:myapp#app".
func Register(r *pipeline.Registry) {
	pipeline.App(r, "egg:myapp#app", func(b *pipeline.Build, s settings) (http.Handler, error) {
		return newApp(b, s, r)
	})
}

// settings declares the settings of an .ini section that uses the app.
type settings struct {
	ZodbURI string `ini:"zodb_uri" required:"true" help:"the database, such as bolt://%(here)s/data.db"`

	Timeout time.Duration `ini:"timeout" default:"1200" min:"1ms" help:"a session ends when it has not been used for this long"`
	Period  time.Duration `ini:"period" default:"20" min:"1ms" help:"a session is marked as used at most once in this time, so that reading costs no write"`

	ReloadTemplates    bool   `ini:"reload_templates" default:"false" help:"read the templates again for every request, for editing them"`
	TemplateDir        string `ini:"template_dir" help:"folder from which reload_templates reads; if empty, the source folder of the app"`
	DebugAuthorization bool   `ini:"debug_authorization" default:"false" help:"log the reason when a form is refused"`
	DebugNotfound      bool   `ini:"debug_notfound" default:"false" help:"list the routes on the page for unknown addresses"`
}

// An app is the application. Its fields don't change while it serves; all state is in the database.
type app struct {
	db       *storage.DB
	sessions *session.Manager
	pages    *pages
	servers  stopping.Servers
	races    *races         // nil without debug
	frame    *picture.Frame // of the app in the pipeline; set by OnLoad, as is pipeline
	pipeline *picture.Frame // the outermost that the page shows
	settings settings
	logger   *slog.Logger
}

func newApp(b *pipeline.Build, s settings, r *pipeline.Registry) (http.Handler, error) {
	db, err := b.Storage(s.ZodbURI)
	if err != nil {
		return nil, &pipeline.Error{Key: "zodb_uri", Err: err}
	}
	sessions, err := session.NewManager(db, session.Config{
		Timeout: s.Timeout,
		Period:  s.Period,
		Logger:  b.Logger(),
	})
	if err != nil {
		return nil, err
	}
	pages, err := newPages(b, s)
	if err != nil {
		return nil, err
	}
	b.OnClose(sessions.StartSweeper(b.Context()).Close)
	b.RequireSessions(sessions)
	a := &app{db: db, sessions: sessions, pages: pages, settings: s, logger: b.Logger()}
	if b.Debug() {
		a.races = new(races)
		b.Observe(&a.races.listener)
	}
	section := b.Name()
	b.OnLoad(func(c pipeline.Composed) {
		frames := picture.NewFrames(c.Tree, r)
		a.frame = frameOf(frames, section)
		a.pipeline = a.frame.Path() // the names of other apps are not for the public
		if a.races != nil {
			a.pipeline = frames[0]
			a.races.listener.Hide = c.Tree.Conceal
		}
	})
	routes := a.routes()
	b.Routes(routes)
	// Refuses forms of other sites, which browsers mark as such. Requests of other programs have no
	// such mark and are accepted.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(handler.Func(a.crossOrigin))
	return protection.Handler(routes), nil
}

func (a *app) routes() chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.Get("/hello", handler.Func(hello))
	r.Get("/static/{name}", handler.Func(a.pages.static))
	r.NotFound(handler.Func(a.notFound(r)).ServeHTTP)
	r.MethodNotAllowed(handler.Func(a.methodNotAllowed(r)).ServeHTTP)

	r.Get("/", handler.Func(a.home))
	r.Post("/guestbook", handler.Func(a.sign))
	r.Post("/forget", handler.Func(a.forget))
	r.Get("/read", handler.Func(a.read))
	r.Post("/incr", handler.Func(a.incr))
	r.Post("/fail", handler.Func(a.fail))
	r.Get("/shared", handler.Func(a.readShared))
	r.Post("/shared/incr", handler.Func(a.incrShared))
	r.Get("/events", handler.Func(a.events))
	r.Post("/body", handler.Func(a.body))
	if a.races != nil {
		r.Get("/races/{name}", handler.Func(a.race))
	}
	return r
}

// session returns the session of the browser that sent r, in r's transaction. It corresponds to
// get_session in the tutorial of the Python packages.
func (a *app) session(r *http.Request) (*session.Session, error) {
	return a.sessions.Get(r.Context())
}

// attempt returns the number of the current attempt. Without retry it is 1.
func attempt(r *http.Request) int {
	if a, ok := transaction.AttemptFromContext(r.Context()); ok {
		return a.Number
	}
	return 1
}

// attemptHeader is the header field with the number of the attempt that answers, for programs and
// the page's script.
const attemptHeader = "Pasteline-Attempt"
