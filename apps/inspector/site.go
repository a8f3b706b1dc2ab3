package inspector

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/pasteline/pasteline/internal/command/show"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/session"
)

// A site is one load of the configuration.
type site struct {
	root     *Frame
	frames   []*Frame          // all, the outermost first
	apps     map[string]*Frame // by the names of the apps, see [tree.Node.AppName]
	files    []string
	values   map[settingID]value
	order    []settingID
	sessions []*session.Manager
}

// The roles of frames, which decide what their figures count.
const (
	roleRetry = "retry"
	roleTM    = "tm"
)

// A Frame is a node of the pipeline, drawn around the handlers behind it.
type Frame struct {
	ID       string              `json:"id"`
	Kind     string              `json:"kind"`
	Title    string              `json:"title"`
	Section  string              `json:"section,omitempty"`
	Use      string              `json:"use,omitempty"`
	Source   string              `json:"source,omitempty"`
	Role     string              `json:"role,omitempty"`
	Settings []show.FrameSetting `json:"settings,omitempty"`
	Inner    *Frame              `json:"inner,omitempty"`
	Places   []Place             `json:"places,omitempty"`

	outer *Frame
}

// A Place is an app of a composite.
type Place struct {
	Key   string `json:"key"`
	Frame *Frame `json:"frame"`
}

// A Reload is a load of the configuration.
type Reload struct {
	Time    time.Time `json:"time"`
	First   bool      `json:"first,omitempty"` // the start of the process
	Changes []Change  `json:"changes,omitempty"`
}

// A Change is a setting that a reload has changed. Before or After is nil if there was none.
type Change struct {
	Frame  string  `json:"frame"`
	Key    string  `json:"key"`
	Before *string `json:"before,omitempty"`
	After  *string `json:"after,omitempty"`
	Source string  `json:"source,omitempty"`
}

type settingID struct{ frame, key string }

// A value is the value of a setting as it is shown, and a hash that tells whether it is another.
type value struct {
	shown  string
	sum    [sha256.Size]byte
	source string
}

func newSite(c pipeline.Composed, r *pipeline.Registry) *site {
	s := &site{
		apps: map[string]*Frame{}, files: c.Tree.Files(), values: map[settingID]value{},
	}
	s.root = s.add(show.New(c.Tree, show.Options{Registry: r, Defaults: true}).Frames(), nil)
	for _, m := range c.Sessions {
		if m, ok := m.(*session.Manager); ok && !slices.Contains(s.sessions, m) {
			s.sessions = append(s.sessions, m)
		}
	}
	return s
}

// add adds a frame and those inside it.
func (s *site) add(shown *show.Frame, outer *Frame) *Frame {
	f := &Frame{
		ID: fmt.Sprintf("f%d", len(s.frames)), Kind: shown.Kind, Section: shown.Section,
		Use: shown.Use, Source: shown.Source, Settings: shown.Settings, outer: outer,
	}
	switch shown.Factory {
	case "egg:pasteline#retry":
		f.Role = roleRetry
	case "egg:pasteline#tm":
		f.Role = roleTM
	}
	f.Title = f.title()
	s.frames = append(s.frames, f)
	if shown.Kind != string(tree.KindFilter) {
		name := shown.Node.AppName()
		if was := s.apps[name]; was == nil || shown.Kind == string(tree.KindApp) {
			s.apps[name] = f
		}
	}
	s.settings(f, shown.Node)
	if shown.Inner != nil {
		f.Inner = s.add(shown.Inner, f)
	}
	for _, p := range shown.Places {
		f.Places = append(f.Places, Place{Key: p.Key, Frame: s.add(p.Frame, f)})
	}
	return f
}

// title returns the name of a frame for people: that of the section or of the factory.
func (f *Frame) title() string {
	name := f.Section
	if name == "" {
		name = f.Use
	}
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == ':' || name[i] == '#' {
			return name[i+1:]
		}
	}
	if name == "" {
		return f.Kind
	}
	return name
}

// settings records the values of a frame, to compare them after the next load.
func (s *site) settings(f *Frame, n *tree.Node) {
	for _, setting := range f.Settings {
		label := f.Section
		if label == "" {
			label = f.Use
		}
		id := settingID{label, setting.Key}
		if _, ok := s.values[id]; ok { // a section that is used twice
			continue
		}
		raw := setting.Value
		if written, ok := n.LocalConf.Get(setting.Key); ok {
			raw = written.Value
		} else if global, ok := n.GlobalConf.Get(setting.Key); ok && setting.Global {
			raw = global.Value
		}
		s.values[id] = value{setting.Value, sha256.Sum256([]byte(raw)), setting.Source}
		s.order = append(s.order, id)
	}
}

// compare returns what differs between two loads.
func (s *site) compare(former *site) []Change {
	var changes []Change
	for _, id := range s.order {
		is := s.values[id]
		was, ok := former.values[id]
		switch {
		case !ok:
			changes = append(changes, Change{Frame: id.frame, Key: id.key, After: &is.shown, Source: is.source})
		case was.sum != is.sum:
			changes = append(changes, Change{
				Frame: id.frame, Key: id.key, Before: &was.shown, After: &is.shown, Source: is.source,
			})
		}
	}
	for _, id := range former.order {
		if _, ok := s.values[id]; !ok {
			was := former.values[id]
			changes = append(changes, Change{Frame: id.frame, Key: id.key, Before: &was.shown, Source: was.source})
		}
	}
	return changes
}

// use makes next the current load, which undo reverts if the program does not use it.
func (s *state) use(next *site) (undo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	former := s.current
	reload := Reload{Time: time.Now(), First: former == nil}
	if former != nil {
		reload.Changes = next.compare(former)
	}
	s.current = next
	s.reloads = append([]Reload{reload}, s.reloads...)
	if len(s.reloads) > maxReloads {
		s.reloads = s.reloads[:maxReloads]
	}
	s.version++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.current == next && former != nil && s.reloads[0].Time.Equal(reload.Time) {
			s.current, s.reloads = former, s.reloads[1:]
		}
	}
}

// history returns the current load and the reloads.
func (s *state) history() (*site, []Reload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, slices.Clone(s.reloads)
}

// Figures are what the frame of a node shows.
type Figures struct {
	Inside int    `json:"inside"` // requests in the frame, those in inner frames included
	Here   int    `json:"here"`   // without those in inner frames
	Text   string `json:"text"`   // counts since the process began
}

// figures returns the figures of all frames by their ids.
func (s *site) figures(running []Request, apps map[string]AppTotals, t Totals) map[string]Figures {
	here := map[*Frame]int{}
	for i := range running {
		here[s.locate(&running[i])]++
	}
	byFrame := map[*Frame]AppTotals{}
	for name, app := range apps {
		for f := s.leaf(name); f != nil; f = f.outer {
			sum := byFrame[f]
			sum.Requests += app.Requests
			sum.Attempts += app.Attempts
			sum.Lost += app.Lost
			byFrame[f] = sum
		}
	}
	inside := map[*Frame]int{}
	for f, n := range here {
		for ; f != nil; f = f.outer {
			inside[f] += n
		}
	}
	figures := map[string]Figures{}
	for _, f := range s.frames {
		n := byFrame[f]
		text := count(n.Requests, "request")
		switch f.Role {
		case roleRetry:
			text = count(n.Attempts, "attempt")
			if n.Lost > 0 {
				text += ", " + fmt.Sprint(n.Lost) + " lost"
			}
		case roleTM:
			text = count(n.Attempts, "transaction")
			if s.only(roleTM) {
				text = fmt.Sprint(t.Committed) + " committed"
				if other := t.Attempts - min(t.Attempts, t.Committed+t.Lost); other > 0 {
					text += ", " + fmt.Sprint(other) + " not"
				}
			}
		}
		figures[f.ID] = Figures{Inside: inside[f], Here: here[f], Text: text}
	}
	return figures
}

// only reports whether there is one frame of a role.
func (s *site) only(role string) bool {
	n := 0
	for _, f := range s.frames {
		if f.Role == role {
			n++
		}
	}
	return n == 1
}

// leaf returns the innermost frame of the app that an [observe.Summary] names.
func (s *site) leaf(app string) *Frame {
	f := s.apps[app]
	if f == nil {
		return s.root
	}
	for f.Inner != nil {
		f = f.Inner
	}
	return f
}

// locate returns the frame that a running request is in: tm while it commits, retry while it waits
// for the next attempt, else the app.
func (s *site) locate(r *Request) *Frame {
	app := s.leaf(r.App)
	role := ""
	if n := len(r.Attempts); n > 0 && !r.Released {
		switch a := r.Attempts[n-1]; {
		case !a.Running && a.Again:
			role = roleRetry
		case a.Running && a.CommitAt > 0 && a.CommitMillis == 0:
			role = roleTM
		}
	}
	for f := app; f != nil && role != ""; f = f.outer {
		if f.Role == role {
			return f
		}
	}
	return app
}

func count(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
