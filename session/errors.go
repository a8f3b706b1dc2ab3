package session

import (
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/internal/visitor"
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
	ErrNoID = fmt.Errorf(`session: %w; `+
		`put the browserid filter at the front of the pipeline `+
		`("egg:repoze.browserid#browserid" in the .ini file), `+
		"or use session.WithID outside of requests", visitor.ErrNoID)

	// ErrInvalidated is returned by every method of a Session after its Invalidate.
	ErrInvalidated = errors.New("session: it was invalidated; call Manager.Get for a new one")

	// ErrRolledBack is returned by every method of a Session that Manager.Get returned after a
	// savepoint to which the transaction has been rolled back since.
	ErrRolledBack = errors.New("session: it was loaded after the savepoint that was rolled back; " +
		"call Manager.Get again")

	// ErrFinished is returned by every method of a Session whose transaction has ended or is
	// ending. It wraps [transaction.ErrEnded].
	ErrFinished error = finishedError{}

	// ErrIDNotSent is returned by Renew when the new id can't be sent to the browser. It is joined
	// with an error that gives the reason.
	ErrIDNotSent = errors.New("session: the new id can't be sent to the browser")

	// ErrRenewed is returned by a call that would write to a session whose id has ended because
	// another request of the same browser has renewed it: see [Manager.Renew]. It has the HTTP
	// status 409 (Conflict) and is not transient: the browser has a new id, or is about to receive
	// it, and has to send the request again with that id.
	ErrRenewed error = renewedError{}
)

type finishedError struct{}

func (finishedError) Error() string {
	return "session: its transaction has ended; call Manager.Get in a new one"
}

func (finishedError) Unwrap() error { return transaction.ErrEnded }

type renewedError struct{}

func (renewedError) Error() string {
	return "session: another request of this browser has renewed the session's id; " +
		"send the request again with the new id"
}

// HTTPStatus returns the status for a request that failed with this error: 409 Conflict.
func (renewedError) HTTPStatus() int { return 409 }

// PublicText returns a message for the client.
func (renewedError) PublicText() string {
	return "Another request has just renewed your session. Send this request again."
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
	Path    string // the part of the value, such as ["cart"][2].Price; empty: the whole value
	Problem string
}

func (e *ValueError) Error() string {
	if e.Path == "" {
		return "it would be different when read back: " + e.Problem
	}
	return fmt.Sprintf("it would be different when read back: at %s: %s", e.Path, e.Problem)
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
		"with the value of %q it would have %d bytes, more than the limit of %d; "+
		"store large values in a storage bucket and their keys in the session",
		e.Session, e.Key, e.Size, e.Limit)
}

// A TypeError reports a stored value that does not fit the type requested of [Get].
type TypeError struct {
	Key    string
	Stored string // such as "a string"
	Want   string // the Go type requested
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("session: the value of %q is %s, which does not fit %s",
		e.Key, e.Stored, e.Want)
}

// A RecordError reports a stored record that can't be read: it is damaged, or a newer release of
// this package wrote it.
type RecordError struct {
	Session string // as [Session.Ref]
	Record  string // the record, such as "the value of \"n\""
	Problem string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("session %s: can't read %s: %s", e.Session, e.Record, e.Problem)
}
