package recovery_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// The simulation runs the real protocol, Txn.Commit and Set.Recover, on databases, processes and a
// network that exist in memory. At every message all processes stand still, and a random number
// with a seed says who goes on, and what goes wrong: so a schedule can be played again. When it is
// over, and recovery has had its say, everybody must agree. For more, and for one of them:
//
//	go test ./transaction/recovery -run 'Simulation$' -v -seed 1000000 -schedules 500000

var (
	schedules = flag.Int("schedules", 4000, "how many schedules the simulation plays")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first of them")
)

// A mistake is one that somebody could make who implements the interfaces.
type mistake string

const (
	right mistake = "" // none

	prepareIsVolatile      mistake = "prepared work does not survive a restart"
	prepareCommits         mistake = "to prepare makes the work visible"
	prepareForgetsRecorder mistake = "what is prepared does not say who decides"
	finishSaysYes          mistake = "a finish without an answer counts as done"
	leaveHoldsOn           mistake = "who is left in doubt goes on saying that it is at work"
	leaveAborts            mistake = "who is left in doubt rolls back"
	recordBeforeCommit     mistake = "the decision is recorded before the commit"
	recordAfterCommit      mistake = "the decision is recorded after the commit"
	recordForgottenAtOnce  mistake = "the record is forgotten before others have finished"
	recordIsVolatile       mistake = "records of commits do not survive a restart"
	lostIsAborted          mistake = "a commit without an answer counts as failed"
	lostIsCommitted        mistake = "a commit without an answer counts as done"
	commitIgnoresFence     mistake = "the commit does not look for the fence"
	settleDoesNotFence     mistake = "recovery leaves no fence"
	settleInTwoSteps       mistake = "recovery looks for the record first, and leaves the fence later"
	fenceIsVolatile        mistake = "fences do not survive a restart"
	livingIsDead           mistake = "who lives is taken for dead"
	othersAreOurs          mistake = "what other programs prepared is not told apart"
	unknownIsNobody        mistake = "a recorder that is not in the configuration is taken for none"
)

// mistakes are all of them.
var mistakes = []mistake{
	prepareIsVolatile, prepareCommits, prepareForgetsRecorder, finishSaysYes, leaveHoldsOn, leaveAborts, recordBeforeCommit,
	recordAfterCommit, recordForgottenAtOnce, recordIsVolatile, lostIsAborted, lostIsCommitted, commitIgnoresFence, settleDoesNotFence,
	settleInTwoSteps, fenceIsVolatile, livingIsDead, othersAreOurs, unknownIsNobody,
}

// A world is what one schedule happens in.
type world struct {
	random  *rand.Rand
	mistake mistake
	trace   *strings.Builder // nil: nobody reads it

	databases []*database
	processes []*process
	txns      []*txn
	numbers   map[string]int // of the transactions, by their ids, which differ each time
	late      []message      // on the network, while the sender has given up
	faults    int            // how many may still happen
	rarity    int            // one in how many messages meets one
	favourite int            // what goes wrong more often
	latency   int            // about after how many messages a delayed one arrives

	mu      sync.Mutex // guards waiting and wrong
	waiting []*pause
	wrong   []string
}

// A pause is a process that has something to do, and may not yet.
type pause struct {
	process *process
	what    string
	to      *database // whom its message is for, if it is one
	fate    chan fate
}

// A fate is what becomes of a message.
type fate int

const (
	arrives     fate = iota
	lostRequest      // it never arrives
	lostAnswer       // it arrives, and the sender does not learn of it
	delayed          // it arrives when the sender has given up
	never            // the sender is dead
)

type message struct {
	what string
	to   *database
	do   func()
}

// A process runs transactions, or recovers, until it crashes or has nothing more to do; then it
// lives on.
type process struct {
	*world
	name  string
	speed int // how often it goes on, compared with others
	dead  bool
	dry   bool        // as a recovery, it may change nothing
	calm  bool        // nothing goes wrong any more
	txns  []*txn      // its own
	known []*database // to its configuration, if it recovers
}

// A txn is a transaction as its client sees it.
type txn struct {
	number    int
	id        string
	databases []*database
	decided   bool // there was a recorder that keeps a record, or only one database
	disturbed bool // something went wrong that concerns it
	told      string
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		fmt.Fprintf(w.trace, format+"\n", args...)
	}
}

func (w *world) failf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

// errLost is the error of a call whose message was lost, or its answer.
var errLost = errors.New("no answer")

// stop waits until the scheduler lets the process go on.
func (p *process) stop(what string, to *database) fate {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return never
	}
	here := &pause{p, what, to, make(chan fate, 1)}
	p.waiting = append(p.waiting, here)
	p.mu.Unlock()
	return <-here.fate
}

// call sends a message to a database. What it does there is done in one moment.
func (p *process) call(to *database, t *txn, what string, do func() error) error {
	if t != nil {
		what = fmt.Sprintf("%s of T%d at %s", what, t.number, to.name)
	} else {
		what += " at " + to.name
	}
	f := p.stop(what, to)
	if f != arrives && f != never && t != nil {
		t.disturbed = true
	}
	switch f {
	case arrives:
		return do()
	case lostAnswer:
		_ = do()
	case delayed:
		p.late = append(p.late, message{what, to, func() { _ = do() }})
	}
	return errLost
}

// run plays the schedule until everybody has done what was to do.
func (w *world) run() {
	for {
		synctest.Wait() // all that runs has come to its next pause, or to its end
		if len(w.waiting) == 0 {
			return
		}
		slices.SortFunc(w.waiting, func(a, b *pause) int {
			return cmp.Or(strings.Compare(a.process.name, b.process.name),
				strings.Compare(a.what, b.what))
		})
		i := w.choice()
		next := w.waiting[i]
		f := arrives
		if !next.process.calm {
			if w.faults > 0 && w.chance(w.rarity) {
				w.faults--
				if f = w.fault(next); f == never {
					continue
				}
			} else if w.event() {
				continue
			}
		}
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.logf("%s: %s%s", next.process.name, next.what,
			[...]string{"", ": request lost", ": answer lost", ": delayed", ""}[f])
		next.fate <- f
	}
}

const faultKinds = 6

// choice returns the index of who goes on. Some are slower than others.
func (w *world) choice() int {
	total := 0
	for _, waiting := range w.waiting {
		total += waiting.process.speed
	}
	n := w.random.IntN(total)
	for i, waiting := range w.waiting {
		if n -= waiting.process.speed; n < 0 {
			return i
		}
	}
	panic("unreachable")
}

// fault lets something go wrong, with next or beside it. Each schedule has something that goes
// wrong more often.
func (w *world) fault(next *pause) fate {
	what := w.favourite
	if w.chance(2) {
		what = w.random.IntN(faultKinds)
	}
	db := next.to
	if db == nil || w.chance(2) {
		db = w.databases[w.random.IntN(len(w.databases))]
	}
	switch what {
	case 0:
		return lostRequest
	case 1:
		return lostAnswer
	case 2:
		return delayed
	case 3:
		db.restart()
	case 4: // sessions end, and their processes do not know
		for _, p := range db.parts {
			p.owner = nil
			p.txn.disturbed = true
		}
		w.logf("%s takes everybody for dead", db.name)
	case 5:
		w.crash(next.process)
	}
	return never
}

// event lets something happen that is nobody's fault. It reports whether something did.
func (w *world) event() bool {
	if len(w.late) > 0 && w.chance(w.latency) {
		w.arrive(w.random.IntN(len(w.late)))
		return true
	}
	if w.chance(8) {
		return w.notice(1)
	}
	return false
}

func (w *world) arrive(i int) {
	m := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	w.logf("late: %s", m.what)
	m.do()
}

// notice has databases notice that processes have died.
func (w *world) notice(one int) bool {
	found := false
	for _, db := range w.databases {
		for _, p := range db.parts {
			if p.owner != nil && p.owner.dead && (one == 0 || !found) {
				p.owner = nil
				found = true
				w.logf("%s notices that the owner of T%d is dead", db.name, p.txn.number)
			}
		}
	}
	return found
}

func (w *world) crash(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logf("%s crashes", p.name)
	p.dead = true
	for _, t := range p.txns {
		t.disturbed = true
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(waiting *pause) bool {
		if waiting.process == p {
			waiting.fate <- never
		}
		return waiting.process == p
	})
}

// spawn starts a process, which does not do anything yet.
func (w *world) spawn(name string, f func(p *process)) *process {
	p := &process{world: w, name: name, speed: []int{1, 10, 100}[w.random.IntN(3)]}
	w.processes = append(w.processes, p)
	go func() {
		if p.stop("starts", nil) == arrives {
			f(p)
		}
	}()
	return p
}

// own runs a few transactions, and tells their clients what became of them.
func (p *process) own() {
	for _, t := range p.txns {
		ctx, tx := transaction.Begin(context.Background())
		t.id = tx.ID()
		p.numbers[t.id] = t.number
		for _, db := range t.databases {
			if err := tx.Join(db.manager(p, t)); err != nil {
				p.failf("T%d: %v", t.number, err)
			}
		}
		err := tx.Commit(ctx)
		if p.stop(fmt.Sprintf("tells the client of T%d: %v", t.number, err), nil) == never {
			return
		}
		switch {
		case err == nil:
			t.told = "committed"
		case errors.Is(err, transaction.ErrInDoubt):
			t.told = "in doubt"
		default:
			t.told = "aborted"
		}
		if err != nil {
			_ = tx.Abort(ctx) // as everybody does; it tells no manager again
		}
	}
}

// recover goes through what some databases hold prepared.
func (p *process) recover() {
	var set recovery.Set
	for _, db := range p.known {
		set.Add(db.participant(p))
	}
	for _, f := range set.Recover(context.Background(), recovery.Options{DryRun: p.dry}) {
		if f.Settled && (p.dry || f.Verdict == recovery.Leave || f.Verdict == recovery.Unknown) {
			p.failf("%s: settled what it should not: %+v", p.name, f)
		}
	}
}

// play plays the schedule of a seed and returns what went wrong.
func play(seed uint64, m mistake, trace *strings.Builder) []string {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 0)), mistake: m, trace: trace,
		numbers: map[string]int{},
	}
	w.faults, w.rarity, w.favourite = w.random.IntN(8), 2+w.random.IntN(6), w.random.IntN(faultKinds)
	w.latency = 1 << (1 + w.random.IntN(6))
	for i := range 2 + w.random.IntN(2) {
		w.databases = append(w.databases,
			newDatabase(w, fmt.Sprintf("%c", 'A'+i), kind(w.random.IntN(int(kinds)))))
	}
	for i := range 1 + w.random.IntN(2) {
		var list []*txn
		for range 1 + w.random.IntN(2) {
			t := &txn{number: len(w.txns) + 1}
			t.databases, t.decided = w.choose()
			list = append(list, t)
			w.txns = append(w.txns, t)
		}
		w.spawn(fmt.Sprintf("owner %d", i+1), (*process).own).txns = list
	}
	for i := range w.random.IntN(4) {
		databases := w.databases
		if w.chance(4) { // another configuration
			databases = slices.Delete(slices.Clone(databases), 0, 1)
		}
		passes := 1 + w.random.IntN(6)
		p := w.spawn(fmt.Sprintf("recovery %d", i+1), func(p *process) {
			for range passes {
				p.recover()
			}
		})
		p.known, p.dry = databases, w.chance(6)
	}
	w.run()

	// Nothing goes wrong any more; what was delayed arrives, and whoever is dead is known to be.
	if w.chance(2) {
		w.last()
		for _, db := range w.databases {
			db.restart()
		}
	}
	for len(w.late) > 0 {
		w.arrive(0)
	}
	w.notice(0)
	w.last()
	for _, t := range w.txns {
		w.check(t)
	}
	for _, db := range w.databases {
		db.check()
	}
	return w.wrong
}

// last recovers, and nothing goes wrong meanwhile.
func (w *world) last() {
	p := w.spawn("last recovery", (*process).recover)
	p.known, p.calm = w.databases, true
	w.run()
}

// choose returns databases for a transaction, of which at most one can't prepare.
func (w *world) choose() (list []*database, decided bool) {
	onePhase := false
	for _, i := range w.random.Perm(len(w.databases)) {
		db := w.databases[i]
		if db.kind.prepares() || !onePhase {
			list = append(list, db)
			onePhase = onePhase || !db.kind.prepares()
			decided = decided || db.kind.decides()
		}
	}
	for _, db := range list { // who can't prepare decides, whether or not it keeps a record
		if !db.kind.prepares() {
			decided = db.kind.decides()
		}
	}
	return list, decided || len(list) == 1
}

// check is what a transaction's client, and everybody who looks into several databases, may expect.
func (w *world) check(t *txn) {
	if t.id == "" {
		return // it never began
	}
	committed := 0
	var where []string
	for _, db := range t.databases {
		if db.committed[t.id] {
			committed++
			where = append(where, db.name)
		}
	}
	if !t.decided && t.disturbed {
		return // without a record, nobody can know
	}
	if committed != 0 && committed != len(t.databases) {
		w.failf("T%d: committed at %v alone", t.number, where)
	}
	switch {
	case t.told == "committed" && committed == 0:
		w.failf("T%d: the client was told that it was committed, and it was not", t.number)
	case t.told == "aborted" && committed > 0:
		w.failf("T%d: the client was told that it was aborted, and it was committed", t.number)
	case !t.disturbed && t.told != "committed":
		w.failf("T%d: it was %s, though nothing had gone wrong", t.number,
			cmp.Or(t.told, "never told"))
	}
}

// A result is one of many schedules.
type result struct {
	seed  uint64
	wrong []string
}

// simulate plays schedules until one goes wrong.
func simulate(t *testing.T, m mistake, first uint64, count int) (failed *result, played int) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		for seed := first; played < count; seed++ {
			played++
			if wrong := play(seed, m, nil); len(wrong) > 0 {
				failed = &result{seed, wrong}
				return
			}
		}
	})
	return failed, played
}

// tracedRun plays one schedule again, and returns what happened in it.
func tracedRun(t *testing.T, m mistake, seed uint64) string {
	t.Helper()
	var trace strings.Builder
	synctest.Test(t, func(*testing.T) { play(seed, m, &trace) })
	return trace.String()
}

// TestSimulation plays many schedules of the protocol as it is.
func TestSimulation(t *testing.T) {
	began := time.Now()
	failed, played := simulate(t, right, *firstSeed, *schedules)
	if failed != nil {
		t.Fatalf("seed %d: %s\n%s", failed.seed, strings.Join(failed.wrong, "\n"),
			tracedRun(t, right, failed.seed))
	}
	t.Logf("seeds %d to %d, %.0f schedules a second", *firstSeed, *firstSeed+uint64(played)-1,
		float64(played)/time.Since(began).Seconds())
}

// TestSimulationFindsMistakes plants mistakes: a simulation that finds nothing may not look.
func TestSimulationFindsMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(string(m), func(t *testing.T) {
			failed, played := simulate(t, m, 1, 20000)
			if failed == nil {
				t.Fatalf("not found in %d schedules", played)
			}
			t.Logf("found after %d schedules: %s", played, failed.wrong[0])
			if testing.Verbose() {
				t.Log("\n" + tracedRun(t, m, failed.seed))
			}
		})
	}
}

// TestSimulationIsRepeatable: a seed that can't be played again is of no use.
func TestSimulationIsRepeatable(t *testing.T) {
	for seed := range uint64(50) {
		if one, two := tracedRun(t, right, seed), tracedRun(t, right, seed); one != two {
			t.Fatalf("seed %d: once\n%s\nand once\n%s", seed, one, two)
		}
	}
}
