package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
	"github.com/pasteline/pasteline/transaction/resource"
)

// A kind is what a simulated database can do.
type kind int

const (
	full     kind = iota // it prepares, and decides over others
	prepares             // it prepares, and keeps no record
	decides              // it commits in one phase, with a record
	silent               // it commits in one phase, and keeps no record
	kinds
)

func (k kind) prepares() bool { return k == full || k == prepares }
func (k kind) decides() bool  { return k == full || k == decides }

// A database has a state that survives a restart, and sessions that don't.
type database struct {
	*world
	name  string
	kind  kind
	bound bool // work that is not prepared ends with the session; else it is sent with the commit

	committed map[string]bool // transactions
	parts     []*preparedPart
	records   map[string]bool // what was decided: committed or not

	sessions int // how often all of them have ended
}

type preparedPart struct {
	txn      *txn // nil: of another program
	recorder string
	name     string
	owner    *process // as far as the database knows; it forgets with a restart
}

func newDatabase(w *world, name string, k kind) *database {
	db := &database{
		world: w, name: name, kind: k, bound: w.chance(2), committed: map[string]bool{},
		records: map[string]bool{},
	}
	if k.prepares() {
		db.parts = append(db.parts, &preparedPart{name: "of another program", txn: &txn{}})
	}
	return db
}

func (db *database) restart() {
	db.logf("%s restarts", db.name)
	db.sessions++
	for _, p := range db.parts {
		p.owner = nil
	}
	for _, t := range db.txns {
		if slices.Contains(t.databases, db) {
			t.disturbed = true
		}
	}
	switch db.mistake {
	case prepareIsVolatile:
		db.parts = slices.DeleteFunc(db.parts, func(p *preparedPart) bool { return p.txn.id != "" })
	case recordIsVolatile:
		maps.DeleteFunc(db.records, func(_ string, committed bool) bool { return committed })
	case fenceIsVolatile:
		maps.DeleteFunc(db.records, func(_ string, committed bool) bool { return !committed })
	}
}

func (db *database) part(name string) *preparedPart {
	i := slices.IndexFunc(db.parts, func(p *preparedPart) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return db.parts[i]
}

// end takes away a prepared part, if it is there.
func (db *database) end(name string, commit bool) {
	p := db.part(name)
	if p == nil {
		return
	}
	db.parts = slices.DeleteFunc(db.parts, func(other *preparedPart) bool { return other == p })
	if commit {
		db.committed[p.txn.id] = true
	}
}

// check is for what is left in the end.
func (db *database) check() {
	others := 0
	for _, p := range db.parts {
		if p.txn.id == "" {
			others++
		} else {
			db.failf("T%d is still prepared at %s", p.txn.number, db.name)
		}
	}
	if db.kind.prepares() && others != 1 {
		db.failf("what another program has prepared at %s is gone", db.name)
	}
	for _, t := range db.txns {
		if _, kept := db.records[t.id]; kept && !t.disturbed && t.id != "" {
			db.failf("the record of T%d at %s was not forgotten", t.number, db.name)
		}
	}
}

func (db *database) recorderID() string {
	if db.kind.decides() {
		return "id-" + db.name
	}
	return ""
}

var (
	errSession = errors.New("the session has ended, nothing is committed")
	errGivenUp = errors.New("recovery has given it up")
)

// A manager is a session of a process that works on a transaction.
type manager struct {
	*process
	db      *database
	txn     *txn
	session int
	asked   bool // to prepare
	left    bool // it does not work on the transaction any more
}

// manager returns a data manager.
func (db *database) manager(p *process, t *txn) resource.DataManager {
	m := &manager{process: p, db: db, txn: t, session: db.sessions}
	if db.kind.prepares() {
		return preparer{m}
	}
	return m
}

func (m *manager) SortKey() string    { return m.db.name }
func (m *manager) RecorderID() string { return m.db.recorderID() }
func (m *manager) name() string       { return fmt.Sprintf("T%d at %s", m.txn.number, m.db.name) }

func (m *manager) Commit(_ context.Context, t resource.Txn) error {
	id, records := m.txn.id, t.Prepared() && m.db.kind.decides()
	check := func() error {
		if m.db.bound && m.session != m.db.sessions {
			return errSession
		}
		if _, known := m.db.records[id]; known && m.mistake != commitIgnoresFence {
			return errGivenUp
		}
		return nil
	}
	record := func() error {
		m.db.records[id] = records
		return nil
	}
	apply := func() error {
		m.db.committed[id] = true
		return nil
	}
	steps := []func() error{func() error {
		err := check()
		if err == nil {
			err = apply()
		}
		if err == nil && records && m.mistake != recordForgottenAtOnce {
			err = record()
		}
		return err
	}}
	switch {
	case records && m.mistake == recordBeforeCommit:
		steps = []func() error{check, record, apply}
	case records && m.mistake == recordAfterCommit:
		steps = []func() error{check, apply, record}
	}
	for _, step := range steps {
		err := m.call(m.db, m.txn, "commit", step)
		switch {
		case err == nil:
		case errors.Is(err, errLost) && m.mistake == lostIsCommitted:
			return nil
		case errors.Is(err, errLost) && m.mistake != lostIsAborted:
			return fmt.Errorf("%w: %w", transaction.ErrInDoubt, err)
		default:
			return err
		}
	}
	return nil
}

func (m *manager) Abort(context.Context, resource.Txn) error {
	if !m.asked {
		return nil
	}
	err := m.call(m.db, m.txn, "roll back", func() error {
		m.db.end(m.name(), false)
		return nil
	})
	m.letGo()
	return err
}

func (m *manager) Forget(context.Context, resource.Txn) {
	_ = m.call(m.db, m.txn, "forget", func() error {
		delete(m.db.records, m.txn.id)
		return nil
	})
}

// letGo ends what tells others that the transaction is worked on.
func (m *manager) letGo() {
	if m.dead {
		return // the database has yet to notice
	}
	m.left = true
	if p := m.db.part(m.name()); p != nil {
		p.owner = nil
	}
}

type preparer struct{ *manager }

func (m preparer) Prepare(_ context.Context, t resource.Txn) error {
	recorder := t.Recorder()
	m.asked = true
	return m.call(m.db, m.txn, "prepare", func() error {
		if m.db.bound && m.session != m.db.sessions {
			return errSession
		}
		part := &preparedPart{txn: m.txn, recorder: recorder, name: m.name()}
		if !m.left { // else the message was late
			part.owner = m.process
		}
		switch m.mistake {
		case prepareForgetsRecorder:
			part.recorder = ""
		case prepareCommits:
			m.db.committed[m.txn.id] = true
		}
		m.db.parts = append(m.db.parts, part)
		return nil
	})
}

func (m preparer) Finish(context.Context, resource.Txn) error {
	err := m.call(m.db, m.txn, "finish", func() error {
		m.db.end(m.name(), true)
		return nil
	})
	m.letGo()
	if m.mistake == finishSaysYes {
		return nil
	}
	return err
}

func (m preparer) Leave(ctx context.Context, t resource.Txn) {
	switch m.mistake {
	case leaveHoldsOn:
	case leaveAborts:
		_ = m.Abort(ctx, t)
	default:
		m.letGo()
	}
}

// A participant is a database as recovery sees it from one process.
type participant struct {
	*process
	db *database
}

func (db *database) participant(p *process) any {
	if db.kind == decides {
		return struct{ recovery.Recorder }{participant{p, db}}
	}
	return participant{p, db}
}

func (p participant) Name() string { return p.db.name }

func (p participant) Prepared(context.Context) (list []recovery.Prepared, err error) {
	err = p.call(p.db, nil, "look", func() error {
		for _, part := range p.db.parts {
			if part.txn.id == "" && p.mistake != othersAreOurs {
				continue
			}
			prepared := recovery.Prepared{
				Name: part.name, Transaction: part.txn.id, Recorder: part.recorder, Since: time.Unix(int64(part.txn.number), 0),
				Orphan: part.owner == nil || p.mistake == livingIsDead,
			}
			if p.mistake == unknownIsNobody &&
				!slices.ContainsFunc(p.known,
					func(db *database) bool { return db.recorderID() == part.recorder }) {
				prepared.Recorder = ""
			}
			list = append(list, prepared)
		}
		return nil
	})
	return list, err
}

func (p participant) end(prepared recovery.Prepared, commit bool) error {
	what := "recovery: roll back " + prepared.Name
	if commit {
		what = "recovery: finish " + prepared.Name
	}
	return p.call(p.db, nil, what, func() error {
		if p.dry {
			p.failf("%s: a dry run changes something", what)
		}
		p.db.end(prepared.Name, commit)
		return nil
	})
}

func (p participant) Finish(_ context.Context, prepared recovery.Prepared) error {
	return p.end(prepared, true)
}

func (p participant) Abort(_ context.Context, prepared recovery.Prepared) error {
	return p.end(prepared, false)
}

func (p participant) RecorderID() string { return p.db.recorderID() }

func (p participant) Decided(_ context.Context, id string) (committed bool, err error) {
	err = p.call(p.db, nil, fmt.Sprintf("is T%d decided", p.numbers[id]), func() error {
		committed = p.db.records[id]
		return nil
	})
	return committed, err
}

func (p participant) Settle(_ context.Context, id string) (committed bool, err error) {
	what, known := fmt.Sprintf("settle T%d", p.numbers[id]), false
	look := func() error {
		committed, known = p.db.records[id]
		return nil
	}
	fence := func() error {
		if p.dry {
			p.failf("%s: a dry run changes something", what)
		}
		if !known && p.mistake != settleDoesNotFence {
			p.db.records[id] = false
		}
		return nil
	}
	if p.mistake != settleInTwoSteps {
		err = p.call(p.db, nil, what, func() error { return errors.Join(look(), fence()) })
		return committed, err
	}
	if err := p.call(p.db, nil, what, look); err != nil {
		return false, err
	}
	err = p.call(p.db, nil, what, fence)
	return committed, err
}
