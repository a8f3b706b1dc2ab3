package handler

import (
	"net/http"
	"strings"

	"github.com/pasteline/pasteline/internal/attempt"
)

// An Error is an error with a message that the client may read.
//
// Any other error type can have the methods HTTPStatus() int and PublicText() string with the same
// effect, so that packages without HTTP need not import this one.
type Error struct {
	// Status is the HTTP status of the answer, from 400 to 599. Other values count as 500.
	Status int

	// Message is shown to the client; "" stands for the status's standard text.
	Message string

	// Err is the cause, for the log; it is not shown to the client. It may be nil.
	Err error

	// Type is a URI that identifies the kind of problem, and Extra holds further members, both for
	// application/problem+json only. They may be empty. Members named type, title, status, detail
	// or instance are ignored.
	Type  string
	Extra map[string]any
}

// Error returns the cause, preceded by the message if both are set. It is for the log.
func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Status)
	}
	switch {
	case e.Err == nil:
		return text
	case e.Message == "":
		return e.Err.Error()
	}
	return strings.TrimSuffix(text, ".") + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus returns Status.
func (e *Error) HTTPStatus() int { return e.Status }

// PublicText returns Message.
func (e *Error) PublicText() string { return e.Message }

// Problem returns Type and Extra.
func (e *Error) Problem() (kind string, extra map[string]any) { return e.Type, e.Extra }

// Status returns the HTTP status for an answer to err. It is the result of HTTPStatus() int of the
// first error in its tree that has that method, as [Error] does; 503 if err is transient or a time
// limit has passed ([context.DeadlineExceeded]); 413 for an [http.MaxBytesError]; otherwise 500. A
// status below 400 or above 599 counts as 500, so that a failure is never answered as a success.
func Status(err error) int { return attempt.Status(err) }

// Respond answers with the [Status] of err, and the message of the first [Error] in its tree or
// else the status's standard text: as plain text, HTML or application/problem+json (RFC 9457),
// whichever the request's Accept field prefers, plain text by default. For a transient error it
// sets Retry-After. Filters call it for handlers that return errors; a handler without such a
// filter may call it itself.
//
// If a part of another response has been written to w, as far as this project's servers and filters
// know, Respond panics with [http.ErrAbortHandler] to cut that response off.
func Respond(w http.ResponseWriter, r *http.Request, err error) { attempt.Respond(w, r, err) }
