package errorpage

import (
	"bytes"
	_ "embed" // for the page
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/sent"
)

// A page answers the failed requests of a pipeline for developers.
type page struct {
	site   *site
	guards []access
	logger *slog.Logger
}

// wrap returns next with the page around it.
func (p *page) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.ContainsFunc(p.guards, func(a access) bool { return a.Allows(r) }) {
			next.ServeHTTP(w, r)
			return
		}
		rec, own := newRecord(r)
		d := &debugger{page: p, record: rec}
		own = own.WithContext(attempt.WithDebugger(own.Context(), d))
		defer formfiles.HandBack(r, own)
		noted := &sent.Writer{ResponseWriter: w}
		defer func() {
			if value := recover(); value != nil {
				attempt.AnswerPanic(p.logger, noted, own, value)
			}
		}()
		next.ServeHTTP(noted, own)
	})
}

// A debugger answers one request.
type debugger struct {
	*page
	*record
}

var _ attempt.Debugger = (*debugger)(nil)

//go:embed page.css
var css string

//go:embed page.html
var source string

// policy is the Content-Security-Policy of the page: nothing but its own style sheet.
var policy = "default-src 'none'; style-src '" + attempt.StyleHash(css) +
	"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"css":    func() template.CSS { return template.CSS(css) }, //nolint:gosec // a constant
	"depth":  func(depth int) int { return min(depth, 4) },
	"groups": groups,
	"bar":    newBar,
}).Parse(source))

// A group is a call of the program, or successive calls of libraries.
type group struct {
	Own    bool
	First  bool // the first call of the program, whose source is shown at once
	Frames []frame
}

func groups(stack []frame) []group {
	var list []group
	first := true
	for _, f := range stack {
		if last := len(list) - 1; last >= 0 && !f.Own && !list[last].Own {
			list[last].Frames = append(list[last].Frames, f)
			continue
		}
		list = append(list, group{f.Own, f.Own && first, []frame{f}})
		first = first && !f.Own
	}
	return list
}

// A bar has the widths of the bar of an attempt, in percent.
type bar struct{ Handler, Commit int }

func newBar(times []timeView) (b bar) {
	for _, t := range times {
		switch t.What {
		case "handler":
			b.Handler = t.Percent
		case "commit":
			b.Commit = 100 - b.Handler // which comes first
		}
	}
	return b
}

// Respond answers a request that the server failed, for a developer. All other failures have an
// answer that is meant for the client, and a client that accepts nothing in particular is no
// developer's.
func (d *debugger) Respond(w http.ResponseWriter, r *http.Request, err error) bool {
	status := attempt.StatusOf(r, err)
	if status < http.StatusInternalServerError || len(d.header["Accept"]) == 0 {
		return false // the latter is a program, which expects the answer of production
	}
	report := newReport(d.site, d.record, r, err)
	kind, body := "text/plain; charset=utf-8", []byte(report.text())
	header := w.Header()
	switch preferred := attempt.Prefers(r); preferred {
	case "text/html":
		var page bytes.Buffer
		if err := pageTemplate.Execute(&page, report); err != nil {
			d.logger.Error("the error page failed", slog.Any("error", err))
			break
		}
		kind, body = "text/html; charset=utf-8", page.Bytes()
		header.Set("Content-Security-Policy", policy)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Frame-Options", "DENY")
	case "application/json", "application/problem+json":
		text, err := report.json()
		if err != nil {
			d.logger.Error("the error page failed", slog.Any("error", err))
			break
		}
		kind, body = "application/problem+json", text
	}
	header.Set("Content-Type", kind)
	if !slices.Contains(header.Values("Vary"), "Accept") {
		header.Add("Vary", "Accept")
	}
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // escaped by its template; a client that has gone needs no answer
	}
	return true
}

// json returns the report as a problem of RFC 9457, with the member debug.
func (p *report) json() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	err := e.Encode(struct {
		Title     string  `json:"title"`
		Status    int     `json:"status"`
		Detail    string  `json:"detail"`
		RequestID string  `json:"request_id,omitempty"`
		Debug     *report `json:"debug"`
	}{p.Title, p.Status, p.Error, p.RequestID, p})
	return out.Bytes(), err
}

// text returns the report in short, for a terminal. It begins as the answer of production does.
func (p *report) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s\n", p.Title)
	if p.Panicked {
		line("panic: %s", p.Error)
	} else {
		line("error: %s", p.Error)
	}
	line("request: %s %s%s", p.Request.Method, p.Request.URL, prefixed(" ", p.RequestID))
	for _, r := range p.Remedies {
		line("cause: %s%s", r.Cause, bracketed(r.Place))
		if r.Do != "" {
			line("remedy: %s", r.Do)
		}
		for text := range strings.Lines(r.Lines) {
			b.WriteString(strings.TrimRight("    "+text, "\n") + "\n")
		}
	}
	for _, c := range p.Causes[1:] {
		line("%scaused by %s: %s", strings.Repeat("  ", c.Depth-1), c.Type, c.Text)
	}
	if f := p.Handler; f != nil {
		line("returned by %s%s", f.Function, bracketed(f.place()))
	}
	for _, f := range p.Stack {
		if f.Own {
			line("at %s%s", f.Function, bracketed(f.place()))
		}
	}
	for _, a := range p.Attempts {
		if a.Number == 0 {
			continue
		}
		line("attempt %d of %d: %s %s", a.Number, a.Tries, a.Duration, a.Outcome)
		for _, c := range a.Conflicts {
			line("  lost over %s%s", strings.TrimSpace(c.Bucket+" "+c.Key),
				prefixed(", changed by ", c.With))
		}
		for _, s := range a.Statements {
			line("  %s %s", s.Time, short(strings.Join(strings.Fields(s.SQL), " "), 200))
		}
	}
	line("\nA browser gets a page with more; this text is shown because debug = true.")
	return b.String()
}

func (f *frame) place() string {
	if f.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", f.File, f.Line)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
