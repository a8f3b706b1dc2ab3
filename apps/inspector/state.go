package inspector

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/session"
)

// Totals count the events since the process began, those of requests for the inspector excepted.
type Totals struct {
	Requests  uint64 `json:"requests"` // that have ended
	Jobs      uint64 `json:"jobs"`     // transactions of jobs that have ended
	Running   int    `json:"running"`
	Attempts  uint64 `json:"attempts"` // that have ended
	Lost      uint64 `json:"lost"`     // attempts that were lost to conflicts
	Committed uint64 `json:"committed"`
	// Outcomes counts the attempts by their outcome.
	Outcomes map[observe.Outcome]uint64 `json:"outcomes"`
	// Failed counts the requests that ended with a status of 500 or more, or a panic.
	Failed   uint64                          `json:"failed"`
	Sessions map[observe.SessionEvent]uint64 `json:"sessions"`
}

// AppTotals count the requests of an app.
type AppTotals struct {
	Requests uint64 `json:"requests"`
	Attempts uint64 `json:"attempts"`
	Lost     uint64 `json:"lost"`
}

// KeyTotals count the uses of a key, or range of keys, and their conflicts and waits.
type KeyTotals struct {
	DB          string  `json:"db"`
	Bucket      string  `json:"bucket"`
	Key         string  `json:"key"`
	Reads       uint64  `json:"reads"`
	Writes      uint64  `json:"writes"`
	Lost        uint64  `json:"lost"` // attempts
	Queued      uint64  `json:"queued"`
	QueueMillis float64 `json:"queue_ms"`
}

func (k *KeyTotals) weight() uint64 { return k.Reads + k.Writes + 100*(k.Lost+k.Queued) }

type keyID struct{ db, bucket, key string }

const (
	maxTrackedKeys = 1000 // half of them are dropped when there are more
	maxApps        = 200
	maxReloads     = 20
)

// A state is what the inspectors of all loads of one section share.
type state struct {
	mu       sync.Mutex // guards the rest, but not the contents of records
	began    uint64
	ended    uint64
	running  map[*picture.Record]struct{}
	recent   ring // all requests that have ended
	troubled ring // those that were lost to a conflict or failed
	totals   Totals
	apps     map[string]*AppTotals
	keys     map[keyID]*KeyTotals
	version  uint64 // changes with each of the above

	current *site
	reloads []Reload // the newest first
	streams int

	surveyMu sync.Mutex // guards the next two
	surveyed time.Time
	surveys  []session.Survey
}

func newState() *state {
	return &state{
		running: map[*picture.Record]struct{}{}, apps: map[string]*AppTotals{}, keys: map[keyID]*KeyTotals{},
		totals: Totals{
			Outcomes: map[observe.Outcome]uint64{}, Sessions: map[observe.SessionEvent]uint64{},
		},
	}
}

// A record is that of a request that has ended.
type record struct {
	*picture.Record
	ended uint64 // in the order in which requests ended, from 1
	size  int    // in bytes, about
}

// A ring holds the newest records within limits.
type ring struct {
	records []*record // the oldest first
	size    int       // in bytes
	most    int
	memory  int
}

func (q *ring) limit(most, memory int) {
	q.most, q.memory = most, memory
	q.shrink()
}

func (q *ring) add(r *record) {
	q.records = append(q.records, r)
	q.size += r.size
	q.shrink()
}

func (q *ring) shrink() {
	for len(q.records) > q.most || q.size > q.memory && len(q.records) > 1 {
		q.size -= q.records[0].size
		q.records[0] = nil
		q.records = q.records[1:]
	}
}

// newest returns up to n records that have ended after the given one, the newest first.
func (q *ring) newest(n int, after uint64) []*record {
	var found []*record
	for _, r := range slices.Backward(q.records) {
		if len(found) == n || r.ended <= after {
			break
		}
		found = append(found, r)
	}
	return found
}

func (s *state) begin(r *picture.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began++
	r.SetNumber(s.began)
	s.running[r] = struct{}{}
	s.version++
}

// disown removes the record of a request for the inspector.
func (s *state) disown(r *picture.Record) {
	r.Discard()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, r)
}

func (s *state) end(r *picture.Record) {
	if r.Discarded() {
		return
	}
	var app, job string
	var attempts, lost uint64
	var failed, remarked bool
	kept := &record{Record: r}
	r.View(func(q *picture.Request) {
		app, job, failed, kept.size = q.App, q.Job, q.Failed(), q.Size()
		remarked = len(q.Remarks()) > 0
		attempts = uint64(len(q.Attempts) + q.More) //nolint:gosec // not negative
		for i := range q.Attempts {
			if q.Attempts[i].Outcome == observe.Conflicted {
				lost++
			}
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	delete(s.running, r)
	s.ended++
	kept.ended = s.ended
	s.recent.add(kept)
	if lost > 0 || failed || remarked {
		s.troubled.add(kept)
	}
	if job != "" {
		s.totals.Jobs++
		return
	}
	s.totals.Requests++
	if failed {
		s.totals.Failed++
	}
	t := s.apps[app]
	if t == nil {
		if len(s.apps) >= maxApps { // names from earlier files
			clear(s.apps)
		}
		t = &AppTotals{}
		s.apps[app] = t
	}
	t.Requests++
	t.Attempts += attempts
	t.Lost += lost
}

// attempted counts an attempt of a request that has ended.
func (s *state) attempted(outcome observe.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.totals.Attempts++
	s.totals.Outcomes[outcome]++
	switch outcome {
	case observe.Conflicted:
		s.totals.Lost++
	case observe.Committed:
		s.totals.Committed++
	}
}

// used counts the keys of an attempt that has ended.
func (s *state) used(used []picture.Key, lost *picture.Conflict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	for i := range used {
		k, n := &used[i], uint64(used[i].Count) //nolint:gosec // not negative
		t := s.key(keyID{k.DB, k.Bucket, k.Key})
		if k.Op == observe.Put || k.Op == observe.Delete {
			t.Writes += n
		} else {
			t.Reads += n
		}
	}
	if lost != nil && lost.Bucket != "" {
		s.key(keyID{lost.DB, lost.Bucket, lost.Key}).Lost++
	}
}

// queued counts a wait for a key.
func (s *state) queued(f observe.Queue) {
	if f.Bucket == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.key(keyID{f.DB, f.Bucket, f.Key})
	k.Queued++
	k.QueueMillis += f.Duration.Seconds() * 1000
}

// key returns the totals of a key. If there are too many keys, the half with the fewest uses is
// dropped.
func (s *state) key(id keyID) *KeyTotals {
	k := s.keys[id]
	if k != nil {
		return k
	}
	if len(s.keys) >= maxTrackedKeys {
		kept := s.busiest(maxTrackedKeys / 2)
		clear(s.keys)
		for _, k := range kept {
			s.keys[keyID{k.DB, k.Bucket, k.Key}] = &k
		}
	}
	k = &KeyTotals{DB: id.db, Bucket: id.bucket, Key: id.key}
	s.keys[id] = k
	return k
}

// busiest returns copies of up to n keys, the most contended first, then the most used.
func (s *state) busiest(n int) []KeyTotals {
	all := make([]KeyTotals, 0, len(s.keys))
	for k := range maps.Values(s.keys) {
		all = append(all, *k)
	}
	slices.SortFunc(all, func(a, b KeyTotals) int {
		return cmp.Or(
			-cmp.Compare(a.Lost, b.Lost), -cmp.Compare(a.weight(), b.weight()),
			cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key),
		)
	})
	return all[:min(n, len(all))]
}

func (s *state) sessionChanged(change observe.SessionEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals.Sessions[change]++
	s.version++
}

// now returns copies of the totals.
func (s *state) now() (t Totals, apps map[string]AppTotals, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.totals
	t.Running = len(s.running)
	t.Outcomes, t.Sessions = maps.Clone(t.Outcomes), maps.Clone(t.Sessions)
	apps = map[string]AppTotals{}
	for name, app := range s.apps {
		apps[name] = *app
	}
	return t, apps, s.version
}

// runningNow returns copies of the requests that run, the oldest first.
func (s *state) runningNow() []picture.Request {
	s.mu.Lock()
	records := slices.Collect(maps.Keys(s.running))
	s.mu.Unlock()
	all := copies(records)
	slices.SortFunc(all, func(a, b picture.Request) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// endedAfter returns copies of up to n requests that have ended after the given one, the newest
// first, and the number of the last end.
func (s *state) endedAfter(after uint64, n int) (all []picture.Request, last uint64) {
	s.mu.Lock()
	records := s.recent.newest(n, after)
	last = s.ended
	s.mu.Unlock()
	return copies(pictures(records)), last
}

// lately returns copies of the newest requests and of the newest troubled ones, the newest first.
func (s *state) lately(recent, troubled int) []picture.Request {
	s.mu.Lock()
	records := s.recent.newest(recent, 0)
	for _, r := range s.troubled.newest(troubled, 0) {
		if !slices.Contains(records, r) {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record) int { return -cmp.Compare(a.ended, b.ended) })
	s.mu.Unlock()
	return copies(pictures(records))
}

// find returns a copy of a request by its number.
func (s *state) find(number uint64) (picture.Request, bool) {
	return s.first(func(r *picture.Record) bool { return r.Number() == number })
}

// byID returns a copy of a request by its id.
func (s *state) byID(id string) (picture.Request, bool) {
	return s.first(func(r *picture.Record) bool { return r.ID() == id })
}

func (s *state) first(is func(*picture.Record) bool) (picture.Request, bool) {
	s.mu.Lock()
	records := slices.Concat(pictures(s.recent.records), pictures(s.troubled.records),
		slices.Collect(maps.Keys(s.running)))
	s.mu.Unlock()
	i := slices.IndexFunc(records, is)
	if i < 0 {
		return picture.Request{}, false
	}
	return records[i].Copy(time.Now()), true
}

func pictures(records []*record) []*picture.Record {
	all := make([]*picture.Record, len(records))
	for i, r := range records {
		all[i] = r.Record
	}
	return all
}

func copies(records []*picture.Record) []picture.Request {
	now := time.Now()
	all := make([]picture.Request, len(records))
	for i, r := range records {
		all[i] = r.Copy(now)
	}
	return all
}
