package recovery

import (
	"context"
	"time"
)

// A Decider is a database that records, with a transaction's own commit, that it was committed over others who had prepared. It
// is safe for concurrent use.
type Decider interface {
	// DeciderID is the one of the data manager's: see transaction.Decider.
	DeciderID() string

	// Decided reports whether there is a record that the transaction was committed. There may be one a moment later.
	Decided(ctx context.Context, transaction string) (committed bool, err error)

	// Settle is Decided for whoever will act on the answer: if there is no record, it makes a durable one that says aborted,
	// and a commit that would decide over that transaction fails from then on. It gives the same answer ever after.
	Settle(ctx context.Context, transaction string) (committed bool, err error)
}

// A Participant is a database that may hold prepared work of this program. It is safe for concurrent use.
type Participant interface {
	// Name is what log lines and errors call the database. There is no secret in it.
	Name() string

	// Prepared returns what this program has prepared here and not yet finished, the oldest first.
	Prepared(ctx context.Context) ([]Prepared, error)

	// Finish commits p, and Abort rolls it back. What is not there any more, because somebody else has settled it, is no error.
	Finish(ctx context.Context, p Prepared) error
	Abort(ctx context.Context, p Prepared) error
}

// Prepared is a prepared part of one transaction.
type Prepared struct {
	Name        string    // what the database calls it
	Transaction string    // its id
	Decider     string    // the DeciderID of who was to decide; empty: nobody keeps a record, so nobody has decided
	Since       time.Time // when it was prepared
	Orphan      bool      // nobody works on it: the process that prepared it is gone, or was left in doubt (see transaction.Leaver)
}
