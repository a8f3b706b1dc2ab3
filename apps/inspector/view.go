package inspector

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/observe"
)

//go:embed page.html inspector.css inspector.js
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"ms": showMillis, "bytes": showBytes, "ago": ago, "clock": func(t time.Time) string {
		return t.Format("15:04:05.000")
	},
	"frame": func(f *Frame, values map[string]string) frameView { return frameView{f, values} },
	"num":   func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) },
}).ParseFS(files, "page.html"))

// asset returns a handler for an embedded file.
func asset(name, contentType string) http.HandlerFunc {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
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
	Pipeline  *Frame
	Running   []Request
	MoreRuns  int
	Rows      []row
	Keys      []KeyTotals
	Sessions  []sessionsRow
	Databases []databaseRow
	Recovery  *Recovery
	Reloads   []Reload
	Failures  int
	Frames    []*Frame
	Files     []string
	Reveal    bool
	Now       time.Time
}

// A frameView is a frame with the values of the page.
type frameView struct {
	Frame  *Frame
	Values map[string]string
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
	p.Running, p.MoreRuns = running[:min(len(running), shownRunning)], max(0, len(running)-shownRunning)
	for _, q := range a.state.lately(shownRequests, shownTroubled) {
		p.Rows = append(p.Rows, a.row(ctx, &q))
	}
	rescale(p.Rows)
	if slow {
		p.Sessions, p.Databases, p.Recovery = a.sessionRows(ctx), a.databaseRows(), a.recovery()
	}
	return p
}

// values returns the texts of the page that change with each event, by their names.
func (a *app) values(current *site, running []Request) map[string]string {
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

// A row is a request of the timeline.
type row struct {
	Request
	Root   string
	Bars   []bar
	Losses []loss
	Class  string
	Scale  float64 // the milliseconds that the width of the row stands for
	Extent float64 // the milliseconds that the request needs
}

// A bar is a part of an attempt: the wait before it, the handler, or the commit.
type bar struct {
	X, Width float64
	Class    string
}

// A loss is an attempt that was lost.
type loss struct {
	*Attempt
	Winner *Request // nil: unknown, or not recorded any more
}

func (a *app) row(ctx context.Context, q *Request) row {
	r := row{Request: *q, Root: mount.Join(ctx, ""), Extent: q.Millis}
	end := 0.0
	for i := range r.Attempts {
		t := &r.Attempts[i]
		if wait := t.At - end; wait > 0 && i > 0 {
			r.Bars = append(r.Bars, bar{end, wait, "wait"})
		}
		handler := t.Millis
		if t.CommitAt > 0 && t.CommitAt < t.At+t.Millis {
			handler = t.CommitAt - t.At
		}
		class := "handler"
		if t.Outcome == observe.Conflicted {
			class = "handler lost"
			one := loss{Attempt: t}
			if t.Conflict != nil && t.Conflict.With != "" {
				if winner, ok := a.state.byID(t.Conflict.With); ok {
					one.Winner = &winner
				}
			}
			r.Losses = append(r.Losses, one)
		}
		r.Bars = append(r.Bars, bar{t.At, handler, class})
		if t.CommitMillis > 0 {
			commit := "commit"
			if t.Outcome == observe.Conflicted {
				commit = "commit lost"
			}
			r.Bars = append(r.Bars, bar{t.CommitAt, t.CommitMillis, commit})
		}
		end = t.At + t.Millis
	}
	if len(r.Attempts) == 0 {
		r.Bars = append(r.Bars, bar{0, r.Millis, "handler plain"})
	}
	if r.Released && end > 0 { // the rest of a stream would make all other bars short
		r.Extent = end
	}
	switch {
	case r.Panicked || r.Status >= 500:
		r.Class = "failed"
	case len(r.Losses) > 0:
		r.Class = "troubled"
	}
	r.Scale = scaleOf(r.Extent)
	return r
}

// scaleOf returns a round number of milliseconds that has room for all of ms.
func scaleOf(ms float64) float64 {
	if ms <= 1 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(ms)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if ms <= step*factor {
			return step * factor
		}
	}
	return 10 * step
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
		f.Value = showMillis(v * 1000)
	}
	return f
}

func showMillis(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.0f min", ms/60_000)
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
