package inspector

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/mount"
)

//go:embed page.html
var files embed.FS

//go:embed inspector.css
var ownCSS []byte

//go:embed inspector.js
var script []byte

// css has the styles of the pictures and those of the page.
var css = slices.Concat(picture.CSS, ownCSS)

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"ms": picture.Millis, "bytes": showBytes, "ago": ago, "clock": func(t time.Time) string {
		return t.Format("15:04:05.000")
	},
	"num":     func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) },
	"picture": picture.HTML, "frames": picture.FramesHTML,
}).ParseFS(files, "page.html"))

// asset returns a handler for an embedded file.
func asset(text []byte, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(text) // fails only if the client has disconnected
	}
}

// show answers with a template.
func (a *app) show(w http.ResponseWriter, status int, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(a.html(name, data))) // fails only if the client has disconnected
}

// html executes a template.
func (a *app) html(name string, data any) string {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		a.logger.Error("can't show a part of the page", slog.String("part", name), slog.Any("error", err))
	}
	return b.String()
}

// A page is the data of the page.
type page struct {
	Root      string
	Values    map[string]string
	Pipeline  *picture.Frame
	Running   []runningGroup
	MoreRuns  int
	Rows      []row
	Keys      []KeyTotals
	Sessions  []sessionsRow
	Databases []databaseRow
	Recovery  *Recovery
	Reloads   []Reload
	Failures  int
	Frames    []*picture.Frame
	Files     []string
	Reveal    bool
	Now       time.Time
}

func (a *app) page(w http.ResponseWriter, r *http.Request) {
	a.show(w, http.StatusOK, "page", a.pageOf(r.Context(), true))
}

// pageOf returns the data of the page; slow adds the parts that ask databases.
func (a *app) pageOf(ctx context.Context, slow bool) *page {
	current, reloads := a.state.history()
	running := a.state.runningNow()
	p := &page{
		Root: mount.Join(ctx, ""), Pipeline: current.root, Frames: current.frames, Files: current.files,
		Reloads: reloads, Failures: a.status.Loads().Failures, Values: a.values(current, running),
		Reveal: a.settings.Reveal, Now: time.Now(),
		Keys: a.keys(shownKeys),
	}
	p.Running, p.MoreRuns = groups(running)
	for _, q := range a.state.lately(shownRequests, shownTroubled) {
		p.Rows = append(p.Rows, a.row(ctx, q))
	}
	rescale(p.Rows)
	if slow {
		p.Sessions, p.Databases, p.Recovery = a.sessionRows(ctx), a.databaseRows(), a.recovery()
	}
	return p
}

// values returns the texts of the page that change with each event, by their names.
func (a *app) values(current *site, running []picture.Request) map[string]string {
	t, apps, _ := a.state.now()
	v := map[string]string{
		"requests": fmt.Sprint(t.Requests), "running": fmt.Sprint(t.Running),
		"attempts": fmt.Sprint(t.Attempts), "lost": fmt.Sprint(t.Lost),
		"committed": fmt.Sprint(t.Committed), "failed": fmt.Sprint(t.Failed),
		"not": fmt.Sprint(t.Attempts - min(t.Attempts, t.Committed+t.Lost)),
	}
	for id, f := range current.figures(running, apps, t) {
		v[id+"-text"] = f.Text
		v[id+"-in"] = fmt.Sprint(f.Inside)
		v[id+"-dots"] = strings.Repeat("●", min(f.Here, 12))
	}
	return v
}

// A runningGroup is a number of running requests that look the same.
type runningGroup struct {
	picture.Request // the oldest of them

	Count int
}

// groups returns the running requests by method, path and number of attempts, in the order of their
// oldest, and the number of requests in groups that are not shown.
func groups(running []picture.Request) (shown []runningGroup, more int) {
	for i := range running {
		q := &running[i]
		at := slices.IndexFunc(shown, func(g runningGroup) bool {
			return g.Job == q.Job && g.Method == q.Method && g.Path == q.Path &&
				g.Released == q.Released && len(g.Attempts) == len(q.Attempts)
		})
		switch {
		case at >= 0:
			shown[at].Count++
		case len(shown) < shownGroups:
			shown = append(shown, runningGroup{*q, 1})
		default:
			more++
		}
	}
	return shown, more
}

// A row is a request of the timeline.
type row struct {
	picture.Row
	Root string
}

func (a *app) row(ctx context.Context, q picture.Request) row {
	return row{picture.NewRow(q, a.state.byID), mount.Join(ctx, "")}
}

// rescale gives all rows the scale of the one that needs the most, so that they can be compared.
func rescale(rows []row) {
	most := 1.0
	for i := range rows {
		most = max(most, rows[i].Scale)
	}
	for i := range rows {
		rows[i].Scale = most
	}
}

type sessionsRow struct {
	Sessions
	Number string
	Ages   string
	Sizes  string
	Now    time.Time
}

func (a *app) sessionRows(ctx context.Context) []sessionsRow {
	var rows []sessionsRow
	for _, s := range a.sessions(ctx) {
		r := sessionsRow{Sessions: s, Number: fmt.Sprint(s.Count), Now: time.Now()}
		if s.More {
			r.Number = "more than " + r.Number
		}
		if n := len(s.Sample); n > 0 {
			sum, most := 0, 0
			for _, one := range s.Sample {
				sum += one.Bytes
				most = max(most, one.Bytes)
			}
			r.Sizes = fmt.Sprintf("%s on average, %s at most", showBytes(float64(sum/n)), showBytes(float64(most)))
		}
		rows = append(rows, r)
	}
	return rows
}

type databaseRow struct {
	Name  string
	Facts []fact
}

type fact struct{ Name, Value string }

func (a *app) databaseRows() []databaseRow {
	gauges := a.databases.Gauges()
	var rows []databaseRow
	for _, name := range slices.Sorted(maps.Keys(gauges)) {
		r := databaseRow{Name: name}
		for _, key := range slices.Sorted(maps.Keys(gauges[name])) {
			r.Facts = append(r.Facts, gauge(key, gauges[name][key]))
		}
		rows = append(rows, r)
	}
	return rows
}

// gauge returns a gauge for people: its name says the unit at its end.
func gauge(key string, v float64) fact {
	name, unit := strings.TrimSuffix(key, "_total"), ""
	for _, u := range []string{"_bytes", "_seconds"} {
		if before, ok := strings.CutSuffix(name, u); ok {
			name, unit = before, u
		}
	}
	f := fact{Name: strings.ReplaceAll(name, "_", " "), Value: strconv.FormatFloat(v, 'f', -1, 64)}
	switch unit {
	case "_bytes":
		f.Value = showBytes(v)
	case "_seconds":
		f.Value = picture.Millis(v * 1000)
	}
	return f
}

func showBytes(n float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if n < 1024 {
			if unit == "B" || n >= 100 {
				return fmt.Sprintf("%.0f %s", n, unit)
			}
			return fmt.Sprintf("%.1f %s", n, unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%.1f GB", n)
}

func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%.0f s ago", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0f min ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h ago", d.Hours())
	}
	return fmt.Sprintf("%.0f days ago", d.Hours()/24)
}
