// Package cascade is an app that calls several apps in turn, until one gives an answer other than
// 404. It corresponds to the cascade of Paste, the Python package for web pipelines.
//
// An answer with the status 404, or another status that is configured to be caught, is dropped, and
// the next app is called. The last app's answer is always sent. A common use is a folder of static
// files in front of an app.
//
// In Go code, [New] returns the handler. In an .ini file, a composite section is an app that is
// made of other apps (after egg: stands the name that a package gives to its app;
// egg:pasteline#cascade is the same):
//
//	[composite:main]
//	use = egg:Paste#cascade
//	app1 = static
//	app2 = site
//	catch = 404
//
// # Answers that are dropped
//
// As soon as an app has set a status that is not caught, its output passes through: a large file,
// or a stream, is not buffered. A dropped answer leaves no trace, neither a header field nor a
// cookie, and the next app gets the same request, with the body from its start.
//
// If an app returns an error (see package handler), the error's status counts as the status of its
// answer. A transient error, such as a conflict, is never caught: it goes to the filter retry in
// front of the cascade, which can run the request again.
//
// # Where it differs from Paste
//
//   - The body can also be read again if it was sent without a length (chunked).
//   - A body that is read by an app before the last one is limited to 1 GB by default, by max_body.
//   - Every status from 300 to 599 can be caught; Paste accepts only those it knows.
//   - A cascade without apps, an unknown setting, and an invalid status are refused when the file
//     is loaded.
//
// # Caveats
//
// Apps are called in the order of their keys as text, as by Paste: app10 comes before app2, which
// is logged as a warning.
//
// Writes of an app to storage stay in the transaction when its answer is dropped, unless a filter
// tm stands in front of that app alone. An app in a cascade should decide that it answers 404
// before it writes.
package cascade
