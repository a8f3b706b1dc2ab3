package transaction

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

var (
	// ErrNoTransaction is wrapped by the errors of operations, in this package and in its users,
	// that need a transaction when the context carries none.
	ErrNoTransaction = errors.New("no transaction in the context")

	// ErrEnded is returned by operations on a transaction that has been committed or aborted, or
	// whose end has begun.
	ErrEnded = errors.New("transaction: is over")

	// ErrCommitFailed is returned by operations on a transaction in which a commit, a savepoint or
	// a rollback has failed. It also wraps that first error. Only Abort is possible then.
	ErrCommitFailed = errors.New("transaction: an operation failed before, only abort is left")

	// ErrDoomed is returned by the commit of a doomed transaction.
	ErrDoomed = errors.New("transaction: doomed, cannot commit")

	// ErrOnePhase is returned by a commit in which more than one data manager has changes and can't
	// prepare them: committing them together or not at all is impossible, so none is committed.
	ErrOnePhase = errors.New("transaction: more than one data manager can only commit in one phase")

	// ErrInDoubt is wrapped by the error of a commit whose outcome isn't known, because the answer
	// was lost or the data manager that decides panicked. The others stay prepared until recovery
	// has found the decision. Such an error is never transient: another attempt might do the work
	// twice.
	ErrInDoubt = errors.New("transaction: in doubt, the commit may or may not have happened")

	// ErrPartlyKept is wrapped by the error of a transaction whose part in a database was ended
	// there early, for example by a procedure that commits: the work done until then is, or may be,
	// kept. Such an error is never transient: another attempt might do that work twice.
	ErrPartlyKept = errors.New("transaction: was ended in the database before its time, and a " +
		"part of its work may be kept")

	// ErrNoSavepoint is returned by [Txn.Savepoint] if a data manager of the transaction has no
	// savepoints; in that case an optimistic savepoint returns it from Rollback.
	ErrNoSavepoint = errors.New("transaction: data manager has no savepoints")

	// ErrInvalidSavepoint is returned by the rollback to a savepoint that is no longer valid: the
	// transaction was rolled back to an earlier one, or its commit or abort has begun.
	ErrInvalidSavepoint = errors.New("transaction: savepoint is no longer valid")
)

// A PanicError is a recovered panic of a data manager, hook or synchronizer.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // of the goroutine, as text
}

// Error returns the panic's value on one line, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value, if that was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// recovered calls f and returns a panic as a *PanicError. [runtime.Goexit] cannot be recovered;
// callers that must run cleanup defer it.
func recovered(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// The errors of a commit in which a data manager has ended the goroutine.
var (
	errExit        = errors.New("transaction: a data manager ended the goroutine (runtime.Goexit)")
	errExitInDoubt = fmt.Errorf("%w: %w", ErrInDoubt, errExit)
)

// forAll calls f for every element of list, even if a call ends the goroutine with runtime.Goexit
// (as t.FailNow does).
func forAll[T any](list []T, f func(T)) {
	for i, x := range list {
		orElse(func() { f(x) }, func() { forAll(list[i+1:], f) })
	}
}

// orElse calls f, and rest only if f does not return.
func orElse(f, rest func()) {
	returned := false
	defer func() {
		if !returned {
			rest()
		}
	}()
	f()
	returned = true
}

// Transient wraps err to mark it as worth another attempt: [IsTransient] reports true for it. It
// returns nil if err is nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transientError{err}
}

type transientError struct{ err error }

func (e *transientError) Error() string   { return e.err.Error() }
func (e *transientError) Unwrap() error   { return e.err }
func (e *transientError) Transient() bool { return true }

// IsTransient reports whether an error in err's tree has a method Transient() bool that returns
// true: the work failed for a temporary reason, such as a conflict, and may succeed when it is done
// again from the start. It is always false for an error that wraps [ErrInDoubt] or [ErrPartlyKept],
// or that [Permanent] has marked.
func IsTransient(err error) bool {
	return transient(err) && !final(err)
}

// final reports whether err rules out another attempt: it might do work twice, or err is marked as
// permanent.
func final(err error) bool {
	_, permanent := errors.AsType[*permanentError](err)
	return permanent || errors.Is(err, ErrInDoubt) || errors.Is(err, ErrPartlyKept)
}

// Permanent wraps err to mark it as never worth another attempt, for example because of a bug in
// the program, even if it is joined with a transient error. It returns nil if err is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// transient searches the whole tree: the first error with the method may say no and a later one
// yes.
func transient(err error) bool {
	for err != nil {
		if e, ok := err.(interface{ Transient() bool }); ok && e.Transient() {
			return true
		}
		switch e := err.(type) { //nolint:errorlint // walks the tree as errors.As does
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			return slices.ContainsFunc(e.Unwrap(), transient)
		default:
			return false
		}
	}
	return false
}
