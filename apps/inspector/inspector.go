package inspector

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/internal/request/stopping"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage"
)

// Settings are the settings of the section.
type Settings struct {
	guard.Settings

	Requests int            `ini:"requests" default:"500" min:"10" max:"100000" help:"how many requests are kept, and as many that were lost to conflicts or failed"`
	Memory   pipeline.Bytes `ini:"memory" default:"8MB" help:"the most memory that the records of requests take"`
	Reveal   bool           `ini:"reveal" default:"false" help:"show the contents of sessions"`
}

// Register adds the app to r under "egg:pasteline#inspector".
func Register(r *pipeline.Registry) {
	pipeline.App(r, "egg:pasteline#inspector", func(b *pipeline.Build, s Settings) (http.Handler, error) {
		return build(b, s, r)
	})
}

func build(b *pipeline.Build, s Settings, r *pipeline.Registry) (http.Handler, error) {
	g, err := guard.New(s.Settings)
	if err != nil {
		return nil, err
	}
	var records *state
	if former, ok := b.Keep(&records).(**state); ok {
		records = *former
	} else {
		records = newState()
	}
	a := &app{
		settings: s, guard: g, state: records, status: status.Of(b), databases: b.Opener(),
		logger: b.Logger(),
	}
	a.listener = &listener{state: records}
	b.Observe(a.listener)
	b.OnLoad(func(c pipeline.Composed) {
		a.listener.Hide = c.Tree.Conceal
		records.resize(s.Requests, int(s.Memory))
		a.site = newSite(c, r)
		a.undo = records.use(a.site)
	})
	b.OnClose(func() error {
		if a.undo != nil && !a.used.Load() {
			a.undo()
		}
		return nil
	})
	mux := new(mount.Mux)
	mux.HandleFunc("GET /{$}", a.page)
	mux.HandleFunc("GET /snapshot.json", a.snapshotJSON)
	mux.HandleFunc("GET /requests/{number}", a.request)
	mux.HandleFunc("GET /events", a.events)
	mux.HandleFunc("POST /sign-in", a.signIn)
	mux.HandleFunc("GET /inspector.css", asset(css, "text/css; charset=utf-8"))
	mux.HandleFunc("GET /inspector.js", asset(script, "text/javascript; charset=utf-8"))
	a.mux = mux
	return a, nil
}

// resize sets the limits of the records.
func (s *state) resize(requests, memory int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.limit(requests, memory/2)
	s.troubled.limit(requests, memory/2)
}

// An app is the inspector of one load.
type app struct {
	settings  Settings
	guard     *guard.Guard
	state     *state
	listener  *listener
	status    *status.Site
	databases *storage.Opener
	logger    *slog.Logger
	servers   stopping.Servers
	mux       *mount.Mux
	site      *site // set by OnLoad, as is undo
	undo      func()
	used      atomic.Bool // a request has reached this load
}

// Patterns returns the patterns of the app, for commands that list them.
func (a *app) Patterns() []string { return a.mux.Patterns() }

// cookie is the name of the cookie of clients that have signed in.
const cookie = "pasteline-inspector"

// policy is the Content-Security-Policy of all responses.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP checks the client, and answers.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.used.Store(true)
	if own := a.listener.Find(r.Context()); own != nil {
		a.state.disown(own)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if err := guard.SameSite(r); err != nil {
		http.Error(w, "Forbidden: "+err.Error(), http.StatusForbidden)
		return
	}
	switch r.URL.Path {
	case "/inspector.css", "/inspector.js", "/sign-in": // they show nothing
	default:
		if err := a.guard.Check(r); err != nil && !a.guard.HasPass(r, cookie) {
			a.refuse(w, r, err)
			return
		}
	}
	if mount.Exact(r.Context()) { // links of the page are below the slash
		http.Redirect(w, r, mount.Join(r.Context(), "/"), http.StatusMovedPermanently)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// refuse answers a client that may not see the inspector.
func (a *app) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if !a.guard.HasToken() || r.URL.Path != "/" {
		handler.Respond(w, r, err)
		return
	}
	a.show(w, http.StatusForbidden, "sign-in", signInPage{Root: mount.Join(r.Context(), "")})
}

type signInPage struct {
	Root  string
	Wrong bool
}

// signIn checks the token of the form, and sets the cookie.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if !a.guard.IsToken(r.PostFormValue("token")) {
		a.show(w, http.StatusForbidden, "sign-in", signInPage{Root: mount.Join(r.Context(), ""), Wrong: true})
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure if the site has TLS
		Name: cookie, Value: a.guard.Pass(), Path: mount.Join(r.Context(), "/"), HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: mount.Scheme(r) == "https",
	})
	http.Redirect(w, r, mount.Join(r.Context(), "/"), http.StatusSeeOther)
}

// snapshotJSON answers with the data of the page.
func (a *app) snapshotJSON(w http.ResponseWriter, r *http.Request) {
	text, err := json.MarshalIndent(a.snapshot(r.Context()), "", "  ")
	if err != nil {
		handler.Respond(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(append(text, '\n')) // fails only if the client has disconnected
}

// request answers with the details of one request: as JSON for programs, as a part of the page for
// its script, else as a page.
func (a *app) request(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	found, ok := a.state.find(number)
	if err != nil || !ok {
		http.Error(w, "no such request; the inspector keeps the last ones only", http.StatusNotFound)
		return
	}
	switch r.Header.Get("Accept") {
	case "application/json":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(found) // fails only if the client has disconnected
	case "text/x-part":
		a.show(w, http.StatusOK, "details", a.row(r.Context(), found))
	default:
		a.show(w, http.StatusOK, "request", a.row(r.Context(), found))
	}
}

// A Snapshot is the data of the page.
type Snapshot struct {
	Time      time.Time                     `json:"time"`
	Totals    Totals                        `json:"totals"`
	Apps      map[string]AppTotals          `json:"apps"`
	Pipeline  *picture.Frame                `json:"pipeline"`
	Figures   map[string]Figures            `json:"figures"` // by the ids of frames
	Running   []picture.Request             `json:"running"`
	Requests  []picture.Request             `json:"requests"` // the newest first
	Keys      []KeyTotals                   `json:"keys"`
	Sessions  []Sessions                    `json:"sessions"`
	Databases map[string]map[string]float64 `json:"databases"`
	Recovery  *Recovery                     `json:"recovery,omitempty"`
	Reloads   []Reload                      `json:"reloads"`
	Failures  int                           `json:"failed_reloads"`
	Files     []string                      `json:"files"`
}

// Recovery is the state of transactions that a crash has left.
type Recovery struct {
	InDoubt  int       `json:"in_doubt"`
	Finished int       `json:"finished"`
	Aborted  int       `json:"aborted"`
	Failures int       `json:"failures"`
	LastPass time.Time `json:"last_pass"`
}

// How much a snapshot and the page show.
const (
	shownRequests = 60
	shownTroubled = 40
	shownGroups   = 10 // of running requests
	shownKeys     = 12
	snapshotKeys  = 100
)

func (a *app) snapshot(ctx context.Context) Snapshot {
	current, reloads := a.state.history()
	totals, apps, _ := a.state.now()
	running := a.state.runningNow()
	s := Snapshot{
		Time: time.Now(), Totals: totals, Apps: apps, Pipeline: current.root, Running: running,
		Figures:  current.figures(running, apps, totals),
		Requests: a.state.lately(a.settings.Requests, a.settings.Requests),
		Keys:     a.keys(snapshotKeys),
		Sessions: a.sessions(ctx), Databases: a.databases.Gauges(), Recovery: a.recovery(),
		Reloads: reloads, Failures: a.status.Loads().Failures, Files: current.files,
	}
	return s
}

func (a *app) keys(n int) []KeyTotals {
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	return a.state.busiest(n)
}

func (a *app) recovery() *Recovery {
	stats, runs := a.status.Recovery()
	if !runs {
		return nil
	}
	return &Recovery{
		InDoubt: stats.InDoubt, Finished: stats.Finished, Aborted: stats.Aborted,
		Failures: stats.Failures, LastPass: stats.LastPass,
	}
}
