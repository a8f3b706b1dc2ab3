package transaction

// Status is the state of a transaction.
type Status int

// The states of a transaction.
const (
	Active       Status = iota // in use
	Doomed                     // in use, but can only be aborted
	Committing                 // data managers are being committed
	Committed                  // over and durable
	CommitFailed               // a commit or savepoint failed; can only be aborted
	Aborted                    // over, nothing was kept
)

// String returns the state in lower case, such as "commit failed".
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Doomed:
		return "doomed"
	case Committing:
		return "committing"
	case Committed:
		return "committed"
	case CommitFailed:
		return "commit failed"
	case Aborted:
		return "aborted"
	default:
		return "unknown"
	}
}
