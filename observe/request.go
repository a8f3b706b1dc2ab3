package observe

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
)

// A Request stands for one request in the contexts of all its attempts. It has the request's id, the
// listeners, and the Summary of the request so far. All its methods may be called on a nil
// Request, and are safe for concurrent use by multiple goroutines.
type Request struct {
	listeners atomic.Pointer[Listeners] // nil: none
	job       string                    // the name of a job; "": a request
	known     *known
	own       known // what known points to, unless the Request was made by With
}

// known is the id and the summary of a request.
type known struct {
	once sync.Once
	id   string

	mu      sync.Mutex // guards summary, which changes only if there are listeners
	summary Summary
}

// A Summary describes a request so far. It has the zero value without listeners.
type Summary struct {
	App       string  // the name of the app that answered, such as "shop" of [app:shop]
	Route     string  // the pattern of the route, such as "/users/{id}"; "" if unknown
	Attempts  int     // the number of attempts begun
	Conflicts int     // the number of attempts that were lost to conflicts
	Outcome   Outcome // of the last transaction
	Err       error   // of the last attempt
}

// NewRequest returns a Request with the given id, or, if id is "", with a random one that is made
// when it is first asked for. The listeners may be nil.
func NewRequest(id string, l *Listeners) *Request {
	r := new(Request)
	r.Init()
	if id != "" {
		r.SetID(id)
	}
	r.listeners.Store(l)
	return r
}

// Init is [NewRequest] for a Request that is a field of another struct, without an id and listeners.
// It must be called before all other methods.
func (r *Request) Init() { r.known = &r.own }

// With returns a Request that is the same, except that l are told of it too: of its begin and end
// only l, of everything in between l and the listeners of r.
func (r *Request) With(l *Listeners) *Request {
	same := &Request{job: r.job, known: r.known}
	same.listeners.Store(r.listeners.Load().and(l))
	return same
}

// NewJob returns a Request that stands for a job, which is work that no request asked for. Its
// transactions and sessions are told to the listeners like those of requests. The listeners may be nil, and set later with [Request.Listen].
func NewJob(name string, l *Listeners) *Request {
	r := &Request{job: name}
	r.Init()
	r.listeners.Store(l)
	return r
}

// Listen replaces the listeners.
func (r *Request) Listen(l *Listeners) { r.listeners.Store(l) }

// SetID sets the id, unless it was set, or asked for, before.
func (r *Request) SetID(id string) { r.known.once.Do(func() { r.known.id = id }) }

// ID returns the id of the request: as a trusted proxy has sent it, or at least 128 random bits as
// letters and digits. It is "" for a job and on a nil Request.
func (r *Request) ID() string {
	if r == nil || r.job != "" {
		return ""
	}
	r.known.once.Do(func() { r.known.id = rand.Text() })
	return r.known.id
}

// Name returns the id of a request, or the name of a job.
func (r *Request) Name() string {
	if job := r.Job(); job != "" {
		return job
	}
	return r.ID()
}

// Job returns the name of the job, or "" for a request.
func (r *Request) Job() string {
	if r == nil {
		return ""
	}
	return r.job
}

// Listening reports whether there is a listener. If not, making a fact would be in vain.
func (r *Request) Listening() bool { return r != nil && r.listeners.Load() != nil }

// Summary returns the summary of the request so far.
func (r *Request) Summary() Summary {
	if r == nil {
		return Summary{}
	}
	r.known.mu.Lock()
	defer r.known.mu.Unlock()
	return r.known.summary
}

// SetRoute records the app that answers and the pattern of its route. An empty value leaves the
// former one.
func (r *Request) SetRoute(app, route string) {
	if !r.Listening() {
		return
	}
	r.known.mu.Lock()
	defer r.known.mu.Unlock()
	if app != "" {
		r.known.summary.App = app
	}
	if route != "" {
		r.known.summary.Route = route
	}
}

type requestKey struct{}

// NewContext returns a context that carries r.
func NewContext(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// FromContext returns the Request that ctx carries, or nil.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// A Context is a context that carries a Request of its own. It is a type so that a struct can have
// it as a field, which saves allocations. Set Context.Context, the parent, and call Request.Init
// before use.
type Context struct {
	context.Context
	Request Request
}

// Value returns the Request, or the parent's value.
func (c *Context) Value(key any) any {
	if key == (requestKey{}) {
		return &c.Request
	}
	return c.Context.Value(key)
}

// String is what fmt prints for a context.
func (c *Context) String() string { return "observe.Context" }

// ID returns the id of the request that ctx belongs to, or "".
func ID(ctx context.Context) string { return FromContext(ctx).ID() }
