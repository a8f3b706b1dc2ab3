// Package form sees to the files of forms, which net/http only removes for the request that it made itself: whoever passes on
// a copy of a request has to tell it what was parsed of the copy.
//
//	own := r.WithContext(ctx)
//	next.ServeHTTP(w, own)
//	form.HandBack(r, own)
//
// # Caveats
//
// A middleware of others in between, or a chi router, passes on a copy and tells nobody. What is parsed behind it, and is large
// enough for a file, is its app's to remove.
package form

import "net/http"

// HandBack gives outer the form that a handler has parsed of inner, a copy of it. It is for when the handler has returned.
func HandBack(outer, inner *http.Request) {
	if inner.MultipartForm != nil { // else nothing is written: some use one request for many handlers at once, in tests
		outer.MultipartForm = inner.MultipartForm
	}
}

// Remove removes the files of a form that a handler has parsed of inner, a copy of outer of which there may be others. It is for
// when the handler has returned.
func Remove(outer, inner *http.Request) {
	if inner.MultipartForm != nil && outer.MultipartForm == nil {
		_ = inner.MultipartForm.RemoveAll() // they are in the directory for such things
	}
}
