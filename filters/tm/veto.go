package tm

import (
	"net/http"
	"strings"
)

// A Veto says whether a response aborts the transaction; it is sent nonetheless. It is asked when the handler has returned without an error,
// or flushes. It must not change the request or the header. A panic aborts, and goes on up.
type Veto func(r *http.Request, status int, header http.Header) bool

// NoVeto never objects: whatever a handler answers is committed, as in the original unless it is configured otherwise.
func NoVeto(*http.Request, int, http.Header) bool { return false }

// RepozeVeto is the original's repoze.tm:default_commit_veto. A header field X-Tm decides alone: commit, or with any
// other value abort. Else a field X-Tm-Abort, or a status of 4xx or 5xx, aborts.
func RepozeVeto(_ *http.Request, status int, header http.Header) bool {
	if values := header["X-Tm"]; len(values) > 0 {
		return !strings.EqualFold(values[0], "commit")
	}
	if len(header["X-Tm-Abort"]) > 0 {
		return true
	}
	return status >= 400 && status <= 599
}
