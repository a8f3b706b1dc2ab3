package myapp

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/request/stopping"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// Register adds the app to r as "egg:myapp#app".
func Register(r *pipeline.Registry) {
	pipeline.App(r, "egg:myapp#app", newApp)
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
	settings settings
	logger   *slog.Logger
}

func newApp(b *pipeline.Build, s settings) (http.Handler, error) {
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

	r.Group(func(r chi.Router) {
		r.Use(a.needTransaction)
		r.Post("/body", handler.Func(a.body))
		r.Get("/events", handler.Func(a.events))
		r.Get("/shared", handler.Func(a.readShared))
		r.Post("/shared/incr", handler.Func(a.incrShared))

		r.Group(func(r chi.Router) {
			r.Use(a.needBrowserID)
			r.Get("/read", handler.Func(a.read))
			r.Post("/incr", handler.Func(a.incr))
			r.Post("/fail", handler.Func(a.fail))
			r.Get("/", handler.Func(a.home))
			r.Post("/guestbook", handler.Func(a.sign))
			r.Post("/forget", handler.Func(a.forget))
		})
	})
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

func (a *app) needTransaction(next http.Handler) http.Handler {
	return a.need(next, "tm", "egg:repoze.tm2#tm", func(r *http.Request) bool {
		_, ok := transaction.FromContext(r.Context())
		return ok
	})
}

func (a *app) needBrowserID(next http.Handler) http.Handler {
	return a.need(next, "browserid", "egg:repoze.browserid#browserid", func(r *http.Request) bool {
		_, ok := browserid.FromContext(r.Context())
		return ok
	})
}

// need returns a handler that calls next, unless a filter is missing in the pipeline: then it logs
// the error and answers 500.
func (a *app) need(
	next http.Handler, filter, use string, has func(*http.Request) bool,
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if has(r) {
			next.ServeHTTP(w, r)
			return
		}
		text := fmt.Sprintf("the filter %s is missing: "+
			"put %s in front of the app in the pipeline of the .ini file", filter, use)
		a.logger.LogAttrs(r.Context(), slog.LevelError, "a filter is missing",
			slog.String("error", text), slog.String("path", r.URL.Path))
		http.Error(w, text, http.StatusInternalServerError)
	})
}
