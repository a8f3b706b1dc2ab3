// Package outcome says how an attempt at a request ended.
//
// Go handlers have no exceptions, and panics are not for control flow. So a handler that can fail is a [HandlerFunc]: it
// returns an error. The error is recorded in a [Slot] that travels with the request's context. Filters look at the slot
// on the way out: tm aborts the transaction, retry runs the request again if the error is transient, and what is left
// becomes a response. A commit that fails is recorded in the same way, so for those outside there is one kind of failure.
//
// An app needs [HandlerFunc], and [WithStatus] for errors that are not the server's fault:
//
//	mux.Handle("POST /entries", outcome.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
//		text := r.FormValue("text")
//		if text == "" {
//			return outcome.WithStatus(http.StatusUnprocessableEntity, errors.New("an entry needs a text"))
//		}
//		return addEntry(r.Context(), text)
//	}))
//
// A filter that begins an attempt calls [NewContext], and when the attempt failed, [Respond].
//
// # Caveats
//
// A returned error means that the request failed: its transaction is aborted, and what the handler had written is dropped.
// An answer that is to be kept together with its work (a redirect, a page that says "not found") is written, not returned.
//
// A response is complete or visibly broken. An error that comes after a part of the response has left (behind retry or tm, after
// a flush; without a filter that holds the response back, after the first write) can't be answered any more. The response is
// cut then, by a panic with [http.ErrAbortHandler] once everything is cleaned up: the connection ends without the end of the body, or
// with HTTP/2 the stream is reset, so that no client takes the part for the whole. (A response with a Content-Length of which all has been
// sent is whole, whatever comes then. With HTTP/1.0, package server resets the connection.) A connection that the handler has hijacked is its own.
package outcome
