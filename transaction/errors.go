package transaction

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

var (
	// ErrNoTransaction is wrapped by the errors of operations that need a transaction when the context
	// carries none, in this package and in those that use it.
	ErrNoTransaction = errors.New("no transaction in the context")

	// ErrEnded is returned by operations on a transaction that has been committed or aborted, or is just being so.
	ErrEnded = errors.New("transaction: is over")

	// ErrCommitFailed is returned by operations on a transaction in which a commit, a savepoint or a rollback has failed.
	// It wraps that first failure too. Only Abort is left.
	ErrCommitFailed = errors.New("transaction: an operation failed before, only abort is left")

	// ErrDoomed is returned by the commit of a doomed transaction.
	ErrDoomed = errors.New("transaction: doomed, cannot commit")

	// ErrOnePhase is returned by a commit in which more than one data manager has changes and can't prepare them: they
	// can't be committed together or not at all, so none is.
	ErrOnePhase = errors.New("transaction: more than one data manager can only commit in one phase")

	// ErrInDoubt is wrapped by the error of a commit whose outcome isn't known: the answer was lost, or the data manager
	// that decides panicked. Others that had prepared stay so until recovery has asked for the decision.
	// Such an error is never transient: another attempt might do the work twice.
	ErrInDoubt = errors.New("transaction: in doubt, the commit may or may not have happened")

	// ErrPartlyKept is wrapped by the error of a transaction whose part in a database was ended there before its time, as
	// by a procedure that commits: what had been done until then is kept, or may be. Such an error is never transient:
	// another attempt might do that work twice.
	ErrPartlyKept = errors.New("transaction: was ended in the database before its time, and a part of its work may be kept")

	// ErrNoSavepoint is returned by [Txn.Savepoint] when a data manager of the transaction has no savepoints, and by the
	// rollback of an optimistic savepoint in that case.
	ErrNoSavepoint = errors.New("transaction: data manager has no savepoints")

	// ErrInvalidSavepoint is returned by the rollback to a savepoint that is gone: the transaction was rolled back to an
	// earlier one, or a commit or abort has begun.
	ErrInvalidSavepoint = errors.New("transaction: savepoint is no longer valid")
)

// A PanicError is a panic of a data manager, hook or synchronizer that was contained, so that the others could be told
// of the transaction's end.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // of the goroutine, as text
}

// Error returns the panic's value on one line, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value, if that was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// contain calls f and returns its panic as an error. There is no way to contain [runtime.Goexit]: where it matters, what
// has to be done nonetheless is deferred.
func contain(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// What a commit failed with where a data manager has ended the goroutine.
var (
	errExit        = errors.New("transaction: a data manager ended the goroutine (runtime.Goexit)")
	errExitInDoubt = fmt.Errorf("%w: %w", ErrInDoubt, errExit)
)

// forAll calls f with each of list, though a call ends the goroutine (runtime.Goexit, as t.FailNow does).
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

// Transient marks err as worth another attempt: [IsTransient] reports true of it. It wraps err, and is nil if err is.
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

// IsTransient reports whether an error in err's tree has a method Transient() bool that answers true: the work failed by
// bad luck, such as a lost race, and may succeed when it is done again from the start. An error that wraps
// [ErrInDoubt] or [ErrPartlyKept], or one that [Permanent] has marked, never is, whatever else it wraps.
func IsTransient(err error) bool {
	return transient(err) && !final(err)
}

// final reports whether there must be no other attempt after err: it might do work twice, or err says so.
func final(err error) bool {
	_, permanent := errors.AsType[*permanentError](err)
	return permanent || errors.Is(err, ErrInDoubt) || errors.Is(err, ErrPartlyKept)
}

// Permanent marks err as never worth another attempt, also if it is joined with one that is: the program is at fault, say.
// It wraps err, and is nil if err is.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// transient walks the whole tree: the first error that has the method need not be the one that says yes.
func transient(err error) bool {
	for err != nil {
		if e, ok := err.(interface{ Transient() bool }); ok && e.Transient() {
			return true
		}
		switch e := err.(type) { //nolint:errorlint // this is the walk that errors.As would do
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
