// Package cascade is an app that calls several apps in turn, until one has an answer. It is Paste's
// cascade.
//
// An answer with the status 404, or another status that is configured to be caught, is dropped, and
// the next app is called. The last app's answer is always sent. A common use is a folder of static
// files in front of an app:
//
//	[composite:main]
//	use = egg:Paste#cascade
//	app1 = static
//	app2 = site
//	catch = 404
//
// A composite section, in PasteDeploy's terms, is an app that is made of other apps. In Go code,
// use [New].
//
// # Answers that are dropped
//
// As soon as an app has set a status that is not caught, its output passes through: a large file,
// or a stream, is not buffered. A dropped answer leaves no trace, neither a header field nor a
// cookie, and the next app gets the same request, with the body from its start.
//
// An app that returns an error (see package handler) has answered with the error's status. A
// transient error goes to the retry filter outside, which can run the request again, even if its
// status is caught.
//
// # Where it differs from Paste
//
//   - The body can also be read again if it was sent without a length (chunked).
//   - A body that is read by an app before the last one is limited to 1 GB by default, by max_body.
//   - Every status from 300 to 599 can be caught; the original knows those of HTTP/1.1 of its time.
//   - A cascade without apps, an unknown setting, and an invalid status are refused when the file
//     is loaded.
//
// # Caveats
//
// Apps are called in the order of their keys as text, as in the original: app10 comes before app2,
// which is logged as a warning.
//
// Writes of an app to storage stay in the transaction when its answer is dropped, unless it has a
// tm filter of its own. An app in a cascade should find out that it has no answer before it writes.
package cascade
