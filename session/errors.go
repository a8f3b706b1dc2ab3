package session

import (
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/transaction"
)

// errNoTransaction is returned when the context carries no transaction.
var errNoTransaction = fmt.Errorf("session: %w; put the filter tm in front of the app "+
	`("egg:repoze.tm2#tm" in the pipeline of the .ini file), `+
	"or use transaction.Run outside of requests",
	transaction.ErrNoTransaction)

// Errors that callers may want to tell apart.
var (
	// ErrNoID is returned when the context carries no browser id, or an empty one.
	ErrNoID = errors.New(`session: no browser id in the context; ` +
		`put the browserid filter at the front of the pipeline ` +
		`("egg:repoze.browserid#browserid" in the .ini file), ` +
		"or use session.WithID outside of requests")

	// ErrInvalidated is returned by every method of a Session after its Invalidate.
	ErrInvalidated = errors.New("session: it was invalidated; get a new one from the manager")

	// ErrRolledBack is returned by every method of a Session that was got after a savepoint which
	// has been rolled back since.
	ErrRolledBack = errors.New("session: it was got after the savepoint that was rolled back; " +
		"get it again from the manager")

	// ErrFinished is returned by every method of a Session whose transaction has ended or is
	// ending. It wraps [transaction.ErrEnded].
	ErrFinished error = finishedError{}

	// ErrNotTold is returned by Renew when the new id can't be sent to the browser; the wrapped
	// error gives the reason.
	ErrNotTold = errors.New("session: the browser can't be told of a new id")

	// ErrRenewed is returned by a call that would write to a session whose id has ended because
	// another request of the same browser has renewed it: see [Manager.Renew]. It has the HTTP
	// status 409 and is not transient: the browser has a new id, or is about to receive it, and has
	// to send the request again with that id.
	ErrRenewed error = renewedError{}
)

type finishedError struct{}

func (finishedError) Error() string {
	return "session: its transaction has ended; get it again within a new one"
}

func (finishedError) Unwrap() error { return transaction.ErrEnded }

type renewedError struct{}

func (renewedError) Error() string {
	return "session: its id has ended: another request of this browser has renewed it; " +
		"the request has to be sent again with the new id"
}

// HTTPStatus returns the status for a request that failed with this error: 409 Conflict.
func (renewedError) HTTPStatus() int { return 409 }

// PublicText returns a message for the client.
func (renewedError) PublicText() string {
	return "The session has been renewed meanwhile. Send the request again."
}

// A KeyError reports a key that is too long to be stored.
type KeyError struct {
	Session string // as [Session.Ref]
	Key     string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("session %s: the key %.32q has %d bytes: want at most %d",
		e.Session, e.Key, len(e.Key), MaxKey)
}

// A ValueError reports a value that would be different when read back, and was therefore not
// stored.
type ValueError struct {
	Path    string // where in the value, such as ["cart"][2].Price; empty: the whole value
	Problem string
}

func (e *ValueError) Error() string {
	if e.Path == "" {
		return "it would not come back as it is: " + e.Problem
	}
	return fmt.Sprintf("it would not come back as it is: at %s: %s", e.Path, e.Problem)
}

// A SizeError reports that a session would become too large. It is not transient.
type SizeError struct {
	Session string // as [Session.Ref]
	Key     string // the key that was to be set
	Size    int    // the size that the session would have, in bytes
	Limit   int    // the manager's MaxSize
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("session %s: "+
		"setting %q would make it %d bytes large, over the limit of %d; "+
		"keep large things in storage and their key in the session",
		e.Session, e.Key, e.Size, e.Limit)
}

// A TypeError reports that a stored value is of another type than the one asked for.
type TypeError struct {
	Key    string
	Stored string // such as "a string"
	Want   string // the Go type asked for
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("session: the value of %q is %s, which does not fit %s",
		e.Key, e.Stored, e.Want)
}

// A RecordError reports a stored record that can't be read: it is damaged, or of a newer release.
type RecordError struct {
	Session string // as [Session.Ref]
	Record  string // the record, such as "the value of \"n\""
	Problem string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("session %s: can't read %s: %s", e.Session, e.Record, e.Problem)
}
