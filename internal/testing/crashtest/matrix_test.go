package main_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var all = flag.Bool("all", false, "the whole matrix, of which an everyday test runs a dozen cases")

// A step is a crash point, and how a worker gets there.
type step struct {
	place string
	pairs []pair
	way   way
}

// A way is how a worker gets to a place.
type way int

const (
	moving     way = iota // it makes transfers
	conflicted            // it makes many at once, so that some are given up
	closing               // it closes its databases
	recovering            // it finds what another has left that was killed before the decision
	finishing             // … or after the decision
)

// steps are all steps of the protocol; TestEveryStepIsHere sees to that.
var steps = []step{
	{"before prepare", pairs, moving},
	{"postgres: staged", pairs, moving},
	{"after prepare", pairs, moving},
	{"before decision", pairs, moving},
	{"postgres: decision recorded", []pair{pgPG}, moving},
	{"postgres: committed", []pair{pgPG}, moving},
	{"bolt: decision recorded", []pair{pgBolt}, moving},
	{"bolt: committed", []pair{pgBolt}, moving},
	{"sqltx: decision recorded", []pair{pgSQLite}, moving},
	{"sqltx: committed", []pair{pgSQLite}, moving},
	{"after decision", pairs, moving},
	{"before finish", pairs, moving},
	{"after finish", pairs, moving},
	{"before forget", pairs, moving},
	{"before abort", []pair{pgPG, pgBolt}, conflicted},
	{"postgres: before forgetting", []pair{pgPG}, closing},
	{"postgres: forgotten", []pair{pgPG}, closing},
	{"recovery: found", pairs, recovering},
	{"recovery: found", pairs, finishing},
	{"postgres: outcome settled", []pair{pgPG}, recovering},
	{"postgres: outcome settled", []pair{pgPG}, finishing},
	{"bolt: outcome settled", []pair{pgBolt}, recovering},
	{"bolt: outcome settled", []pair{pgBolt}, finishing},
	{"sqltx: outcome settled", []pair{pgSQLite}, recovering},
	{"recovery: judged", pairs, recovering},
	{"recovery: judged", pairs, finishing},
	{"recovery: settled", pairs, recovering},
	{"recovery: settled", pairs, finishing},
}

// everyday are the cases that run always: of each kind of step one, and each pair a few times.
var everyday = []string{
	"postgres+bolt/after_prepare/3",
	"postgres+sqlite/before_decision/4",
	"postgres+postgres/postgres:_decision_recorded/3",
	"postgres+postgres/postgres:_committed/4",
	"postgres+bolt/bolt:_committed/3",
	"postgres+sqlite/sqltx:_committed/3",
	"postgres+bolt/before_abort/1",
	"postgres+sqlite/recovery:_judged/after_after_decision",
	"postgres+bolt/before_decision/server_1",
	"postgres+postgres/postgres:_decision_recorded/server_2",
	"postgres+postgres/after_decision/servers_1_and_2",
	"postgres+postgres/two_recover,_decided",
	"postgres+sqlite/two_recover,_not_decided",
	"postgres+postgres/a_slow_owner_is_left_alone",
	"postgres+postgres/an_owner_is_taken_for_dead",
}

// A testCase is something that is done to a pair of databases.
type testCase struct {
	name string
	pair pair
	run  func(*world)
}

// matrix is all cases.
func matrix() (list []testCase) {
	add := func(of pair, run func(*world), name ...string) {
		text := strings.ReplaceAll(strings.Join(name, "/"), " ", "_") // as the test's name will have it
		list = append(list, testCase{string(of) + "/" + text, of, run})
	}
	for _, of := range pairs {
		for _, step := range steps {
			if !slices.Contains(step.pairs, of) {
				continue
			}
			for _, c := range step.cases() {
				add(of, func(w *world) { w.survives(c) }, step.place, c.name)
			}
			if step.way != moving && step.way != recovering {
				continue
			}
			add(of, func(w *world) { w.survivesServers(step, 0) }, step.place, "server 1")
			if of == pgPG {
				add(of, func(w *world) { w.survivesServers(step, 1) }, step.place, "server 2")
				add(of, func(w *world) { w.survivesServers(step, 0, 1) }, step.place, "servers 1 and 2")
			}
		}
		for _, m := range meetings {
			if slices.Contains(m.pairs, of) {
				add(of, m.run, m.name)
			}
		}
	}
	return list
}

// Whatever the moment in which the process, or a server, is killed: afterwards all is well.
func TestCrashes(t *testing.T) { //nolint:tparallel // the subtests share the servers, which they kill
	t.Parallel()
	s := startServers(t)
	found := 0
	for _, c := range matrix() {
		known := slices.Contains(everyday, c.name)
		if known {
			found++
		}
		if known || *all {
			t.Run(c.name, func(t *testing.T) { c.run(newWorld(t, s, c.pair)) })
		}
	}
	if found != len(everyday) {
		t.Errorf("of %d cases for every day, %d exist", len(everyday), found)
	}
}

// A crashCase is a worker that is to die, perhaps after another.
type crashCase struct {
	name  string
	first string // where the other one dies; empty: there is none
	place string // and number
	flags []string
	moves int
}

func (s step) cases() (list []crashCase) {
	switch s.way {
	case recovering:
		return []crashCase{{name: "after before decision", first: "before decision:3", place: s.place}}
	case finishing:
		return []crashCase{{name: "after after decision", first: "after decision:3", place: s.place}}
	case closing:
		return []crashCase{{name: "1", place: s.place, moves: 5}}
	case conflicted:
		for _, n := range []int{1, 4} {
			list = append(list, crashCase{
				name: strconv.Itoa(n), place: fmt.Sprintf("%s:%d", s.place, n),
				flags: []string{"-goroutines=8", "-kind=0"}, moves: 2000,
			})
		}
		return list
	default:
		for n := range 4 { // the four kinds of writing
			list = append(list, crashCase{name: strconv.Itoa(n + 1), place: fmt.Sprintf("%s:%d", s.place, n+1), moves: 8})
		}
		return list
	}
}

// survives has a worker die, starts another, and looks.
func (w *world) survives(c crashCase) {
	w.t.Helper()
	if c.first != "" {
		w.crash(c.first, 8)
	}
	w.crash(c.place, c.moves, c.flags...)
	inDoubt, records := len(w.prepared()), w.decisions()
	w.check()
	// Each part that was in doubt may have left a record, and bolt forgets the last one with the next commit.
	if now := w.decisions(); now > records+inDoubt+1 {
		w.t.Errorf("%d records of decisions are left, there were %d after the crash, and %d parts in doubt", now, records, inDoubt)
	}
}

// crash starts a worker, which has to die at that place.
func (w *world) crash(place string, moves int, flags ...string) {
	w.t.Helper()
	p := w.start("PASTELINE_CRASH="+place, flags...)
	if p.next() == "ready" {
		p.order("move %d", moves)
		p.orders.Close()
	}
	if !p.killed() {
		w.t.Fatalf("the worker never came to %q\n%s", place, p.log())
	}
	w.awaitAlone(p)
}

// survivesServers has a worker wait at a place, while servers are killed and started again.
func (w *world) survivesServers(s step, victims ...int) {
	w.t.Helper()
	place, moves := s.place+":3", 8
	if s.way == recovering {
		w.crash("before decision:3", 8)
		place, moves = s.place, 0
	}
	p := w.start("PASTELINE_PAUSE=" + place)
	if moves > 0 {
		p.expect("ready")
		p.send("move %d", moves)
	}
	p.awaitPause()
	for _, i := range victims {
		w.servers[i].Kill()
	}
	for _, i := range victims {
		w.servers[i].Start()
	}
	p.goOnForGood()
	if moves > 0 {
		p.expect("moved")
	} else {
		p.expect("ready")
	}
	if w.doubts > 0 {
		w.t.Errorf("the worker is in doubt, though all servers can be asked: %v", w.answers)
	}
	if s.way != recovering {
		w.expectPrepared("the servers were there when the worker went on", 0)
	}
	if !w.inspect(p) {
		w.t.Fatalf("the worker died\n%s", p.log())
	}
	p.finish()
	w.check()
	if len(w.answers) < moves {
		w.t.Errorf("the worker told the outcome of %d transfers, want %d", len(w.answers), moves)
	}
}

// A place in the code that has a name and no case here would be a step that nobody has tried to die at.
func TestEveryStepIsHere(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, step := range steps {
		known[step.place] = true
	}
	named := map[string]bool{}
	err := filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Here" {
				return true
			}
			if of, ok := f.X.(*ast.Ident); !ok || of.Name != "failpoint" {
				return true
			}
			place, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: a crash point without a name of its own", path)
				return true
			}
			name, err := strconv.Unquote(place.Value)
			if err != nil {
				t.Error(err)
			}
			named[name] = true
			if !known[name] {
				t.Errorf("%s: the crash point %q is in no case of this test", path, name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range known {
		if !named[name] {
			t.Errorf("no crash point has the name %q", name)
		}
	}
}
