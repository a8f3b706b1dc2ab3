package transaction_test

import (
	"context"
	"fmt"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// Boom and luckless are the original's exceptions as errors; its third kind, which isn't to be
// caught, is a panic.
type (
	boom     string
	luckless string
)

func (e boom) Error() string       { return string(e) }
func (e luckless) Error() string   { return string(e) }
func (e luckless) Transient() bool { return true }

func fault(kind, message string) error {
	switch kind {
	case "error":
		return boom(message)
	case "transient":
		return luckless(message)
	case "base":
		panic(message)
	default:
		return nil
	}
}

// manager is a data manager that logs the original's steps. Its Prepare is three of those, its
// Commit all four.
type manager struct {
	goldenManager
	r          *replay
	name       string
	savepoints int
}

var _ resource.Preparer = (*manager)(nil)

func (m *manager) steps(names ...string) error {
	for _, name := range names {
		m.r.log = append(m.r.log, m.name+"."+name)
		if err := fault(m.Fail[name], m.name+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func (m *manager) SortKey() string { return *m.goldenManager.SortKey } // panics if there is none

func (m *manager) Prepare(context.Context, resource.Txn) error {
	return m.steps("tpc_begin", "commit", "tpc_vote")
}

func (m *manager) Commit(context.Context, resource.Txn) error {
	return m.steps("tpc_begin", "commit", "tpc_vote", "tpc_finish")
}

func (m *manager) Finish(context.Context, resource.Txn) error { return m.steps("tpc_finish") }

func (m *manager) Abort(_ context.Context, t resource.Txn) error {
	err := m.steps("abort")
	if t.(*transaction.Txn).Status() == transaction.Committing && err == nil {
		err = fault(m.Fail["tpc_abort"], m.name+".tpc_abort")
	}
	return err
}

func (m *manager) IsTransient(error) bool { return m.ShouldRetry != nil && *m.ShouldRetry }

type savingManager struct{ *manager }

func (m *savingManager) Savepoint() (resource.Savepoint, error) {
	m.savepoints++
	return dataSavepoint{m, m.savepoints}, m.steps("savepoint")
}

type dataSavepoint struct {
	m *savingManager
	n int
}

func (s dataSavepoint) Rollback() error {
	s.m.r.log = append(s.m.r.log, fmt.Sprintf("%s.savepoint%d.rollback", s.m.name, s.n))
	return fault(s.m.Fail["rollback"], s.m.name+".rollback")
}

func nameOf(dm resource.DataManager) string {
	if s, ok := dm.(*savingManager); ok {
		return s.name
	}
	return dm.(*manager).name
}

type synchronizer struct {
	goldenSynchronizer
	r    *replay
	name string
}

func (s *synchronizer) call(method string, t *transaction.Txn) error {
	s.r.log = append(s.r.log, fmt.Sprintf("%s.%s status=%s", s.name, method, t.Status()))
	return fault(s.Fail[method], s.name+"."+method)
}

func (s *synchronizer) NewTransaction(t *transaction.Txn) error {
	return s.call("newTransaction", t)
}

func (s *synchronizer) BeforeCompletion(t *transaction.Txn) error {
	if err := s.call("beforeCompletion", t); err != nil || s.JoinInBefore == "" {
		return err
	}
	s.r.log = append(s.r.log, s.name+" joins "+s.JoinInBefore)
	return t.Join(s.r.managers[s.JoinInBefore])
}

func (s *synchronizer) AfterCompletion(t *transaction.Txn) {
	if err := s.call("afterCompletion", t); err != nil {
		panic(err)
	}
}
