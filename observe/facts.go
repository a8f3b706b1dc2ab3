package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// An Outcome is how the transaction of an attempt ended. It is "" without a transaction.
type Outcome string

// The outcomes.
const (
	Committed  Outcome = "committed"
	Aborted    Outcome = "aborted"  // the handler returned an error, panicked or aborted
	Vetoed     Outcome = "vetoed"   // because of the status of the response
	Doomed     Outcome = "doomed"   // marked to be aborted
	Conflicted Outcome = "conflict" // lost to another transaction, so it can be run again
	Gone       Outcome = "gone"     // the client left, or the time was over, before the commit
	Failed     Outcome = "failed"   // the commit failed, and not because of a conflict
)

// RequestStart is the begin of a request.
type RequestStart struct {
	ID         string
	Method     string
	Path       string // without the query
	Host       string
	RemoteAddr string // the client's address, with or without a port
	Time       time.Time
}

// RequestEnd is the end of a request: its handler has returned or panicked.
type RequestEnd struct {
	Summary
	Method   string
	Path     string // without the query
	Status   int    // that the client gets
	Bytes    int64  // of the response's body
	Panicked bool   // the handler ended with a panic
	Start    time.Time
	Duration time.Duration
}

// AttemptStart is the begin of an attempt.
type AttemptStart struct {
	Number int // from 1
	Tries  int // the most attempts that there can be
	Time   time.Time
}

// End returns the end of the attempt, now.
func (f AttemptStart) End(status int, err error, again bool) AttemptEnd {
	return AttemptEnd{
		Number: f.Number, Tries: f.Tries, Status: status, Err: err, Again: again,
		Start: f.Time, Duration: time.Since(f.Time),
	}
}

// AttemptEnd is the end of an attempt: its transaction has ended, and the response, if it is one
// that leaves, has not been sent yet.
type AttemptEnd struct {
	Number   int
	Tries    int
	Outcome  Outcome
	Status   int   // of the response that the handler wrote
	Err      error // why it failed; nil if it did not
	Again    bool  // another attempt is going to follow
	Start    time.Time
	Duration time.Duration
}

// JobStart is the begin of a transaction that a job runs, with all its attempts.
type JobStart struct {
	Name string // of the job: that of its section
	Time time.Time
}

// End returns the end of the transaction, now.
func (f JobStart) End(err error) JobEnd {
	return JobEnd{Name: f.Name, Err: err, Start: f.Time, Duration: time.Since(f.Time)}
}

// JobEnd is the end of a transaction that a job has run.
type JobEnd struct {
	Name     string
	Err      error // why it was not committed; nil: committed
	Start    time.Time
	Duration time.Duration
}

// Join is a data manager that has joined a transaction.
type Join struct {
	Manager string // its sort key, such as "storage:bolt:///data.db"
}

// CommitStart is the begin of a commit.
type CommitStart struct {
	Managers int // how many data managers have joined
	Time     time.Time
}

// CommitEnd is the end of a commit.
type CommitEnd struct {
	Managers int
	Err      error // nil: committed
	Start    time.Time
	Duration time.Duration
}

// Decision is how a transaction of a request ended.
type Decision struct {
	Outcome Outcome
	Status  int   // of the response that the handler wrote
	Err     error // the reason, if it is an error
}

// An Operation is a kind of use of a key.
type Operation string

// The operations.
const (
	Get    Operation = "get"
	Range  Operation = "range"
	Put    Operation = "put"
	Delete Operation = "delete"
)

// Access is the use of a key, or of a range of keys, by a transaction.
type Access struct {
	DB        string // the name of the database
	Bucket    string
	Key       string // shortened by [Key]; of a range: "from..to"
	Operation Operation
	Bytes     int // the size of the value that was read or is written
}

// Conflict is the loss of an attempt: another transaction has changed what this one had read.
type Conflict struct {
	DB     string
	Bucket string // "" if the engine can't tell
	Key    string // shortened by [Key]
	// With is the id of the request that changed the key, or the name of a job; "" if it is
	// unknown, as when another process made the change.
	With string
	Err  error
}

// Queue is the end of a wait for a contended key.
type Queue struct {
	DB       string
	Bucket   string // "" if it is a queue for all keys that lost attempts have used
	Key      string // shortened by [Key]
	Ahead    int    // how many were before it in the queue
	Granted  bool   // false: the wait took too long, and the attempt goes on nonetheless
	Start    time.Time
	Duration time.Duration
}

// Group is the commit of one member of a group of transactions that share one write to the disk.
type Group struct {
	Size  int           // how many transactions shared it
	Wait  time.Duration // from the begin of the commit until the write began
	Write time.Duration // of the write, fsync included
}

// Statement is an SQL statement that has been run.
type Statement struct {
	DB       string
	SQL      string // without arguments
	Err      error
	Start    time.Time
	Duration time.Duration
}

// Release is a response that leaves before its handler has returned, after the commit: the handler
// has flushed it or has taken over the connection.
type Release struct {
	Hijacked bool
}

// Spool is a body that outgrew its memory and went on in a temporary file.
type Spool struct {
	Response bool  // else that of the request
	Bytes    int64 // that it had when it outgrew the memory
}

// SessionChange is the begin or end of a session, by a committed transaction.
type SessionChange struct {
	Change SessionEvent
	Ref    string // an id for logs, which is not the browser id
}

// SessionContent is what a session holds when a transaction that has used it ends.
type SessionContent struct {
	Manager string // the name of the session manager
	Ref     string // an id for logs, which is not the browser id
	// Values returns the values under their keys, with the changes of the transaction. They may be
	// secret. An error joins those of values that can't be read.
	Values func() (map[string]any, error)
}

// A SessionEvent is what happened to a session.
type SessionEvent string

// The session events.
const (
	SessionBegun       SessionEvent = "begun"
	SessionInvalidated SessionEvent = "invalidated"
	SessionExpired     SessionEvent = "expired"
	SessionRenewed     SessionEvent = "renewed" // it has got a new browser id
)

// Sweep is the end of a search for expired sessions.
type Sweep struct {
	Ended    int // how many sessions it has ended
	Err      error
	Start    time.Time
	Duration time.Duration
}

// shown is how many bytes of a key [Key] shows.
const shown = 8

// Key returns a key as facts show it: whole up to 8 bytes, else its first 8 bytes and four
// hexadecimal digits of its hash, so that different keys can be told apart. A longer key may be the
// secret of a visitor. Bytes that are no text are shown as hexadecimal digits after 0x; those of a
// session's key so begin as the ref of the session in the log does.
func Key(key string) string {
	if len(key) <= shown {
		return printable(key)
	}
	sum := sha256.Sum256([]byte(key))
	return printable(key[:shown]) + "…" + hex.EncodeToString(sum[:2])
}

// KeyRange returns a range of keys as facts show it.
func KeyRange(from, to string) string { return Key(from) + ".." + Key(to) }

// printable returns s with a backslash before, or an escape for, each character that can't be shown,
// or as hexadecimal digits if it is no text.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) }) {
		return "0x" + hex.EncodeToString([]byte(s))
	}
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
