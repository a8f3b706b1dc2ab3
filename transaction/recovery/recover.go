package recovery

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/failpoint"
	"github.com/pasteline/pasteline/transaction"
)

// Options say how to recover. The zero Options are the defaults.
type Options struct {
	// DryRun only reports the actions; no database is changed.
	DryRun bool

	// Timeout is how long to wait for the answer of a database. Zero means 5 s, a negative number
	// no limit. After a timeout the database is not asked again in the same pass.
	Timeout time.Duration

	// Progress is told how many of the prepared parts that have been found so far are done. It may be
	// nil. Calls don't overlap.
	Progress func(done, total int)
}

// A Verdict says what to do with a prepared part of a transaction.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota // the outcome can't be found out; Finding.Err says why
	Leave                  // leave it: its process is alive and works on it
	Finish                 // commit it: the transaction was committed
	Abort                  // roll it back: the transaction never will be committed
)

// String returns the verdict in lower case, such as "finish".
func (v Verdict) String() string {
	switch v {
	case Leave:
		return "leave"
	case Finish:
		return "finish"
	case Abort:
		return "abort"
	default:
		return "unknown"
	}
}

// A Finding is one prepared part of a transaction, or a database that can't list its prepared
// parts.
type Finding struct {
	Participant string   // the name of the database
	Prepared    Prepared // empty if the database can't be asked
	Verdict     Verdict
	Settled     bool // the verdict was carried out
	// why the database can't be asked, there is no verdict, or it wasn't carried out
	Err error
}

// InDoubt reports whether f is unsettled and its process is gone.
func (f Finding) InDoubt() bool { return !f.Settled && f.Verdict != Leave }

// Recover makes one pass over the prepared parts in the databases of the set, and settles those
// whose outcome is known. It returns its findings, sorted by database and age. The databases are
// asked concurrently, one goroutine each; an error of one is in its findings and stops no other.
// Any number of processes may recover at once, while others run transactions.
//
// It returns early when ctx is done, as far as the databases do.
func (s *Set) Recover(ctx context.Context, o Options) []Finding {
	p := s.newPass(o)
	return p.each(ctx, func(at Participant, prepared Prepared) (Finding, bool) {
		verdict, err := p.decide(ctx, prepared)
		return p.act(ctx, at, prepared, verdict, err), true
	})
}

// Force commits or aborts a transaction by hand, in all databases of the set that hold a part of
// it. It is for transactions whose recorder is gone for good. If that recorder is in the set, or a
// process works on the transaction, or nothing is prepared of it, Force returns an error and
// changes nothing.
func (s *Set) Force(ctx context.Context, transaction string, commit bool,
	o Options,
) ([]Finding, error) {
	p := s.newPass(o)
	verdict := Abort
	if commit {
		verdict = Finish
	}
	mine := func(prepared Prepared) bool { return prepared.Transaction == transaction }
	// Look at all parts before changing any.
	parts := 0
	var refusal error
	seen := p.each(ctx, func(_ Participant, prepared Prepared) (Finding, bool) {
		if !mine(prepared) {
			return Finding{}, false
		}
		return Finding{Prepared: prepared}, true
	})
	for _, f := range seen {
		switch {
		case f.Err != nil: // the database can't be asked; the pass below reports that again
			continue
		case !f.Prepared.Orphan:
			refusal = fmt.Errorf("transaction %s is in progress: "+
				"the process that prepared it in %s is alive", transaction, f.Participant)
		case len(p.recordersOf(f.Prepared)) > 0:
			refusal = fmt.Errorf("transaction %s can't be settled by hand: "+
				"%s, which decides it, is a database of this configuration",
				transaction, f.Prepared.Recorder)
		}
		parts++
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case parts == 0:
		return seen, fmt.Errorf("nothing is prepared of a transaction %q", transaction)
	}
	return p.each(ctx, func(at Participant, prepared Prepared) (Finding, bool) {
		if !mine(prepared) {
			return Finding{}, false
		}
		return p.act(ctx, at, prepared, verdict, nil), true
	}), nil
}

// A pass is one walk over the databases of the set.
type pass struct {
	options      Options
	set          *Set
	participants []Participant
	recorders    []Recorder

	mu     sync.Mutex // guards silent
	silent map[any]error

	countMu     sync.Mutex // guards done and total, and is held during Progress
	done, total int
}

// count adds to the counts, and tells Progress.
func (p *pass) count(done, total int) {
	if p.options.Progress == nil {
		return
	}
	p.countMu.Lock()
	defer p.countMu.Unlock()
	p.done += done
	p.total += total
	p.options.Progress(p.done, p.total)
}

func (s *Set) newPass(o Options) *pass {
	switch {
	case o.Timeout == 0:
		o.Timeout = 5 * time.Second
	case o.Timeout < 0:
		o.Timeout = math.MaxInt64
	}
	p := &pass{options: o, set: s, silent: map[any]error{}}
	p.participants, p.recorders = s.databases()
	return p
}

// each calls f for all prepared parts, and collects the findings for which it reports true.
func (p *pass) each(ctx context.Context, f func(Participant, Prepared) (Finding, bool)) []Finding {
	found := make([][]Finding, len(p.participants))
	var wg sync.WaitGroup
	for i, at := range p.participants {
		wg.Go(func() { found[i] = p.eachAt(ctx, at, f) })
	}
	wg.Wait()
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Participant, b.Participant),
			a.Prepared.Since.Compare(b.Prepared.Since),
			strings.Compare(a.Prepared.Name, b.Prepared.Name))
	})
	return slices.CompactFunc(all, func(a, b Finding) bool { // a database may have been added twice
		return a.Participant == b.Participant && a.Prepared.Name == b.Prepared.Name
	})
}

func (p *pass) eachAt(ctx context.Context, at Participant,
	f func(Participant, Prepared) (Finding, bool),
) (found []Finding) {
	name := at.Name()
	add := func(one Finding) {
		if one.Err != nil && !p.set.has(at) {
			return // the database was closed meanwhile and removed from the set
		}
		one.Participant = name
		found = append(found, one)
	}
	var list []Prepared
	err := p.call(ctx, at, func(ctx context.Context) (err error) {
		list, err = at.Prepared(ctx)
		return err
	})
	if err != nil {
		add(Finding{Err: err})
		return found
	}
	p.count(0, len(list))
	for _, prepared := range list {
		failpoint.Here("recovery: found")
		if one, ok := f(at, prepared); ok {
			add(one)
		}
		p.count(1, 0)
	}
	return found
}

// decide returns the verdict on a prepared part. It is final, unless this is a dry run.
func (p *pass) decide(ctx context.Context, prepared Prepared) (Verdict, error) {
	switch {
	case !prepared.Orphan:
		return Leave, nil
	case prepared.Recorder == "":
		return Abort, nil // no record exists, nor ever will
	}
	err := fmt.Errorf("decided by %s, which is no database of this configuration",
		prepared.Recorder)
	for _, d := range p.recordersOf(prepared) { // more than one only if a database was added twice
		committed := false
		err = p.call(ctx, d, func(ctx context.Context) (err error) {
			if p.options.DryRun {
				committed, err = d.Decided(ctx, prepared.Transaction)
			} else {
				committed, err = d.Settle(ctx, prepared.Transaction)
			}
			return err
		})
		if err == nil && committed {
			return Finish, nil
		}
		if err == nil {
			return Abort, nil
		}
		err = fmt.Errorf("%s, which decides, can't be asked: %w", prepared.Recorder, err)
	}
	return Unknown, err
}

func (p *pass) recordersOf(prepared Prepared) []Recorder {
	var list []Recorder
	for _, d := range p.recorders {
		if prepared.Recorder != "" && d.RecorderID() == prepared.Recorder {
			list = append(list, d)
		}
	}
	return list
}

// act carries out the verdict.
func (p *pass) act(ctx context.Context, at Participant, prepared Prepared, verdict Verdict,
	err error,
) Finding {
	f := Finding{Prepared: prepared, Verdict: verdict, Err: err}
	var settle func(context.Context, Prepared) error
	switch verdict {
	case Finish:
		settle = at.Finish
	case Abort:
		settle = at.Abort
	}
	if settle == nil || p.options.DryRun {
		return f
	}
	failpoint.Here("recovery: judged")
	f.Err = p.call(ctx, at, func(ctx context.Context) error { return settle(ctx, prepared) })
	failpoint.Here("recovery: settled")
	f.Settled = f.Err == nil
	return f
}

// call calls f, which asks database, with a timeout.
func (p *pass) call(ctx context.Context, database any, f func(context.Context) error) (err error) {
	p.mu.Lock()
	err = p.silent[database]
	p.mu.Unlock()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = &transaction.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if err = f(limited); err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within %v: %w", p.options.Timeout, err)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.silent[database] = err
	}
	return err
}
