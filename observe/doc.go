// Package observe tells listeners what happens to a request: which attempts were made, what their
// transactions joined, read and wrote, over which key they lost and to which request, how long they
// queued, how they ended, and how the response left.
//
// The parts of a pipeline (retry, tm, transaction, storage, session and the servers) tell each fact
// once. Log, metrics, traces, the error page and the inspector are listeners, and a program can add
// its own. A [Listener] has two methods, for the begin and the end of a request; it gets further
// facts by implementing further interfaces of this package, as the tracers of pgx do:
//
//	RequestListener         a request begins and ends (this is Listener)
//	AttemptListener         an attempt begins and ends
//	JobListener             a job begins and ends a transaction
//	TransactionListener     a data manager joins, a transaction is committed, the decision is made
//	AccessListener          a key is read or written
//	StorageListener         a key conflicts or is queued for; commits share a write
//	StatementListener       an SQL statement has been run
//	ResponseListener        a response is released before its handler returns, a body is spooled
//	SessionListener         a session has begun or ended, a sweep has ended
//	SessionContentListener  what a session holds, for development only
//
// In an .ini file a section such as egg:pasteline#metrics adds its listener itself. A factory adds
// one with [github.com/pasteline/pasteline/pipeline.Build.Observe]. A program that composes its
// handlers in Go wraps them with the middleware of package observehttp.
//
// # Cost
//
// The listeners are in the request's context, see [FromContext]. Without listeners no fact is made:
// no clock is read and nothing is allocated. The telling methods of [Request] do nothing on a nil
// Request and on one without listeners.
//
// # Rules for listeners
//
// Methods are called by the goroutine that does the work, some of them while a lock of the
// transaction is held. So a listener must be safe for concurrent use by multiple goroutines,
// must return soon, must not panic, and must not use the transaction or its databases. It may keep
// the facts, which are values, but must not change the objects that they refer to.
//
// Facts show no secrets: they have no header fields, cookies, query strings, values of keys or
// arguments of statements, and keys are shortened by [Key]. Only [SessionContent] has what a session
// holds. An error in a fact may quote data of the app, as it does in the log.
package observe
