package recovery

import (
	"context"
	"time"
)

// A Recorder is a database that records, with a transaction's own commit, that the transaction was
// committed although others had only prepared. It is safe for concurrent use.
type Recorder interface {
	// RecorderID is the ID that the data manager returns: see resource.Recorder.
	RecorderID() string

	// Decided reports whether a commit record exists now. The answer may change from false to true;
	// use Settle for a final answer.
	Decided(ctx context.Context, transaction string) (committed bool, err error)

	// Settle is Decided with a final answer: if there is no record, it makes a durable one that
	// says aborted, and a later commit that would decide over that transaction fails. Every further
	// call returns the same answer.
	Settle(ctx context.Context, transaction string) (committed bool, err error)
}

// A Participant is a database that may hold prepared work of this program. It is safe for
// concurrent use.
type Participant interface {
	// Name identifies the database in log lines and errors. It contains no secret.
	Name() string

	// Prepared returns the parts that this program has prepared here and not yet finished, oldest
	// first.
	Prepared(ctx context.Context) ([]Prepared, error)

	// Finish commits p, and Abort rolls it back. A p that is gone, because another process has
	// settled it, is no error.
	Finish(ctx context.Context, p Prepared) error
	Abort(ctx context.Context, p Prepared) error
}

// Prepared is a prepared part of one transaction.
type Prepared struct {
	Name        string // the database's name for it
	Transaction string // the transaction's ID
	// RecorderID of the deciding database; empty if it keeps no record, so none exists
	Recorder string
	Since    time.Time // when it was prepared
	Orphan   bool      // its process is gone, or was left in doubt (see resource.Leaver)
}
