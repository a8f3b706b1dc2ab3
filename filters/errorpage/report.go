package errorpage

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// A report is what the page shows of a failed request, with secrets hidden. Its JSON form is the
// member debug of the answer.
type report struct {
	Status    int           `json:"-"`
	Title     string        `json:"-"`
	RequestID string        `json:"-"`
	Error     string        `json:"error"`
	Panicked  bool          `json:"panicked"`
	Remedies  []remedy      `json:"remedies,omitempty"`
	Causes    []cause       `json:"causes"`
	Handler   *frame        `json:"handler,omitempty"` // that returned the error
	Stack     []frame       `json:"stack,omitempty"`   // of a panic
	Duration  string        `json:"duration"`
	Attempts  []attemptView `json:"attempts,omitempty"`
	Left      int           `json:"attempts_left_out,omitempty"`
	Request   requestView   `json:"request"`
	Sessions  []sessionView `json:"sessions,omitempty"`
	Pipeline  []part        `json:"pipeline"`
	Warnings  []warning     `json:"warnings,omitempty"`
}

// A remedy says why the request has failed, and what to do.
type remedy struct {
	Cause string `json:"cause"`
	Do    string `json:"do"`
	Place string `json:"place,omitempty"` // file and line
	Lines string `json:"lines,omitempty"` // to write there

	missing string // the filter that the cause is about, or ""
}

// A cause is an error of the chain.
type cause struct {
	Depth     int    `json:"depth"`
	Type      string `json:"type"`
	Text      string `json:"text"`
	Transient bool   `json:"transient,omitempty"`
}

// An attemptView is an attempt.
type attemptView struct {
	Number     int             `json:"number"` // 0: outside of attempts
	Tries      int             `json:"tries"`
	Outcome    string          `json:"outcome,omitempty"`
	Status     int             `json:"status,omitempty"` // of the response that the handler wrote
	Duration   string          `json:"duration,omitempty"`
	Times      []timeView      `json:"times,omitempty"`
	Error      string          `json:"error,omitempty"`
	Managers   []string        `json:"managers,omitempty"`
	Conflicts  []conflictView  `json:"conflicts,omitempty"`
	Keys       []keyView       `json:"keys,omitempty"`
	Queues     []queueView     `json:"queues,omitempty"`
	Statements []statementView `json:"statements,omitempty"`
	LeftOut    []string        `json:"left_out,omitempty"`
}

// A timeView is a part of the time of an attempt.
type timeView struct {
	What    string `json:"what"` // handler, commit or queue
	Time    string `json:"time"`
	Percent int    `json:"percent"` // of the attempt
}

type conflictView struct {
	DB     string `json:"db"`
	Bucket string `json:"bucket,omitempty"`
	Key    string `json:"key,omitempty"`
	With   string `json:"with,omitempty"`
}

type keyView struct {
	Operation string `json:"operation"`
	DB        string `json:"db"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Times     int    `json:"times"`
	Bytes     int    `json:"bytes"`
}

type queueView struct {
	Bucket  string `json:"bucket,omitempty"`
	Key     string `json:"key,omitempty"`
	Ahead   int    `json:"ahead"`
	Granted bool   `json:"granted"`
	Time    string `json:"time"`
}

type statementView struct {
	DB    string `json:"db"`
	SQL   string `json:"sql"`
	Time  string `json:"time"`
	Error string `json:"error,omitempty"`
}

// A requestView is the request as it came.
type requestView struct {
	Method   string `json:"method"`
	URL      string `json:"url"`
	Proto    string `json:"proto"`
	Host     string `json:"host"`
	Client   string `json:"client"`
	App      string `json:"app,omitempty"`
	Route    string `json:"route,omitempty"`
	Header   []pair `json:"header"`
	Query    []pair `json:"query,omitempty"`
	Form     []pair `json:"form,omitempty"`
	Body     string `json:"body,omitempty"`
	BodyNote string `json:"body_note,omitempty"`
}

// A sessionView is a session that the request has used.
type sessionView struct {
	Manager string `json:"manager"`
	Ref     string `json:"ref"`
	Values  []pair `json:"values"`
	Error   string `json:"error,omitempty"`
}

// newReport describes the request r, which has failed with err.
func newReport(s *site, rec *record, r *http.Request, err error) *report {
	status := attempt.StatusOf(r, err)
	seen := observe.FromContext(r.Context())
	c := &concealer{}
	s.tree.TellSecrets(&c.known)
	c.learnHeader(r, rec.header)
	query, _ := url.ParseQuery(r.URL.RawQuery) // malformed parts are not shown as parameters
	c.learnAll(query)
	body := readBody(rec)
	c.learnAll(body.form)
	c.learnAll(body.part)
	c.learnData("", body.data)

	rec.mu.Lock()
	attempts, left := slices.Clone(rec.attempts), rec.left
	var sessions []sessionView
	for _, a := range slices.Backward(attempts) {
		if len(a.sessions.all) > 0 {
			sessions = c.sessions(a.sessions.all)
			break
		}
	}
	p := &report{
		Status: status, Title: cmp.Or(http.StatusText(status), fmt.Sprint("Status ", status)),
		RequestID: observe.ID(r.Context()), Sessions: sessions, Left: left,
		Duration: shortTime(time.Since(rec.start)),
	}
	for _, a := range attempts {
		p.Attempts = append(p.Attempts, c.attempt(a))
	}
	remedies := s.remedies(err, attempts)
	rec.mu.Unlock()

	p.Error = c.text(err.Error(), mostText)
	p.Causes = c.causes(err)
	for i := range remedies {
		remedies[i].Cause = c.text(remedies[i].Cause, mostText)
	}
	p.Remedies = remedies
	if panicked, ok := errors.AsType[*attempt.PanicError](err); ok {
		p.Panicked, p.Stack = true, parseStack(panicked.Stack)
		p.Error = c.text(fmt.Sprint(panicked.Value), mostText)
	} else if panicked, ok := errors.AsType[*transaction.PanicError](err); ok {
		p.Panicked, p.Stack = true, parseStack(panicked.Stack)
	} else if handler := rec.handlerOf(err); handler != nil {
		if f, ok := frameOf(handler); ok {
			p.Handler = &f
		}
	}
	for _, f := range p.Stack {
		c.source(f)
	}
	if p.Handler != nil {
		c.source(*p.Handler)
	}
	summary := seen.Summary()
	p.Request = requestView{
		Method: rec.method, URL: c.requestURL(r), Proto: r.Proto, Host: c.text(r.Host, mostValue),
		Client: r.RemoteAddr, App: summary.App, Route: summary.Route,
		Header: c.header(r, rec.header), Query: c.pairs(query),
		Form: c.pairs(body.form), BodyNote: body.note,
	}
	if body.data != nil {
		if text, err := json.MarshalIndent(c.data("", body.data, 0), "", "  "); err == nil {
			p.Request.Body = short(string(text), mostBody)
		}
	}
	p.Pipeline, p.Warnings = s.parts(), s.warnings()
	return p
}

// source hides the secrets in the source of a frame.
func (c *concealer) source(f frame) {
	for i := range f.Source {
		f.Source[i].Text = c.text(f.Source[i].Text, mostValue)
	}
}

// requestURL returns the path and the query of r.
func (c *concealer) requestURL(r *http.Request) string {
	path := r.URL.EscapedPath()
	if r.RequestURI != "" {
		path, _, _ = strings.Cut(r.RequestURI, "?")
	}
	path = c.text(path, mostText)
	if r.URL.RawQuery != "" {
		path += "?" + c.text(c.query(r.URL.RawQuery), mostText)
	}
	return path
}

// The limits of a chain of causes.
const (
	mostDepth  = 20
	mostCauses = 50
)

// causes returns the errors of a chain, each before those that it wraps.
func (c *concealer) causes(err error) []cause {
	var list []cause
	var walk func(err error, depth int)
	walk = func(err error, depth int) {
		if err == nil || depth > mostDepth || len(list) >= mostCauses {
			return
		}
		own, _ := err.(interface{ Transient() bool })
		list = append(list, cause{
			Depth: depth, Type: fmt.Sprintf("%T", err), Text: c.text(err.Error(), mostText),
			Transient: own != nil && own.Transient(),
		})
		switch err := err.(type) { //nolint:errorlint // the tree is walked here, level by level
		case interface{ Unwrap() error }:
			walk(err.Unwrap(), depth+1)
		case interface{ Unwrap() []error }:
			for _, inner := range err.Unwrap() {
				walk(inner, depth+1)
			}
		}
	}
	walk(err, 0)
	return list
}

// sessions returns the sessions, and learns their secrets.
func (c *concealer) sessions(facts []observe.SessionContent) []sessionView {
	values := make([]map[string]any, len(facts))
	views := make([]sessionView, len(facts))
	for i, f := range facts {
		var err error
		if values[i], err = f.Values(); err != nil {
			views[i].Error = err.Error()
		}
		c.learnData("", values[i])
	}
	for i, f := range facts {
		views[i].Manager, views[i].Ref = f.Manager, f.Ref
		views[i].Error = c.text(views[i].Error, mostText)
		for _, name := range sortedKeys(values[i]) {
			if len(views[i].Values) >= mostPairs {
				views[i].Values = append(views[i].Values,
					pair{"…", fmt.Sprintf("and more: %d values in all", len(values[i]))})
				break
			}
			shown := c.data(name, values[i][name], 0)
			text, ok := shown.(string)
			if !ok {
				made, err := json.Marshal(shown)
				if err != nil {
					made = []byte(fmt.Sprintf("a value of type %T", shown))
				}
				text = short(string(made), mostValue)
			}
			views[i].Values = append(views[i].Values, pair{c.text(name, mostValue), text})
		}
	}
	return views
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// attempt returns a view of an attempt.
func (c *concealer) attempt(a *attemptRecord) attemptView {
	v := attemptView{
		Number: a.start.Number, Tries: a.start.Tries, Managers: a.managers.all,
		Outcome: string(cmp.Or(a.end.Outcome, a.decision.Outcome)), Status: a.end.Status,
	}
	if err := cmp.Or(a.end.Err, a.decision.Err); err != nil {
		v.Error = c.text(err.Error(), mostText)
	}
	var total, commit, queue time.Duration
	for _, f := range a.commits.all {
		commit += f.Duration
	}
	for _, f := range a.queues.all {
		queue += f.Duration
		v.Queues = append(v.Queues,
			queueView{f.Bucket, f.Key, f.Ahead, f.Granted, shortTime(f.Duration)})
	}
	if a.end.Number > 0 {
		total = a.end.Duration
		v.Duration = shortTime(total)
		v.time("handler", max(total-commit, 0), total)
		if commit > 0 {
			v.time("commit", commit, total)
		}
	}
	if queue > 0 { // after the attempt, before the next
		v.Times = append(v.Times, timeView{What: "queue", Time: shortTime(queue)})
	}
	for _, f := range a.conflicts.all {
		v.Conflicts = append(v.Conflicts, conflictView{f.DB, f.Bucket, f.Key, f.With})
	}
	for _, f := range a.keys.all {
		v.Keys = append(v.Keys,
			keyView{string(f.Operation), f.DB, f.Bucket, f.Key, f.times, f.Bytes})
	}
	for _, f := range a.statements.all {
		s := statementView{DB: f.DB, SQL: c.text(f.SQL, mostText), Time: shortTime(f.Duration)}
		if f.Err != nil {
			s.Error = c.text(f.Err.Error(), mostText)
		}
		v.Statements = append(v.Statements, s)
	}
	for _, left := range []struct {
		what string
		n    int
	}{
		{"keys", a.keys.left},
		{"statements", a.statements.left},
		{"conflicts", a.conflicts.left},
		{"queues", a.queues.left},
		{"managers", a.managers.left},
		{"sessions", a.sessions.left},
	} {
		if left.n > 0 {
			v.LeftOut = append(v.LeftOut, fmt.Sprintf("%d more %s", left.n, left.what))
		}
	}
	return v
}

// time adds a part of the total time.
func (v *attemptView) time(what string, d, total time.Duration) {
	t := timeView{What: what, Time: shortTime(d)}
	if total > 0 {
		t.Percent = int(100 * d / total)
	}
	v.Times = append(v.Times, t)
}

// shortTime returns a duration with three digits.
func shortTime(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

// A body is the known part of a request's body.
type body struct {
	form url.Values
	part url.Values // a last field that is not complete, which is not shown
	data any        // of JSON
	note string
}

// readBody returns the kept part of a body, as far as its type is known.
func readBody(rec *record) (b body) {
	if rec.body == nil {
		return body{note: "none"}
	}
	text, read, end := rec.body.kept()
	kind, params, err := mime.ParseMediaType(rec.header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	b.note = fmt.Sprintf("%d bytes were read", read)
	if !end {
		b.note += ", not to the end"
	}
	whole := int64(len(text)) == read && end
	switch {
	case len(text) == 0:
	case kind == "application/x-www-form-urlencoded":
		if !whole { // the last value may be the begin of a longer one
			cut := strings.LastIndexByte(string(text), '&')
			b.part, _ = url.ParseQuery(string(text[cut+1:])) // a malformed end can't be used
			text = text[:max(cut, 0)]
			b.note += "; only the first fields are shown"
		}
		b.form, _ = url.ParseQuery(string(text)) // with the fields that are well-formed
	case kind == "multipart/form-data":
		b.form = multipartFields(string(text), params["boundary"])
		if !whole {
			b.note += "; only the first fields are shown"
		}
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		if !whole || json.Unmarshal(text, &b.data) != nil {
			b.data = nil
			b.note += "; not shown, as it is too long or no JSON"
		}
	default:
		b.note += "; not shown"
	}
	return b
}

// multipartFields returns the fields at the begin of a multipart form. Of a file it has the name.
func multipartFields(text, boundary string) url.Values {
	form := url.Values{}
	reader := multipart.NewReader(strings.NewReader(text), boundary)
	for boundary != "" {
		part, err := reader.NextPart()
		if err != nil {
			break
		}
		if part.FileName() != "" {
			form.Add(part.FormName(), fmt.Sprintf("file %q", part.FileName()))
			continue
		}
		value := new(strings.Builder)
		buffer := make([]byte, mostValue+1)
		n, err := part.Read(buffer)
		for n > 0 && value.Len() <= mostValue {
			value.Write(buffer[:n])
			if err != nil {
				break
			}
			n, err = part.Read(buffer)
		}
		form.Add(part.FormName(), value.String())
	}
	return form
}
