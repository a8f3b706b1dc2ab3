package myapp

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Limits of the races that are kept.
const (
	maxRaces    = 50
	maxRunners  = 8  // requests of one race
	maxRaceName = 64 // bytes
)

// everyone is the owner of races for the shared counter.
const everyone = ""

// races keeps the newest races: requests that the page sends at the same moment, with the same name
// in the parameter race. It is for development, since it listens to all requests. It is safe for
// concurrent use; join and last do nothing on a nil races.
type races struct {
	listener picture.Listener

	mu  sync.Mutex // guards all, and the races in it
	all []*race    // the oldest first
}

// A race is a group of requests. Its name is chosen by the client.
type race struct {
	name, owner string
	runners     []*picture.Record
}

// browserOf returns the owner of races for the session's counter.
func browserOf(r *http.Request) string {
	id, _ := browserid.FromContext(r.Context())
	return "browser " + string(id)
}

// join adds a request to the race that it names, if it names one. Further attempts of the same
// request change nothing.
func (rs *races) join(r *http.Request, owner string) {
	if rs == nil || !strings.Contains(r.URL.RawQuery, "race=") {
		return
	}
	name := r.URL.Query().Get("race")
	record := rs.listener.Find(r.Context())
	if record == nil || name == "" || len(name) > maxRaceName {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	of := rs.named(name, owner)
	if of == nil {
		of = &race{name: name, owner: owner}
		if rs.all = append(rs.all, of); len(rs.all) > maxRaces {
			rs.all = slices.Delete(rs.all, 0, 1)
		}
	}
	if !slices.Contains(of.runners, record) && len(of.runners) < maxRunners {
		of.runners = append(of.runners, record)
		record.SetNumber(uint64(len(of.runners)))
	}
}

// named returns the race with a name that an owner may see, or nil. The caller holds rs.mu.
func (rs *races) named(name, owner string) *race {
	for _, of := range slices.Backward(rs.all) {
		if of.name == name && of.owner == owner {
			return of
		}
	}
	return nil
}

// find returns a copy of the requests of a race that the browser may see.
func (rs *races) find(name, browser string) []picture.Request {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return cmp.Or(rs.named(name, browser), rs.named(name, everyone)).copy()
}

// last returns a copy of the requests of the newest race of an owner.
func (rs *races) last(owner string) []picture.Request {
	if rs == nil {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, of := range slices.Backward(rs.all) {
		if of.owner == owner {
			return of.copy()
		}
	}
	return nil
}

// copy returns the requests as they are now. The caller holds the mutex of the races.
func (of *race) copy() []picture.Request {
	if of == nil {
		return nil
	}
	now := time.Now()
	requests := make([]picture.Request, len(of.runners))
	for i, r := range of.runners {
		requests[i] = r.Copy(now)
	}
	return requests
}

// shortestScale is the least time in milliseconds that the width of a race stands for, so that the
// scale rarely changes while the race runs.
const shortestScale = 600

// draw returns the timelines of a race, on one scale that starts with its first request.
func draw(requests []picture.Request) []picture.Row {
	byID := func(id string) (picture.Request, bool) {
		i := slices.IndexFunc(requests, func(q picture.Request) bool { return q.ID == id })
		if i < 0 {
			return picture.Request{}, false
		}
		return requests[i], true
	}
	rows := make([]picture.Row, len(requests))
	scale := float64(shortestScale)
	for i, q := range requests {
		rows[i] = picture.NewRow(q, byID)
		first := requests[0].Start
		for _, other := range requests {
			if other.Start.Before(first) {
				first = other.Start
			}
		}
		rows[i].Shift(float64(q.Start.Sub(first).Microseconds()) / 1000)
		if rows[i].Extent > scale {
			scale = rows[i].Scale
		}
	}
	for i := range rows {
		rows[i].Scale = scale
	}
	return rows
}

// How a race is streamed.
const (
	raceTick   = 40 * time.Millisecond
	longestRun = 20 * time.Second
)

// A raceEvent is the state of a race. Dots has the text of the frames' dots by the id of the frame.
type raceEvent struct {
	Timelines template.HTML     `json:"timelines"`
	Dots      map[string]string `json:"dots"`
	Done      bool              `json:"done"`
}

// race streams the timelines of a race as they grow, until its requests have ended. A client may
// ask before the race begins. The stream needs no transaction: its first flush ends the one that it
// has.
func (a *app) race(w http.ResponseWriter, r *http.Request) error {
	name, browser := chi.URLParam(r, "name"), browserOf(r)
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // keeps nginx from buffering events
	fmt.Fprint(w, "retry: 1000\n\n")
	if err := control.Flush(); err != nil {
		return err // nothing has been sent, so the request is run again after a conflict
	}
	if r.Method == http.MethodHead {
		return nil
	}
	tick := time.NewTicker(raceTick)
	defer tick.Stop()
	end := time.NewTimer(longestRun)
	defer end.Stop()
	stopping := a.servers.Done(r)
	for {
		requests := a.races.find(name, browser)
		event := raceEvent{Dots: map[string]string{}, Done: len(requests) > 1}
		for i := range requests {
			if requests[i].Running {
				event.Done = false
				event.Dots[a.frame.Locate(&requests[i]).ID] += "●"
			}
		}
		if len(requests) > 0 {
			timelines, err := a.pages.part("timelines", draw(requests))
			if err != nil {
				return err
			}
			event.Timelines = timelines
			text, err := json.Marshal(event)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || control.Flush() != nil {
				return nil // the client has disconnected
			}
		}
		if event.Done {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-stopping:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// frameOf returns the frame of the app of a section.
func frameOf(frames []*picture.Frame, section string) *picture.Frame {
	i := slices.IndexFunc(frames, func(f *picture.Frame) bool {
		return f.Node.Name == section && f.Kind == string(tree.KindApp)
	})
	return frames[max(i, 0)]
}
