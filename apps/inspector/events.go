package inspector

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
)

const (
	maxStreams  = 16
	tick        = time.Second / 4 // between two events
	slowEvery   = 8               // ticks between two looks at keys, sessions and databases
	quietTicks  = 60              // after which a comment shows that the stream lives
	patience    = 5 * time.Second // for a client that does not read
	shownInTick = 40              // requests of one event
)

// An event is a change of the page.
type event struct {
	Values map[string]string `json:"values,omitempty"`
	Rows   []string          `json:"rows,omitempty"` // new ones of the timeline, the newest first
	All    bool              `json:"all,omitempty"`  // Rows are all that the timeline has
	Parts  map[string]string `json:"parts,omitempty"`
	Missed bool              `json:"missed,omitempty"` // Rows leaves out requests that have ended
}

// enter reports whether another stream may begin; leave must be called then.
func (s *state) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams >= maxStreams {
		return false
	}
	s.streams++
	return true
}

func (s *state) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}

// events streams the changes of the page. The goroutine of the stream asks for them; requests never
// wait for it.
func (a *app) events(w http.ResponseWriter, r *http.Request) {
	if !a.state.enter() {
		w.Header().Set("Retry-After", "10")
		http.Error(w, fmt.Sprintf("%d pages are open, which is the most; close one", maxStreams),
			http.StatusServiceUnavailable)
		return
	}
	defer a.state.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // keeps nginx from buffering events
	control := http.NewResponseController(w)
	send := func(text string) bool {
		// A server without deadlines has a limit of its own for slow clients, or none.
		_ = control.SetWriteDeadline(time.Now().Add(patience))
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !send("retry: 1000\n\n") {
		return
	}
	stream := stream{app: a}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	stopping := a.servers.Done(r)
	for quiet := 0; ; {
		if current, _ := a.state.history(); current != a.site {
			return // reloaded: the browser connects to the new pipeline
		}
		switch e := stream.next(r.Context()); {
		case e != nil:
			text, err := json.Marshal(e)
			if err != nil || !send("data: "+string(text)+"\n\n") {
				return
			}
			quiet = 0
		case quiet == quietTicks:
			if !send(": quiet\n\n") {
				return
			}
			quiet = 0
		default:
			quiet++
		}
		select {
		case <-ticker.C:
		case <-stopping:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// A stream makes the events for one client.
type stream struct {
	app     *app
	ticks   int
	version uint64
	ended   uint64 // the last request that was sent
	running bool   // the last event showed running requests
	parts   map[string]string
	values  map[string]string
}

// next returns the next event, or nil if nothing has changed.
func (s *stream) next(ctx context.Context) *event {
	a := s.app
	first := s.ticks == 0
	slow := s.ticks%slowEvery == 0
	s.ticks++
	_, _, version := a.state.now()
	if version == s.version && !slow && !s.running {
		return nil
	}
	s.version = version
	e := &event{}
	current, _ := a.state.history()
	running := a.state.runningNow()
	s.running = len(running) > 0
	e.Values = s.changedValues(a.values(current, running))
	var fresh []picture.Request
	var last uint64
	if first {
		p := a.pageOf(ctx, false)
		for i := range p.Rows {
			e.Rows = append(e.Rows, a.html("row", p.Rows[i]))
		}
		e.All = true
		_, last = a.state.endedAfter(^uint64(0), 0)
	} else {
		fresh, last = a.state.endedAfter(s.ended, shownInTick)
		for i := range fresh {
			e.Rows = append(e.Rows, a.html("row", a.row(ctx, fresh[i])))
		}
		e.Missed = last > s.ended+uint64(len(fresh))
	}
	s.ended = last
	now := &page{}
	now.Running, now.MoreRuns = groups(running)
	parts := map[string]string{"running": a.html("running", now)}
	if slow {
		p := a.pageOf(ctx, true)
		for _, name := range []string{"keys", "sessions", "databases", "reloads"} {
			parts[name] = a.html(name, p)
		}
		if first {
			parts["pipeline"], parts["settings"] = a.html("pipeline", p), a.html("settings", p)
		}
	}
	e.Parts = s.changedParts(parts)
	if len(e.Values) == 0 && len(e.Rows) == 0 && len(e.Parts) == 0 && !e.All {
		return nil
	}
	return e
}

// changedValues returns the values that the client does not have yet.
func (s *stream) changedValues(now map[string]string) map[string]string {
	changed := changed(s.values, now)
	s.values = now
	return changed
}

// changedParts is changedValues for parts of the page.
func (s *stream) changedParts(now map[string]string) map[string]string {
	changed := changed(s.parts, now)
	if s.parts == nil {
		s.parts = map[string]string{}
	}
	maps.Copy(s.parts, now)
	return changed
}

func changed(before, now map[string]string) map[string]string {
	changed := map[string]string{}
	for name, text := range now {
		if was, ok := before[name]; !ok || was != text {
			changed[name] = text
		}
	}
	return changed
}
