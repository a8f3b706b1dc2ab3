// Package errorpage shows a developer why a request failed: on a page, as JSON or as text. In
// production it replaces the standard page for errors by one of the site's own.
//
// The developer's page is on while a file is being developed:
//
//	[DEFAULT]
//	debug = true
//
// It then answers every request that fails with a status of 500 or above: because a handler has
// returned an error or panicked, a commit has failed, or the last attempt was lost to a conflict. No
// filter has to be written for it. It has
//
//   - the error, its chain of causes, and the remedy where the cause is a missing or misplaced filter;
//   - the stack of a panic with source lines, or the handler that has returned the error;
//   - the attempts: what each one joined, read, wrote, queued for and lost, its SQL, and its times;
//   - the request, the values of its sessions, and the settings of every filter with file and line.
//
// A client that prefers JSON gets the same as application/problem+json in the member debug, and one
// that accepts anything, such as curl, a short text. A client that sends no Accept field is a program
// and gets the production answer.
//
// # Who sees it
//
// Only clients on this machine: those that connect from a loopback address, without a forwarded
// header field, to localhost or an IP address. The setting allow of a section adds private networks.
// All other clients get the production answer. Secrets are hidden on the page too, and nothing that
// a client sends is ever evaluated.
//
// # Production
//
// With a section, the page for errors is a template of html/template, whatever debug says:
//
//	[filter:errors]
//	use = egg:pasteline#errorpage
//	template = %(here)s/error.html
//
// The template gets Status, Title, Detail and RequestID. Clients that prefer JSON or text get the
// standard answer. An app's own answers (package handler, Responder) take precedence.
//
// # Caveats
//
// An error in Go has no stack, so for a returned error the page names the function that
// handler.Func was given, not the line that returned it.
//
// The page records the facts of each request from this machine, so a site with debug = true is
// slower than one without. Without debug = true there is no such cost.
package errorpage
