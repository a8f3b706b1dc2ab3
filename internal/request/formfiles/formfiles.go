// Package formfiles removes the temporary files of multipart forms that were parsed on a copy of a
// request; net/http only cleans up the request that it created.
//
//	own := r.WithContext(ctx)
//	defer formfiles.HandBack(r, own)
//	next.ServeHTTP(w, own)
//
// # Caveats
//
// A parsed form is stored in that request only, not in its context, header or body. If other
// middleware passes on a further copy ([http.TimeoutHandler], [http.StripPrefix], a chi router, any
// middleware that calls WithContext), the handler must remove the files of a form that is parsed on
// that copy, as with net/http alone.
package formfiles

import "net/http"

// HandBack sets in outer the form that a handler has parsed on inner, a copy of it. It must be
// called when the handler has returned or panicked.
func HandBack(outer, inner *http.Request) {
	// else nothing is written: some use one request for many handlers at once, in tests
	if inner.MultipartForm != nil {
		outer.MultipartForm = inner.MultipartForm
	}
}

// Remove removes the files of a form that a handler has parsed on inner, one of possibly several
// copies of outer. It must be called when the handler has returned or panicked.
func Remove(outer, inner *http.Request) {
	if outer.MultipartForm == nil {
		RemoveAll(inner)
	}
}

// RemoveAll removes the files of r's form, if it has one.
func RemoveAll(r *http.Request) {
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll() // an error leaves files in the temporary folder
	}
}
