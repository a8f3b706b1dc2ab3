// Package form sees to the files of forms, which net/http only removes for the request that it made itself: a handler that passes on
// a copy of a request has to tell it what was parsed of the copy.
//
//	own := r.WithContext(ctx)
//	defer form.HandBack(r, own)
//	next.ServeHTTP(w, own)
//
// # Caveats
//
// The form that is parsed of a request is known to that one alone: neither its context, its header nor its body learns of it. So where a
// middleware of others passes on a copy in between ([http.TimeoutHandler], [http.StripPrefix], a chi router, every middleware that calls
// WithContext), the files of a form that is parsed of the copy are its handler's to remove, as with net/http alone.
package form

import "net/http"

// HandBack gives outer the form that a handler has parsed of inner, a copy of it. It is for when the handler has returned, or
// panicked.
func HandBack(outer, inner *http.Request) {
	if inner.MultipartForm != nil { // else nothing is written: some use one request for many handlers at once, in tests
		outer.MultipartForm = inner.MultipartForm
	}
}

// Remove removes the files of a form that a handler has parsed of inner, a copy of outer of which there may be others. It is for
// when the handler has returned, or panicked.
func Remove(outer, inner *http.Request) {
	if outer.MultipartForm == nil {
		RemoveAll(inner)
	}
}

// RemoveAll removes the files of r's form, if it has one.
func RemoveAll(r *http.Request) {
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // they are in the directory for such things
	}
}
