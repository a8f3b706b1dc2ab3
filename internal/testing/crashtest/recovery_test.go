package main_test

import (
	"slices"
	"strings"
)

// A meeting is a case of more than one process, of which some wait.
type meeting struct {
	name  string
	pairs []pair
	run   func(*world)
}

// several are the pairs that more than one process can use: a bolt file is open in one at a time.
var several = []pair{pgPG, pgSQLite}

var meetings = []meeting{
	{"two recover, not decided", several, func(w *world) { w.twoRecover("before decision:3") }},
	{"two recover, decided", several, func(w *world) { w.twoRecover("after decision:3") }},
	{"a slow owner is left alone", several, (*world).slowOwner},
	{"an owner is taken for dead", several, (*world).takenForDead},
	{"the decider stays away", []pair{pgPG}, (*world).deciderAway},
}

// twoRecover has two processes know what is to be done with the same prepared part, before either does it.
func (w *world) twoRecover(place string) {
	w.t.Helper()
	w.crash(place, 8)
	var both [2]*process
	for i := range both {
		both[i] = w.start("PASTELINE_PAUSE=recovery: judged")
		both[i].awaitPause()
	}
	for _, p := range both {
		p.goOnForGood()
	}
	for _, p := range both {
		p.expect("ready")
	}
	if ours := w.prepared(); len(ours) > 0 {
		w.t.Errorf("two have recovered, and there is still prepared: %v", ours)
	}
	for _, p := range both {
		p.finish()
	}
	w.check()
}

// bystander starts a worker that does not take SQLite's lock of writers when it begins, for another has that.
func (w *world) bystander() *process {
	w.t.Helper()
	usual := w.uris[1]
	w.uris[1] = strings.NewReplacer("_txlock=immediate&", "", "busy_timeout(5000)", "busy_timeout(100)").Replace(usual)
	p := w.start("PASTELINE_CRASH=")
	w.uris[1] = usual
	p.expect("ready")
	return p
}

// expectPrepared fails the test if there are more or fewer parts prepared.
func (w *world) expectPrepared(when string, want int) {
	w.t.Helper()
	if ours := w.prepared(); len(ours) != want {
		w.t.Errorf("%s: prepared are %v, want %d", when, ours, want)
	}
}

// expectAnswers fails the test if not so many transfers had each of the outcomes.
func (w *world) expectAnswers(committed, aborted, doubt int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := map[string]int{}
	for _, a := range w.answers {
		got[a.verb]++
	}
	if got["committed"] != committed || got["aborted"] != aborted || got["doubt"] != doubt {
		w.t.Errorf("got %v, want committed:%d aborted:%d doubt:%d (%v)", got, committed, aborted, doubt, w.answers)
	}
}

// slowOwner has another process recover while one stands before the decision.
func (w *world) slowOwner() {
	w.t.Helper()
	slow := w.start("PASTELINE_PAUSE=before decision:3")
	slow.expect("ready")
	slow.send("move 8")
	slow.awaitPause()
	other := w.bystander()
	if left := other.left(); left != 1 {
		w.t.Errorf("%d parts are left by another process, want 1", left)
	}
	w.expectPrepared("its owner is slow", 1)
	free := w.pg[0].number(w.t, `SELECT count(*) FROM (SELECT FROM accounts WHERE id = '0' FOR UPDATE SKIP LOCKED) AS free`)
	if free != 0 {
		w.t.Errorf("the lock of a prepared transaction is free")
	}
	slow.goOnForGood()
	slow.expect("moved")
	w.expectAnswers(8, 0, 0)
	slow.finish()
	other.finish()
	w.check()
}

// takenForDead has the connection cut by which others know that a process lives, while that stands before the decision.
func (w *world) takenForDead() {
	w.t.Helper()
	owner := w.start("PASTELINE_PAUSE=before decision:3")
	owner.expect("ready")
	owner.send("move 8")
	owner.awaitPause()
	first := w.prepared()
	cut := w.pg[0].number(w.t, `SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
		WHERE application_name = $1 AND query LIKE 'SELECT pg_catalog.pg_advisory_lock%'`, owner.name)
	if cut != 1 {
		w.t.Fatalf("%d connections were cut, want that of the owner", cut)
	}
	other := w.bystander()
	if w.pair == pgSQLite {
		// The owner is writing there, so nobody can record that it is too late.
		if left := other.left(); left != 1 {
			w.t.Errorf("%d parts are left while the decider can't be written to, want 1", left)
		}
		w.expectPrepared("the decider can't be asked", 1)
	} else {
		w.expectPrepared("the owner was taken for dead", 0)
		owner.goOn()
		owner.awaitPause() // in another attempt of the same transfer: this one failed
		if now := w.prepared(); slices.Equal(now, first) {
			w.t.Errorf("what was prepared and rolled back is there again: %v", now)
		}
		w.expectAnswers(2, 0, 0)
		// By now it has a lock again, and is left alone.
		if left := other.left(); left != 1 {
			w.t.Errorf("%d parts are left by another process, want 1", left)
		}
		w.expectPrepared("the owner has come back", 1)
	}
	owner.goOnForGood()
	owner.expect("moved")
	w.expectAnswers(8, 0, 0)
	owner.finish()
	other.finish()
	w.check()
}

// deciderAway kills the server that decides, and starts it only when the worker has given up asking.
func (w *world) deciderAway() {
	w.t.Helper()
	p := w.start("PASTELINE_PAUSE=postgres: decision recorded:3")
	p.expect("ready")
	p.send("move 3")
	p.awaitPause()
	w.servers[1].Kill()
	p.goOnForGood()
	p.expect("moved")
	w.servers[1].Start()
	w.expectAnswers(2, 0, 1)
	w.expectPrepared("the decider was away", 1)
	if !w.inspect(p) {
		w.t.Fatalf("the worker died\n%s", p.log())
	}
	p.finish()
	w.check()
}
