package session_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

// An op is one request of the browser, its answer, and the times of both.
type op struct {
	kind       string // "read", "add", "login", "logout"
	id         string // the id that the request was sent with
	user       string // the user of a log-in; empty: none
	word       string // the word that add and login add to the session
	sent, done int64

	saw     string // the words in the session before
	refused bool
	next    string // the browser's id afterwards
}

func (o op) String() string {
	return fmt.Sprintf("[%d,%d] %s %.6s user %q word %q: saw %q, refused %t, then %.6s",
		o.sent, o.done, o.kind, o.id, o.user, o.word, o.saw, o.refused, o.next)
}

// A place is the state of one id in a model: a session, or a tombstone.
type place struct {
	words, user string
	marked      bool
	firstUser   string // the user of the renewal that left the tombstone
	first       string // the id that this renewal made
}

// apply runs o on a model, and reports whether o's answer is possible there.
func (o op) apply(m map[string]place) bool {
	p := m[o.id]
	switch o.kind {
	case "read":
		return o.next == o.id && !o.refused && o.saw == p.visible()
	case "add", "logout":
		if o.refused || p.marked {
			return o.refused && p.marked && o.next == o.id
		}
		if o.next != o.id || o.saw != p.words {
			return false
		}
		if o.kind == "logout" {
			delete(m, o.id)
			return true
		}
		p.words += o.word
		m[o.id] = p
		return true
	}
	return o.login(m, p)
}

func (p place) visible() string {
	if p.marked {
		return ""
	}
	return p.words
}

func (o op) login(m map[string]place, p place) bool {
	var session place
	switch {
	case !p.marked:
		session = place{words: p.words, user: p.user}
		m[o.id] = place{
			words: p.words, user: p.user, marked: true,
			firstUser: cmp.Or(o.user, p.user), first: o.next,
		}
	case o.user != "" && isLive(m, p.last(m, o.user)):
		last := p.last(m, o.user)
		if o.refused || o.next != last || o.saw != m[last].words {
			return false
		}
		session = m[last]
		session.user = o.user // an invalidated session has no user
		session.words += o.word
		m[last] = session
		return true
	case p.user == "" || p.user == o.user:
		session = place{words: p.words, user: p.user}
	case o.user == "":
		return o.refused && o.next == o.id
	default: // another user gets an empty session
	}
	if _, taken := m[o.next]; taken || o.refused || o.saw != session.words || o.next == o.id {
		return false
	}
	if o.user != "" {
		session.user = o.user
	}
	session.words += o.word
	m[o.next] = session
	return true
}

// last returns the id that the user's renewals have led to from the tombstone p, or "" if its first
// renewal was for another user.
func (p place) last(m map[string]place, user string) (id string) {
	for p.marked && p.firstUser == user {
		id = p.first
		p = m[id]
	}
	return id
}

func isLive(m map[string]place, id string) bool {
	p, ok := m[id]
	return ok && !p.marked
}

// serial reports whether the ops have a sequential order, compatible with their times, that gives
// the same answers.
func serial(ops []op) bool {
	seen := map[string]bool{}
	var search func(done uint, m map[string]place) bool
	search = func(done uint, m map[string]place) bool {
		if done == 1<<len(ops)-1 {
			return true
		}
		key := fmt.Sprint(done, m)
		if seen[key] {
			return false
		}
		seen[key] = true
		for i, o := range ops {
			if done&(1<<i) != 0 || !first(ops, done, o) {
				continue
			}
			next := maps.Clone(m)
			if o.apply(next) && search(done|1<<i, next) {
				return true
			}
		}
		return false
	}
	return search(0, map[string]place{})
}

// first reports whether o was sent before any unfinished op was answered.
func first(ops []op, done uint, o op) bool {
	for i, other := range ops {
		if done&(1<<i) == 0 && other.done < o.sent {
			return false
		}
	}
	return true
}

// The checker accepts possible histories and rejects impossible ones.
func TestHistoryChecker(t *testing.T) {
	t.Parallel()
	add := op{kind: "add", id: "a", word: "x", sent: 1, done: 4, next: "a"}
	login := op{kind: "login", id: "a", sent: 2, done: 5, next: "b"}
	read := op{kind: "read", id: "b", sent: 6, done: 7, next: "b"}
	saw := read
	saw.saw = "x"
	loginSaw := login
	loginSaw.saw = "x"
	refused := add
	refused.refused = true
	for _, tt := range []struct {
		name string
		ops  []op
		want bool
	}{
		{"a write that is lost", []op{add, login, read}, false},
		{"a refused write", []op{refused, login, read}, true},
		{"a write before the log-in", []op{add, loginSaw, saw}, true},
		{"a write refused without a reason", []op{refused}, false},
		{"a second log-in that finds nothing", []op{
			{kind: "add", id: "a", word: "x", sent: 1, done: 2, next: "a"},
			{kind: "login", id: "a", saw: "x", sent: 3, done: 6, next: "b"},
			{kind: "login", id: "a", sent: 4, done: 5, next: "c"},
		}, false},
		{"a log-in again, after a log-out, by which the session is the user's", []op{
			{kind: "login", id: "a", user: "bob", sent: 1, done: 2, next: "b"},
			{kind: "logout", id: "b", sent: 3, done: 4, next: "b"},
			{kind: "login", id: "a", user: "bob", word: "x", sent: 5, done: 6, next: "b"},
			{kind: "login", id: "b", user: "ann", saw: "x", sent: 7, done: 8, next: "c"},
			{kind: "login", id: "b", saw: "x", refused: true, sent: 9, done: 10, next: "b"},
		}, true},
	} {
		if got := serial(tt.ops); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A history records the requests of one browser.
type history struct {
	managers []*session.Manager // one manager for each machine
	clock    atomic.Int64

	mu  sync.Mutex // guards the rest
	jar string     // the id in the last answer
	ops []op
}

// send sends one request with the id that the browser has now.
func (h *history) send(t *testing.T, m *session.Manager, o op) {
	t.Helper()
	h.mu.Lock()
	o.id = h.jar
	h.mu.Unlock()
	o.sent = h.clock.Add(1)
	b := &browser{id: o.id}
	err := transaction.Run(t.Context(), func(ctx context.Context) error {
		ctx = behind(ctx, b)
		s, err := m.Get(ctx)
		if err != nil {
			return err
		}
		if o.kind == "login" {
			runtime.Gosched()
			if err := m.Renew(ctx, session.As(o.user)); err != nil {
				return err
			}
		}
		if o.saw, _, err = session.Get[string](s, "words"); err != nil || o.kind == "read" {
			return err
		}
		runtime.Gosched() // lets another request run in between
		if o.kind == "logout" {
			return s.Invalidate()
		}
		return s.Set("words", o.saw+o.word)
	}, transaction.Policy{Tries: 100})
	o.refused = errors.Is(err, session.ErrRenewed)
	if err != nil && !o.refused {
		t.Error(err)
	}
	o.next, _ = b.ID()
	o.done = h.clock.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	if o.next != o.id {
		h.jar = o.next
	}
}

// Concurrent requests of one browser, some of which log in or out, are answered as in some
// sequential order, while a sweeper runs, and with several machines.
func TestHistories(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("SESSION_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	engines := []struct {
		name      string
		histories int
		open      func(t *testing.T) []*storage.DB
	}{
		{"memory", 150, func(t *testing.T) []*storage.DB {
			t.Helper()
			db := memory.New("test")
			t.Cleanup(func() { must(t, db.Close()) })
			return []*storage.DB{db}
		}},
		{"bolt", 15, func(t *testing.T) []*storage.DB {
			t.Helper()
			db, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"), nil)
			must(t, err)
			t.Cleanup(func() { must(t, db.Close()) })
			return []*storage.DB{db}
		}},
		{"postgres", 15, func(t *testing.T) []*storage.DB {
			t.Helper()
			uri := pgtest.Database(t)
			var dbs []*storage.DB
			for range 2 { // one for each machine
				opener := storage.NewOpener()
				postgres.Register(opener)
				db, err := opener.Open(t.Context(), uri)
				must(t, err)
				t.Cleanup(func() { must(t, db.Close()) })
				dbs = append(dbs, db)
			}
			return dbs
		}},
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			t.Parallel()
			t.Logf("SESSION_SEED=%d", seed)
			var managers []*session.Manager
			for _, db := range engine.open(t) {
				m, err := session.NewManager(db, session.Config{})
				must(t, err)
				managers = append(managers, m)
			}
			random := rand.New(rand.NewPCG(seed, 0))
			for n := range engine.histories {
				h := &history{managers: managers, jar: fmt.Sprint("browser ", n)}
				h.run(t, random)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func (h *history) run(t *testing.T, random *rand.Rand) {
	t.Helper()
	const clients, each = 4, 4
	kinds := []string{"add", "add", "login", "login", "read", "logout"}
	var all sync.WaitGroup
	for c := range clients {
		var ops []op
		for i := range each {
			ops = append(ops, op{
				kind: kinds[random.IntN(len(kinds))], user: []string{
					"", "ann",
					"bob",
				}[random.IntN(3)], word: fmt.Sprintf("%c%d ", 'a'+c, i),
			})
		}
		all.Go(func() {
			for _, o := range ops {
				h.send(t, h.managers[c%len(h.managers)], o)
			}
		})
	}
	all.Go(func() {
		if _, err := h.managers[0].Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	if !serial(h.ops) {
		slices.SortFunc(h.ops, func(a, b op) int { return int(a.sent - b.sent) })
		var lines []string
		for _, o := range h.ops {
			lines = append(lines, o.String())
		}
		t.Errorf("no sequential order explains these answers:\n%s", strings.Join(lines, "\n"))
	}
}
