package tm

import (
	"net/http"
	"strings"
)

// A Veto reports whether a response aborts the transaction; the response is sent nonetheless. It is
// called when the handler has returned without an error, or flushes. It must not change the request
// or the header. A panic in it aborts the transaction and is not recovered.
type Veto func(r *http.Request, status int, header http.Header) bool

// NoVeto always returns false: no response aborts its transaction. This is the default of
// repoze.tm.
func NoVeto(*http.Request, int, http.Header) bool { return false }

// RepozeVeto decides as repoze.tm:default_commit_veto of Python's repoze.tm. A header field X-Tm
// takes precedence: the value commit commits, any other aborts. Without it, a field X-Tm-Abort, or
// a status of 4xx or 5xx, aborts.
func RepozeVeto(_ *http.Request, status int, header http.Header) bool {
	if values := header["X-Tm"]; len(values) > 0 {
		return !strings.EqualFold(values[0], "commit")
	}
	if len(header["X-Tm-Abort"]) > 0 {
		return true
	}
	return status >= 400 && status <= 599
}
