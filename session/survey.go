package session

import (
	"context"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// A Survey is the result of [Manager.Survey].
type Survey struct {
	Name    string        // of the manager, as in its Config
	DB      string        // the name of the database
	Timeout time.Duration // after which an unused session ends
	// Count is the number of sessions, with those that have expired and have not been swept, and
	// with the tombstones of renewed ones.
	Count int
	// More says that there are more than Count: the survey has reached its limit.
	More bool
	// Sample are the sessions that were used last, with their Bytes.
	Sample []Info
}

// Survey counts the sessions, up to most, and reads up to sample of those that were used last. It
// does not count as a use of them. It reads one state of the database in a transaction of its own,
// so its cost depends on most and sample and not on the size of the database. Call it outside of
// any transaction. The error is that of the database or of ctx.
func (m *Manager) Survey(ctx context.Context, most, sample int) (s Survey, err error) {
	defer m.log.write(ctx)
	err = transaction.Run(ctx, func(ctx context.Context) error {
		s = Survey{Name: m.config.Name, DB: m.db.Name(), Timeout: m.config.Timeout}
		ts, err := m.txState(ctx)
		if err != nil {
			return err
		}
		return ts.survey(&s, most, sample)
	})
	return s, err
}

func (ts *txState) survey(s *Survey, most, sample int) error {
	var refs []ref
	for it, err := range ts.index().Snapshot().Range(storage.Range{Reverse: true}) {
		if err != nil {
			return err
		}
		if s.Count == most {
			s.More = true
			break
		}
		s.Count++
		if _, r, ok := readIndexKey(it.Key); ok && len(refs) < sample {
			refs = append(refs, r)
		}
	}
	for _, r := range refs {
		var l loaded
		if err := l.read(ts.data.Snapshot(), &r); err != nil {
			return err
		}
		if !l.exists {
			continue
		}
		now, _ := ts.m.time()
		ts.m.addPending(&l, r, now)
		one := l.info(r, 0)
		for _, it := range l.all {
			one.Bytes += len(it.Key) + len(it.Value)
		}
		s.Sample = append(s.Sample, one)
	}
	return nil
}
