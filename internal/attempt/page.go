package attempt

import (
	"context"
	"net/http"

	"github.com/pasteline/pasteline/internal/request/sent"
)

// A Debugger answers failed requests for a developer. It is told which handler has returned an
// error, because an error has no stack.
type Debugger interface {
	// Returned records that handler, a function, has returned err.
	Returned(handler any, err error)

	// Respond answers the request, unless it returns false. The header of w has the fields that
	// every answer to an error has.
	Respond(w http.ResponseWriter, r *http.Request, err error) bool
}

type (
	debuggerKey struct{}
	pageKey     struct{}
)

// WithDebugger returns a context in which failed requests are answered by d, in place of [Respond]
// and of every [Responder].
func WithDebugger(ctx context.Context, d Debugger) context.Context {
	return context.WithValue(ctx, debuggerKey{}, d)
}

// Returned tells the Debugger of ctx, if it has one, that handler has returned err.
func Returned(ctx context.Context, handler any, err error) {
	if d, ok := ctx.Value(debuggerKey{}).(Debugger); ok {
		d.Returned(handler, err)
	}
}

// debugged reports whether the Debugger of the request has answered it.
func debugged(w http.ResponseWriter, r *http.Request, err error) bool {
	d, ok := r.Context().Value(debuggerKey{}).(Debugger)
	if !ok {
		return false
	}
	noted := &sent.Writer{ResponseWriter: w}
	return d.Respond(noted, r, err) || noted.Begun()
}

// A Page returns the HTML of the answer to an error. An error of it is logged by the Page; the
// default page is sent then.
type Page func(p Problem) (html []byte, err error)

// A Problem is an error as the client may see it.
type Problem struct {
	Status    int
	Title     string // the standard text of the status
	Detail    string // what the error says for clients; "" if it says nothing
	RequestID string // "" if it is unknown
}

// WithPage returns a context in which f makes the HTML of the answers of [Respond].
func WithPage(ctx context.Context, f Page) context.Context {
	return context.WithValue(ctx, pageKey{}, f)
}

// page returns the HTML that the Page of ctx makes, if ctx has one and it makes one.
func (p problem) page(ctx context.Context) (html []byte, ok bool) {
	page, ok := ctx.Value(pageKey{}).(Page)
	if !ok {
		return nil, false
	}
	html, err := page(Problem{Status: p.status, Title: p.title, Detail: p.detail, RequestID: p.id})
	return html, err == nil
}
