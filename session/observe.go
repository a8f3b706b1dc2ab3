package session

import (
	"context"

	"github.com/pasteline/pasteline/observe"
)

// tellContents tells the listeners of ctx, if one wants to know, what the sessions of ts hold when
// their transaction ends: at its commit, or else at its abort.
func (ts *txState) tellContents(ctx context.Context) {
	seen := observe.FromContext(ctx)
	if !seen.WantsSessions() {
		return
	}
	tell := func(ctx context.Context) {
		if !ts.hold() { // the commit has failed, and they were told then
			return
		}
		facts := make([]observe.SessionContent, 0, len(ts.sessions))
		for _, s := range ts.sessions {
			if s.gone() != nil || s.renewedAs() {
				continue
			}
			info := s.info(0)
			facts = append(facts, observe.SessionContent{
				Manager: ts.m.config.Name, Ref: info.Ref, Values: info.All,
			})
		}
		ts.release()
		for _, f := range facts {
			seen.SessionContent(ctx, f)
		}
	}
	ts.txn.BeforeCommit(func(ctx context.Context) error {
		tell(ctx)
		return nil
	})
	ts.txn.BeforeAbort(tell)
}

// renewedAs reports whether the session goes on as another [Session] of the same transaction.
func (s *Session) renewedAs() bool { return s.current() != s }
