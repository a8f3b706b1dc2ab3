package bolt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/transaction"
)

// errDependencyFailed is the error of a transaction that had read the writes of a commit that
// failed.
var errDependencyFailed = transaction.Transient(errors.New(
	"data that it had read was not committed"))

// errAborted is the error of a commit that decides over prepared work that recovery has already
// aborted. Nothing of the transaction was committed anywhere, so it may be run again.
var errAborted = transaction.Transient(errors.New("recovery has aborted the transaction, " +
	"which it took for lost: the prepared work of others is gone"))

// nothingCommitted says that nothing was committed, and adds the remedy if err has one.
func nothingCommitted(err error) error {
	if isFull(err) {
		return &fullError{fmt.Errorf("nothing was committed, because the disk is full: %w: "+
			"make room on it; meanwhile deletions may go on, "+
			"in the room that earlier ones have left in the file", err)}
	}
	return fmt.Errorf("nothing was committed: %w", err)
}

// A fullError reports that the disk is full.
type fullError struct{ error }

func (e *fullError) Unwrap() error { return e.error }

// isFull reports whether err says that a file can't grow. Of some of these errors bbolt keeps only
// the text.
func isFull(err error) bool {
	return slices.ContainsFunc(errsFull, func(full error) bool {
		return errors.Is(err, full) || strings.Contains(err.Error(), full.Error())
	})
}
