package tm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/form"
	"github.com/pasteline/pasteline/internal/hold"
	"github.com/pasteline/pasteline/internal/replay"
	"github.com/pasteline/pasteline/transaction"
)

// New returns the filter. The error is that of [Config.Validate].
func New(config Config) (func(http.Handler) http.Handler, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Manager == nil {
		config.Manager = &transaction.Manager{Logger: config.Logger}
	}
	config.MaxResponse = bound(config.MaxResponse, DefaultMaxResponse)
	config.MaxBody = bound(config.MaxBody, DefaultMaxBody)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return func(next http.Handler) http.Handler {
		return &filter{config, next}
	}, nil
}

// bound turns a setting into the limit that hold and replay know: zero is none.
func bound(limit, byDefault int64) int64 {
	switch {
	case limit == 0:
		return byDefault
	case limit < 0:
		return 0
	}
	return limit
}

// filter is read-only while it serves.
type filter struct {
	Config
	next http.Handler
}

// ServeHTTP runs one request, or one attempt at it, in a transaction.
func (f *filter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, inside := transaction.FromContext(r.Context()); inside || f.Activate != nil && !f.Activate(r) {
		f.next.ServeHTTP(w, r)
		return
	}
	f.serve(r.Context(), w, r)
}

// ServeCopy does the same with a copy of r that has ctx, for a browserid or retry that stands around this filter: the handler gets a
// copy anyway, with the context of the transaction, so theirs (of 304 bytes each) are spared if nobody else is to see them.
func (f *filter) ServeCopy(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if _, inside := transaction.FromContext(ctx); inside || f.Activate != nil || f.User != nil || f.Veto != nil {
		own := r.WithContext(ctx)
		defer form.Remove(r, own)
		f.ServeHTTP(w, own)
		return
	}
	f.serve(ctx, w, r)
}

// serve serves a request that is r, but has ctx, in a transaction.
func (f *filter) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	result, answered := attempt.FromContext(ctx)
	var body *replay.Body // nil: what came is handed on
	if !answered && !f.StreamBody && replay.Waits(r) {
		body = replay.New(r.Body, replay.Options{HighWater: f.HighWater, Max: f.MaxBody})
		defer func() { _ = body.Close() }() // what can't be given back will not be missed
		if err := f.receive(ctx, body, r); err != nil {
			r = r.WithContext(ctx)
			attempt.Log(f.Logger, "request failed", r, err)
			attempt.Respond(w, r, err)
			return
		}
	}
	held, shared := w.(*hold.Writer) // retry's, for this very attempt
	shared = shared && held.Result() == result && !held.Sent()
	if !shared {
		options := hold.Options{HighWater: f.HighWater, Max: f.MaxResponse}
		if answered { // retry is around, with something in between
			held = hold.New(w, result, options)
		} else {
			held, ctx = hold.Begin(ctx, w, options)
			result = held.Result()
		}
		defer held.Drop()
	}
	f.run(ctx, held, r, body)
	if shared {
		return
	}
	err := result.Err()
	failed := err != nil && !held.Sent()
	if err != nil {
		r = r.WithContext(ctx) // for the log
	}
	switch {
	case failed:
		if !answered {
			attempt.Log(f.Logger, "request failed", r, err)
		}
		// If retry is around, it drops this or answers the same; what is in between sees how it ended.
		held.Drop()
		result.Respond(w, r, err)
	case err != nil && !answered:
		attempt.Log(f.Logger, held.Late(), r, err)
		held.Cut()
	default: // if retry is around, it will cut a response that failed late
		if err := held.Release(); err != nil {
			f.Logger.LogAttrs(ctx, slog.LevelDebug, "response not sent", slog.Any("error", err))
			if !answered {
				panic(http.ErrAbortHandler) // a part may have been
			}
			result.Fail(fmt.Errorf("response not sent: %w", err))
		}
	}
}

// receive receives the whole body of r.
func (f *filter) receive(ctx context.Context, body *replay.Body, r *http.Request) error {
	if f.MaxBody > 0 && r.ContentLength > f.MaxBody {
		return &http.MaxBytesError{Limit: f.MaxBody}
	}
	return body.Fill(ctx)
}

// run runs the handler in a transaction and ends that. How is in held's result. The body is that of r, if it has been received.
func (f *filter) run(ctx context.Context, held *hold.Writer, r *http.Request, body *replay.Body) {
	user := ""
	if f.User != nil {
		user = f.User(r)
	}
	ctx, txn, err := f.Manager.Begin(ctx)
	if err != nil {
		held.Result().Fail(err)
		return
	}
	t := &run{Context: attempt.Context{Context: ctx}, filter: f, request: r, txn: txn, held: held}
	t.Result.Part(held.Result())
	txn.Note(r.URL.Path)
	txn.SetUser(user)
	held.SetDecider(t)
	t.passed = *r.WithContext(t) //nolint:contextcheck // t is the context
	if body != nil {
		t.passed.Body = body.Attempt(&t.Result, true)
	}
	returned := false
	defer func() { //nolint:contextcheck // t is the context
		if !returned { // the handler panics; what the panic says goes on up
			t.Result.Shut()
			held.Returned()
			t.giveUp()
		}
		form.Remove(r, &t.passed)
	}()
	f.next.ServeHTTP(held, &t.passed)
	returned = true
	t.Result.Shut()
	held.Returned()
	_ = t.Decide() //nolint:contextcheck // t is the context; the error is in result
}

// A run is one transaction: the context that carries it, and the one who decides it.
type run struct {
	attempt.Context // for those behind this filter
	filter          *filter
	request         *http.Request // as it came, but for its context if nobody is shown it
	passed          http.Request  // with the context; a field, so that it costs no allocation of its own
	txn             *transaction.Txn
	held            *hold.Writer

	deciding sync.Mutex // held until it is decided; guards decided and err
	mu       sync.Mutex // guards ended and afterEnd
	decided  bool
	ended    bool
	err      error
	afterEnd []func()
}

type runKey struct{}

// Value makes the run known to those who have its context.
func (t *run) Value(key any) any {
	if key == (runKey{}) {
		return t
	}
	return t.Context.Value(key)
}

// String is what fmt prints for a context.
func (t *run) String() string { return "tm" }

// result is where the outcome of the attempt is recorded.
func (t *run) result() *attempt.Result { return t.held.Result() }

// Decide ends the transaction, the first time: when the handler flushes or hijacks, else when it has returned. Nil says
// that the response may leave as the handler wrote it, because its work was committed or because it asked for an abort.
func (t *run) Decide() error {
	t.deciding.Lock()
	defer t.deciding.Unlock()
	if !t.decided {
		t.decided = true
		t.err = http.ErrAbortHandler // and stays so if a veto panics
		t.decideAndEnd()
	}
	return t.err
}

func (t *run) decideAndEnd() {
	defer t.end()
	t.err = t.decide()
}

// giveUp ends the transaction without asking, unless it is decided.
func (t *run) giveUp() {
	t.deciding.Lock()
	defer t.deciding.Unlock()
	if !t.decided {
		t.decided = true
		t.err = http.ErrAbortHandler
		t.end()
	}
}

// decide commits or leaves the transaction to be aborted. What failed comes before the veto: a conflict has to be run again
// whatever status the handler gave it.
func (t *run) decide() error {
	if t.result().Err() != nil {
		t.result().Wrap(t.judge)
		return t.result().Err()
	}
	switch t.txn.Status() {
	case transaction.Committed: // by the handler itself
		return nil
	case transaction.Aborted, transaction.Doomed:
		return t.conflict()
	}
	if t.vetoed() {
		return t.conflict()
	}
	if t.Err() != nil {
		return t.fail(goneError(t))
	}
	if err := t.txn.Commit(t); err != nil {
		status := t.txn.Status()
		if errors.Is(err, transaction.ErrEnded) { // perhaps by a goroutine of the handler's, in this moment
			status = t.txn.Wait(t)
		}
		switch {
		case status == transaction.Committed:
			return nil
		case status == transaction.Aborted:
			return t.conflict()
		case status == transaction.CommitFailed && errors.Is(err, transaction.ErrEnded):
			err = t.txn.Commit(t) // says why
		case status == transaction.Active && t.Err() != nil:
			err = goneError(t) // in the last moment
		}
		return t.fail(err)
	}
	return nil
}

var errVetoPanicked = errors.New("commit veto panicked")

func (t *run) vetoed() bool {
	status := t.held.Status()
	if t.filter.Veto == nil {
		return status >= http.StatusInternalServerError
	}
	answered := false
	defer func() {
		if !answered { // whoever recovers the panic must not make a success of it
			t.result().Fail(errVetoPanicked)
		}
	}()
	veto := t.filter.Veto(t.request, status, t.held.SentHeader())
	answered = true
	return veto
}

// fail records err as the outcome.
func (t *run) fail(err error) error {
	t.result().Fail(t.judge(err))
	return t.result().Err()
}

// judge asks the data managers whether err is transient, or hides a conflict, as long as the transaction knows them.
func (t *run) judge(err error) error { return t.txn.Judge(t, err) }

// conflict decides over work that the handler does not want to be kept. If a conflict may be the reason, it is run again; the handler's
// answer is sent if there is none, or no further attempt.
func (t *run) conflict() error {
	err := t.txn.Conflict(t)
	if err == nil {
		return nil
	}
	if try, ok := transaction.AttemptFromContext(t); ok && !try.Last() {
		return t.fail(err)
	}
	t.filter.Logger.LogAttrs(t, slog.LevelWarn, "conflict, and no further attempt: the handler's own answer is sent",
		slog.String("method", t.request.Method), slog.String("path", t.request.URL.Path),
		slog.Int("status", t.held.Status()), slog.Any("error", err))
	return nil
}

// goneError is the outcome of a request that nobody waits for any more.
func goneError(ctx context.Context) error {
	cause := context.Cause(ctx)
	status := attempt.StatusClientClosedRequest
	if errors.Is(cause, context.DeadlineExceeded) {
		status = http.StatusServiceUnavailable
	}
	return attempt.WithStatus(status, fmt.Errorf("not committed, nobody waits for the answer: %w", cause))
}

// end aborts the transaction unless it is over, and tells those who wait for its end.
func (t *run) end() {
	defer t.callAfterEnd()
	if t.txn.Status() == transaction.Committed {
		t.result().SetCommitted()
		return
	}
	switch err := t.txn.Abort(t); {
	case err == nil:
	case errors.Is(err, transaction.ErrEnded): // by the handler, or in this moment by a goroutine that it has left over
		if t.txn.Wait(t) == transaction.Committed {
			t.result().SetCommitted()
		}
	default:
		err = fmt.Errorf("transaction was not aborted cleanly: %w", err)
		t.result().Fail(err)
		t.result().Wrap(func(reason error) error { return unclean(reason, err) })
		t.err = t.result().Err()
	}
}

// unclean returns the outcome of a transaction that was to be aborted for a reason, when the abort failed with err: an answer about the
// reason could tell of what was read, and was not kept. But what is in doubt stays so, or it could be run again.
func unclean(reason, err error) error {
	if errors.Is(reason, transaction.ErrInDoubt) || errors.Is(reason, transaction.ErrPartlyKept) {
		return reason
	}
	return err
}

func (t *run) callAfterEnd() {
	t.mu.Lock()
	t.ended = true
	callbacks := t.afterEnd
	t.afterEnd = nil
	t.mu.Unlock()
	for _, callback := range callbacks {
		t.isolate(callback)
	}
}

// isolate keeps one callback's panic from the others, and from the response: the transaction is over.
func (t *run) isolate(callback func()) {
	defer func() {
		if v := recover(); v != nil {
			t.filter.Logger.LogAttrs(t, slog.LevelError, "callback after the end of a transaction panicked",
				slog.String("path", t.request.URL.Path), slog.Any("panic", v))
		}
	}()
	callback()
}

var errNoTransaction = fmt.Errorf("%w that could end: is the filter tm missing (use = egg:pasteline#tm)?", transaction.ErrNoTransaction)

// AfterEnd registers f to be called once, after the transaction of ctx has been committed or aborted (as repoze.tm's
// after_end), also when that failed. Functions are called in the order of registration; a panic in one is logged and does not reach
// the others. The error wraps [transaction.ErrNoTransaction] if ctx is not that of a handler behind this filter, or if the transaction is
// over.
func AfterEnd(ctx context.Context, f func()) error {
	t, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return errNoTransaction
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return errNoTransaction
	}
	t.afterEnd = append(t.afterEnd, f)
	return nil
}

// IsActive reports whether ctx is that of a handler behind this filter, with a transaction that has not ended
// (as repoze.tm's isActive).
func IsActive(ctx context.Context) bool {
	t, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.ended
}
