package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Register adds the app to r under "egg:pasteline#health" and the names of oslo.middleware.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#health"
	pipeline.App(r, name, build)
	for _, alias := range []string{
		"egg:oslo.middleware#healthcheck", "call:oslo_middleware:Healthcheck.app_factory",
		"call:oslo_middleware.healthcheck:Healthcheck.app_factory",
	} {
		r.Alias(alias, name)
	}
	for _, filter := range []string{
		"egg:oslo.middleware#healthcheck", "call:oslo_middleware:Healthcheck.factory",
		"call:oslo_middleware.healthcheck:Healthcheck.factory",
	} {
		r.Instead(tree.KindFilter, filter, "it is an app here: take the filter out of the pipeline, "+
			"and mount [app:health] use = "+name+" with egg:Paste#urlmap")
	}
}

// settings are the settings of an .ini section.
type settings struct {
	guard.Settings
	Timeout  time.Duration `ini:"timeout" default:"2s" min:"1ms" help:"time that each database has to answer"`
	Disable  string        `ini:"disable_by_file_path" nonempty:"true" help:"while this file exists, the process is not ready; a relative path starts at the folder of the .ini file"`
	Detailed bool          `ini:"detailed" default:"true" help:"show the result of each check to the clients that allow and token name"`
	Backends []string      `ini:"backends" help:"of oslo.middleware; has no effect: disable_by_file_path alone turns that check on"`
	Path     string        `ini:"path" help:"of oslo.middleware; has no effect: the app answers where it is mounted"`
}

func build(b *pipeline.Build, s settings) (http.Handler, error) {
	g, err := guard.New(s.Settings)
	if err != nil {
		return nil, err
	}
	if here, ok := b.Global("here"); ok && s.Disable != "" && !filepath.IsAbs(s.Disable) {
		s.Disable = filepath.Join(here, s.Disable)
	}
	return &app{
		settings: s, guard: g, site: status.Of(b), ping: b.Opener().Ping, now: time.Now,
	}, nil
}

// An app answers with the state of the process.
type app struct {
	settings settings
	guard    *guard.Guard
	site     *status.Site
	ping     func(context.Context) map[string]error
	now      func() time.Time
}

// A check is the result of one check.
type check struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// The words of an answer.
const (
	ok          = "OK"
	unavailable = "UNAVAILABLE"
)

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var checks []check
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/live":
	case "", "/ready":
		checks = a.checks(r.Context())
	default:
		http.NotFound(w, r)
		return
	}
	code, word := http.StatusOK, ok
	if slices.ContainsFunc(checks, func(c check) bool { return !c.OK }) {
		code, word = http.StatusServiceUnavailable, unavailable
	}
	if !a.settings.Detailed || !a.guard.Allows(r) {
		checks = nil
	}
	answer(w, r, code, word, checks)
}

// answer sends the state as JSON or as text.
func answer(w http.ResponseWriter, r *http.Request, code int, word string, checks []check) {
	var text strings.Builder
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(&text).Encode(struct { // strings and bools can always be encoded
			Status string  `json:"status"`
			Checks []check `json:"checks,omitempty"`
		}{word, checks})
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text.WriteString(word + "\n")
		for _, c := range checks {
			state := "ok"
			if !c.OK {
				state = c.Error
			}
			fmt.Fprintf(&text, "%s: %s\n", c.Name, state)
		}
	}
	w.Header().Add("Vary", "Accept")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text.String())) // the client may have gone
}

// checks makes all checks of readiness.
func (a *app) checks(ctx context.Context) []check {
	var checks []check
	add := func(name string, err error) {
		c := check{Name: name, OK: err == nil}
		if err != nil {
			c.Error = redact.Text(err.Error())
		}
		checks = append(checks, c)
	}
	if a.site != nil {
		var err error
		if a.site.Draining() {
			err = errors.New("it is about to stop")
		}
		add("server", err)
		err = nil
		if a.site.RecoveryStuck(a.now()) {
			stats, _ := a.site.Recovery()
			err = fmt.Errorf("no pass has ended since %s", stats.LastPass.Format(time.RFC3339))
		}
		add("recovery", err)
	}
	if a.settings.Disable != "" {
		add("file "+a.settings.Disable, fileError(a.settings.Disable))
	}
	ctx, cancel := context.WithTimeout(ctx, a.settings.Timeout)
	defer cancel()
	errs := a.ping(ctx)
	for _, db := range slices.Sorted(maps.Keys(errs)) {
		err := errs[db]
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %v", a.settings.Timeout)
		}
		add("database "+db, err)
	}
	return checks
}

// fileError returns an error if the file that turns readiness off exists, or if that can't be known.
func fileError(name string) error {
	_, err := os.Stat(name)
	switch {
	case err == nil:
		return errors.New("disabled by file")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}
