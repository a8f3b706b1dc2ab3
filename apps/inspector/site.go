package inspector

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/session"
)

// A site is one load of the configuration.
type site struct {
	root     *picture.Frame
	frames   []*picture.Frame          // all, the outermost first
	apps     map[string]*picture.Frame // by the names of the apps, see [tree.Node.AppName]
	files    []string
	values   map[settingID]value
	order    []settingID
	sessions []*session.Manager
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
		apps: map[string]*picture.Frame{}, files: c.Tree.Files(), values: map[settingID]value{},
		frames: picture.NewFrames(c.Tree, r),
	}
	s.root = s.frames[0]
	for _, f := range s.frames {
		if f.Kind != string(tree.KindFilter) {
			name := f.Node.AppName()
			if was := s.apps[name]; was == nil || f.Kind == string(tree.KindApp) {
				s.apps[name] = f
			}
		}
		s.settings(f)
	}
	for _, m := range c.Sessions {
		if m, ok := m.(*session.Manager); ok && !slices.Contains(s.sessions, m) {
			s.sessions = append(s.sessions, m)
		}
	}
	return s
}

// settings records the values of a frame, to compare them after the next load.
func (s *site) settings(f *picture.Frame) {
	n := f.Node
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
func (s *site) figures(running []picture.Request, apps map[string]AppTotals, t Totals) map[string]Figures {
	here := map[*picture.Frame]int{}
	for i := range running {
		here[s.leaf(running[i].App).Locate(&running[i])]++
	}
	byFrame := map[*picture.Frame]AppTotals{}
	for name, app := range apps {
		for f := s.leaf(name); f != nil; f = f.Outer {
			sum := byFrame[f]
			sum.Requests += app.Requests
			sum.Attempts += app.Attempts
			sum.Lost += app.Lost
			byFrame[f] = sum
		}
	}
	inside := map[*picture.Frame]int{}
	for f, n := range here {
		for ; f != nil; f = f.Outer {
			inside[f] += n
		}
	}
	figures := map[string]Figures{}
	for _, f := range s.frames {
		n := byFrame[f]
		text := count(n.Requests, "request")
		switch f.Role {
		case picture.RoleRetry:
			text = count(n.Attempts, "attempt")
			if n.Lost > 0 {
				text += ", " + fmt.Sprint(n.Lost) + " lost"
			}
		case picture.RoleTM:
			text = count(n.Attempts, "transaction")
			if s.only(picture.RoleTM) {
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
func (s *site) leaf(app string) *picture.Frame {
	f := s.apps[app]
	if f == nil {
		return s.root
	}
	for f.Inner != nil {
		f = f.Inner
	}
	return f
}

func count(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
