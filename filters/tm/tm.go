package tm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/replay"
	"github.com/pasteline/pasteline/internal/request/respbuf"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/transaction"
)

// New returns the filter.
func New(config Config) func(http.Handler) http.Handler {
	if config.Manager == nil {
		config.Manager = &transaction.Manager{Logger: config.Logger, SlowCommit: config.SlowCommit}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return func(next http.Handler) http.Handler {
		return &filter{config, next}
	}
}

// A filter is the handler that New's middleware returns. Its fields don't change while it serves.
type filter struct {
	Config
	next http.Handler
}

// ServeHTTP runs one request, or one attempt of it, in a transaction.
func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, inside := transaction.FromContext(r.Context())
	if inside || f.Activate != nil && !f.Activate(r) {
		f.next.ServeHTTP(w, r)
		return
	}
	f.serve(r.Context(), w, r)
}

// ServeCopy is ServeHTTP for a copy of r with the context ctx. A browserid or retry around this
// filter calls it to avoid a copy of its own: the handler gets a copy with the transaction's
// context anyway. Activate, User and Veto receive the request, so with them an intermediate copy is
// needed.
func (f *filter) ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	_, inside := transaction.FromContext(ctx)
	if inside || f.Activate != nil || f.User != nil || f.Veto != nil {
		own := r.WithContext(ctx)
		defer formfiles.Remove(r, own)
		f.ServeHTTP(w, own)
		return
	}
	f.serve(ctx, w, r)
}

// serve serves a copy of r with the context ctx in a transaction.
func (f *filter) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	result, inRetry := attempt.FromContext(ctx)
	var body *replay.Body // nil: the incoming body is passed on
	if !inRetry && !f.StreamBody && replay.Waits(r) {
		limits := replay.Options{
			HighWater: f.HighWater, Max: f.MaxBody,
			Spooled: observe.FromContext(ctx).OnSpooled(ctx, false),
		}
		body = replay.New(r.Body, limits)
		// the only effect of an error is a temporary file that stays
		defer func() { _ = body.Close() }()
		err := limits.Check(r)
		if err == nil {
			err = body.Fill(ctx)
		}
		if err != nil {
			r = r.WithContext(ctx)
			attempt.Log(f.Logger, "request failed", r, err)
			attempt.Respond(w, r, err)
			return
		}
	}
	response, shared := w.(*respbuf.Writer) // the buffer of retry, for this attempt
	shared = shared && response.Result() == result && !response.Sent()
	if !shared {
		options := respbuf.Options{HighWater: f.HighWater, Max: f.MaxResponse}
		if seen := observe.FromContext(ctx); seen.Listening() {
			options.Spooled, options.Released = seen.OnSpooled(ctx, true), seen.OnReleased(ctx)
		}
		if inRetry { // another filter stands between retry and this one
			response = respbuf.New(w, result, options)
		} else {
			response, ctx = respbuf.Begin(ctx, w, options)
			result = response.Result()
		}
		defer response.Discard()
	}
	f.attempt(ctx, response, r, body, !inRetry)
	if shared {
		return
	}
	err := result.Err()
	failed := err != nil && !response.Sent()
	if err != nil {
		r = r.WithContext(ctx) // for the log
	}
	switch {
	case failed:
		if !inRetry {
			attempt.Log(f.Logger, "request failed", r, err)
		}
		// A retry around this filter drops this answer or sends the same one; filters in between
		// see the result.
		response.Discard()
		result.Respond(w, r, err)
	case err != nil && !inRetry:
		attempt.Log(f.Logger, response.Late(), r, err)
		response.Cut()
	default: // a retry around this filter cuts off a response that failed late
		if err := response.Send(); err != nil {
			f.Logger.LogAttrs(ctx, slog.LevelDebug, "response not sent", slog.Any("error", err))
			if !inRetry {
				panic(http.ErrAbortHandler) // a part of the response may have been sent
			}
			result.Fail(fmt.Errorf("response not sent: %w", err))
		}
	}
}

// attempt is run, and tells listeners of it as the only attempt if there is no retry around.
func (f *filter) attempt(ctx context.Context, response *respbuf.Writer, r *http.Request,
	body *replay.Body, only bool,
) {
	seen := observe.FromContext(ctx)
	if !only || !seen.Listening() {
		f.run(ctx, response, r, body)
		return
	}
	start := observe.AttemptStart{Number: 1, Tries: 1, Time: time.Now()}
	ctx = seen.AttemptStart(ctx, start)
	defer func() { seen.AttemptEnd(ctx, start.End(response.Status(), response.Result().Err(), false)) }()
	f.run(ctx, response, r, body)
}

// run runs the handler in a transaction, ends the transaction, and records the outcome in the
// buffer's result. The body is that of r if it has been received, and nil otherwise.
func (f *filter) run(ctx context.Context, response *respbuf.Writer, r *http.Request,
	body *replay.Body,
) {
	user := ""
	if f.User != nil {
		user = f.User(r)
	}
	ctx, txn, err := f.Manager.Begin(ctx)
	if err != nil {
		response.Result().Fail(err)
		return
	}
	t := &run{
		Context: attempt.Context{Context: ctx}, filter: f, request: r, txn: txn,
		response: response,
	}
	t.Result.Part(response.Result())
	defer t.tell()
	txn.Note(r.URL.Path)
	txn.SetUser(user)
	response.SetCommitter(t)
	t.passed = *r.WithContext(t)
	if body != nil {
		t.passed.Body = body.Attempt(&t.Result, true)
	}
	returned := false
	defer func() {
		if !returned { // the handler panics; the panic is not recovered
			t.Result.Shut()
			response.Returned()
			t.abort()
		}
		formfiles.Remove(r, &t.passed)
	}()
	f.next.ServeHTTP(response, &t.passed)
	returned = true
	t.Result.Shut()
	response.Returned()
	_ = t.Commit()
}

// A run is one request in its transaction. It is the context of the handler's request, and decides
// whether the transaction commits.
type run struct {
	attempt.Context // for the handlers behind this filter
	filter          *filter
	// the incoming request; behind ServeCopy it lacks the context of the attempt
	request  *http.Request
	passed   http.Request // the handler's request; a field, to avoid an allocation
	txn      *transaction.Txn
	response *respbuf.Writer

	mu      sync.Mutex // held during the decision; guards the rest
	decided bool
	err     error           // the result of the decision
	ended   observe.Outcome // why there was no commit, if it was no error of the handler
}

// String is used by fmt to print the context.
func (t *run) String() string { return "tm" }

// result returns the result in which the outcome of the attempt is recorded.
func (t *run) result() *attempt.Result { return t.response.Result() }

// Commit commits or aborts the transaction on its first call: when the handler flushes or hijacks,
// otherwise when it has returned. It returns nil if the response may be sent as the handler wrote
// it, because the transaction was committed or because the handler asked for an abort.
func (t *run) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.decided {
		t.decided = true
		t.err = http.ErrAbortHandler // remains the result if a veto panics
		t.decideAndEnd()
	}
	return t.err
}

func (t *run) decideAndEnd() {
	defer t.end()
	t.err = t.decide()
}

// abort aborts the transaction, unless the decision has been made.
func (t *run) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.decided {
		t.decided = true
		t.err = http.ErrAbortHandler
		t.end()
	}
}

// decide commits the transaction, or returns without a commit, so that end aborts it. An error
// takes precedence over the veto: after a conflict the request has to be run again, whatever status
// the handler wrote.
func (t *run) decide() error {
	if t.result().Err() != nil {
		t.result().Wrap(t.classify)
		return t.result().Err()
	}
	switch t.txn.Status() {
	case transaction.Committed: // the handler has committed it
		return nil
	case transaction.Doomed:
		t.ended = observe.Doomed
		return t.conflict()
	case transaction.Aborted:
		return t.conflict()
	}
	if t.vetoed() {
		t.ended = observe.Vetoed
		return t.conflict()
	}
	if t.Err() != nil {
		return t.fail(goneError(t))
	}
	if err := t.txn.Commit(t); err != nil {
		status := t.txn.Status()
		t.ended = observe.Failed
		// a goroutine of the handler may be ending the transaction at this moment
		if errors.Is(err, transaction.ErrEnded) {
			status = t.txn.Wait(t)
		}
		switch {
		case status == transaction.Committed:
			return nil
		case status == transaction.Aborted:
			t.ended = observe.Aborted
			return t.conflict()
		case status == transaction.CommitFailed && errors.Is(err, transaction.ErrEnded):
			err = t.txn.Commit(t) // returns the error of that commit
		case status == transaction.Active && t.Err() != nil:
			err = goneError(t) // the client left during the commit
		}
		return t.fail(err)
	}
	return nil
}

var errVetoPanicked = errors.New("commit veto panicked")

func (t *run) vetoed() bool {
	status := t.response.Status()
	if t.filter.Veto == nil {
		return status >= http.StatusInternalServerError
	}
	returned := false
	defer func() {
		if !returned { // a filter may recover the panic; the attempt has failed nonetheless
			t.result().Fail(errVetoPanicked)
		}
	}()
	veto := t.filter.Veto(t.request, status, t.response.SentHeader())
	returned = true
	return veto
}

// fail records err as the outcome.
func (t *run) fail(err error) error {
	t.result().Fail(t.classify(err))
	return t.result().Err()
}

// classify marks err as transient if a data manager says so or reports a conflict that err hides.
// It must be called before the transaction ends.
func (t *run) classify(err error) error { return t.txn.Classify(t, err) }

// conflict handles a transaction that the handler does not want to commit. If a conflict may be the
// reason, it records the conflict as the failure, so that the request is run again. If there is no
// conflict, or no further attempt, the handler's answer is sent.
func (t *run) conflict() error {
	err := t.txn.Conflict(t)
	if err == nil {
		return nil
	}
	if try, ok := transaction.AttemptFromContext(t); ok && !try.Last() {
		return t.fail(err)
	}
	t.filter.Logger.LogAttrs(t, slog.LevelWarn,
		"conflict at the last attempt: the handler's own answer is sent",
		slog.String("method", t.request.Method), slog.String("path", t.request.URL.Path),
		slog.Int("status", t.response.Status()), slog.Any("error", err))
	return nil
}

// goneError returns the error of a request whose client has gone or whose deadline has passed.
func goneError(ctx context.Context) error {
	cause := context.Cause(ctx)
	status := attempt.StatusClientClosedRequest
	if errors.Is(cause, context.DeadlineExceeded) {
		status = http.StatusServiceUnavailable
	}
	err := fmt.Errorf("not committed, as the client disconnected or the deadline passed: %w", cause)
	return attempt.WithStatus(status, err)
}

// tell tells listeners how the transaction has ended.
func (t *run) tell() {
	seen := t.txn.Observed()
	if seen == nil {
		return
	}
	err := t.result().Err()
	seen.Decided(t, observe.Decision{Outcome: t.outcome(err), Status: t.response.Status(), Err: err})
}

// outcome returns how the transaction has ended, given the error of the attempt.
func (t *run) outcome(err error) observe.Outcome {
	switch {
	case t.txn.Status() == transaction.Committed:
		return observe.Committed
	case transaction.IsTransient(err):
		return observe.Conflicted
	case t.Err() != nil && (errors.Is(err, context.Canceled) ||
		errors.Is(err, context.DeadlineExceeded)):
		return observe.Gone
	case t.ended != "":
		return t.ended
	default:
		return observe.Aborted
	}
}

// end aborts the transaction unless it has ended.
func (t *run) end() {
	if t.txn.Status() == transaction.Committed {
		t.result().SetCommitted()
		return
	}
	switch err := t.txn.Abort(t); {
	case err == nil:
	case errors.Is(err, transaction.ErrEnded): // the handler, or a goroutine of it, ended it
		if t.txn.Wait(t) == transaction.Committed {
			t.result().SetCommitted()
		}
	default:
		err = fmt.Errorf("transaction was not aborted cleanly: %w", err)
		t.result().Fail(err)
		t.result().Wrap(func(reason error) error { return abortError(reason, err) })
		t.err = t.result().Err()
	}
}

// abortError returns the error to report when an abort because of reason failed with err. It
// returns err, since the answer to reason could contain data that was read but never committed. It
// returns reason if that is a commit in doubt, as such a request must not be run again.
func abortError(reason, err error) error {
	if errors.Is(reason, transaction.ErrInDoubt) || errors.Is(reason, transaction.ErrPartlyKept) {
		return reason
	}
	return err
}
