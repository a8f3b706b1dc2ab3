package session

import (
	"errors"
	"fmt"
)

// Errors that callers may want to tell apart.
var (
	// ErrNoTransaction is returned when the context carries no transaction.
	ErrNoTransaction = errors.New(`session: no transaction in the context; put the tm filter in front of the app ` +
		`("egg:repoze.tm2#tm" in the pipeline of the .ini file), or use transaction.Run outside of requests`)

	// ErrNoID is returned for an empty browser id.
	ErrNoID = errors.New(`session: empty browser id; put the browserid filter at the front of the pipeline ` +
		`("egg:repoze.browserid#browserid" in the .ini file)`)

	// ErrEnded is returned by every method of a Session after its Invalidate.
	ErrEnded = errors.New("session: it was invalidated; get a new one from the manager")

	// ErrRolledBack is returned by every method of a Session that was got after a savepoint to which the
	// transaction has gone back.
	ErrRolledBack = errors.New("session: it was got after the savepoint that was rolled back; get it again from the manager")

	// ErrFinished is returned by every method of a Session whose transaction has ended.
	ErrFinished = errors.New("session: its transaction has ended; get it again within a new one")

	// ErrExists is returned by Carry when there is a session under the new id already.
	ErrExists = errors.New("session: there is a session under the new id already")
)

// A SizeError says that a session would become too large. It is not transient.
type SizeError struct {
	Session string // as [Session.Ref]
	Key     string // what was to be stored
	Size    int    // what the session's size would become, in bytes
	Limit   int    // the manager's MaxSize
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("session %s: setting %q would make it %d bytes large, over the limit of %d; "+
		"keep large things in storage and their key in the session", e.Session, e.Key, e.Size, e.Limit)
}

// A TypeError says that a stored value is of another type than was asked for.
type TypeError struct {
	Key    string
	Stored string // such as "a string"
	Want   string // the Go type asked for
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("session: the value of %q is %s, which does not fit %s", e.Key, e.Stored, e.Want)
}

// A RecordError says that a stored record can't be read: it is damaged, or of a newer release.
type RecordError struct {
	Session string // as [Session.Ref]
	Record  string // which record
	Problem string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("session %s: can't read %s: %s", e.Session, e.Record, e.Problem)
}
