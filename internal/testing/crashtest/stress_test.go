package main_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	crashes = flag.Int("crashes", 0, "how many crashes TestManyCrashes makes; 0 for none")
	seed    = flag.Uint64("seed", 0, "what its choices come from; 0 for the time")
)

// A toll is how often what was killed where.
type toll map[string]int

func (t toll) String() string {
	var b strings.Builder
	for _, place := range slices.SortedFunc(maps.Keys(t), func(a, b string) int { return cmp.Or(t[b]-t[a], strings.Compare(a, b)) }) {
		fmt.Fprintf(&b, "%6d  %s\n", t[place], place)
	}
	return b.String()
}

// perWorld is how many crashes a pair of databases has to stand.
const perWorld = 20

// TestManyCrashes is the stress test: workers that do many transfers at once die at random places, at random times, or have a server killed;
// and whatever has happened, the next one recovers, and finds all as it has to be. make stress runs it.
func TestManyCrashes(t *testing.T) { //nolint:tparallel // one pair of databases after the other, on servers that are killed
	t.Parallel()
	if *crashes == 0 {
		t.Skip("runs with -crashes=1000, as make stress has it")
	}
	chosen := cmp.Or(*seed, uint64(time.Now().UnixNano()))
	t.Logf("-seed=%d", chosen)
	r := rand.New(rand.NewPCG(chosen, 0))
	s := startServers(t)
	died := toll{}
	begun := time.Now()
	made, answers, doubts := 0, map[string]int{}, 0
	for made < *crashes && !t.Failed() {
		of := pairs[r.IntN(len(pairs))]
		t.Run(fmt.Sprintf("%s/from_%d", of, made), func(t *testing.T) {
			w := newWorld(t, s, of)
			for range min(perWorld, *crashes-made) {
				made += w.crashSomehow(r, died)
			}
			w.check()
			for _, a := range w.answers {
				answers[a.verb]++
			}
			doubts += w.doubts
		})
		if time.Since(begun) > time.Duration(made)*time.Minute {
			t.Fatalf("in %v there were %d crashes only", time.Since(begun), made)
		}
	}
	t.Logf("%d crashes in %v, of workers that committed %d transfers, aborted %d, and left %d in doubt:\n%s",
		made, time.Since(begun).Round(time.Second), answers["committed"], answers["aborted"], answers["doubt"], died)
	if !t.Failed() {
		t.Log("afterwards all sums were whole, no transfer was half, nothing was left prepared, and nothing of others was touched")
	}
}

// crashSomehow starts a worker, which recovers from the crash before and looks whether all is well, and kills it, or a server. It returns
// how many crashes there were: none, if the place where it was to die was not reached.
func (w *world) crashSomehow(r *rand.Rand, died toll) int {
	w.t.Helper()
	place, anyTime := w.somewhere(r), r.IntN(2) == 0
	// A server that comes back late leaves a worker with parts of its own that only another look will settle.
	p := w.start("PASTELINE_CRASH="+place, "-every=300ms", fmt.Sprintf("-goroutines=%d", 1+r.IntN(6)))
	alive := p.next() == "ready" && w.inspect(p)
	switch {
	case place != "" || !alive:
		if alive {
			p.order("move 60")
			p.orders.Close()
		}
		if !p.killed() {
			died["(not reached)"]++
			return 0
		}
		name, _ := splitPlace(place)
		died[name]++
	case anyTime:
		p.send("move 100000")
		p.awaitAnswers(r.IntN(40))
		<-time.After(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
		p.kill()
		died["process, at any time"]++
	default:
		victim := r.IntN(len(w.pg))
		p.send("move 80")
		p.awaitAnswers(r.IntN(40))
		w.servers[victim].Kill()
		w.servers[victim].Start()
		p.expect("moved")
		if !w.inspect(p) {
			w.t.Fatalf("the worker died\n%s", p.log())
		}
		p.finish()
		died[fmt.Sprintf("server %d, at any time", victim+1)]++
	}
	return 1
}

// somewhere chooses where the next worker is to die: a place and number, or "" for none.
func (w *world) somewhere(r *rand.Rand) string {
	if r.IntN(5) == 0 {
		return ""
	}
	own := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !slices.Contains(s.pairs, w.pair) })
	s := own[r.IntN(len(own))]
	if s.way == moving {
		return fmt.Sprintf("%s:%d", s.place, 1+r.IntN(30))
	}
	return s.place + ":1"
}

// splitPlace takes the number off.
func splitPlace(place string) (name, number string) {
	i := strings.LastIndexByte(place, ':')
	return place[:i], place[i+1:]
}
