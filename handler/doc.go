// Package handler lets an HTTP handler return its error.
//
//	mux.Handle("POST /entries", handler.Func(func(w http.ResponseWriter, r *http.Request) error {
//		text := r.FormValue("text")
//		if text == "" {
//			return &handler.Error{
//				Status:  http.StatusUnprocessableEntity,
//				Message: "An entry needs a text.",
//			}
//		}
//		return addEntry(r.Context(), text)
//	}))
//
// A returned error means that the request failed. The filter tm then aborts its transaction, and
// the filter retry runs the request again if the error is transient, such as a conflict. If it
// still fails, the outermost filter drops the response that the handler wrote and answers with the
// [Status] of the error, and with its public message as plain text, HTML or
// application/problem+json (RFC 9457), whichever the client prefers. [Responder] replaces these
// answers by the app's own. Without a filter around it, Func sends the answer itself.
//
// # Caveats
//
// An answer that belongs to committed work (a redirect, or a page that says that nothing was found)
// must be written, not returned as an error.
//
// A response is complete or visibly broken. An error after a part of the response was sent (behind
// retry or tm, after a flush; without a filter that buffers the response, after the first write)
// can't be answered any more. The response is cut off then: the connection ends without the end of
// the body, or the HTTP/2 stream is reset, so that no client takes the part for the whole. A
// response whose Content-Length has been sent in full is complete, whatever happens afterwards.
package handler
