// Package cascade is an app that asks several apps in turn, until one has an answer. It is Paste's cascade.
//
// An answer with the status 404, or another one that is to be caught, is dropped, and the next app is asked. The last app's answer is
// sent whatever it is. The usual case is a folder of static files in front of an app:
//
//	[composite:main]
//	use = egg:Paste#cascade
//	app1 = static
//	app2 = site
//	catch = 404
//
// In Go code that is [New].
//
// # What is dropped, and what is not
//
// As soon as an app has set a status that is not caught, all that it writes passes through: a large file, or a stream, is
// not held back by the apps after it. Of an answer that is dropped nothing is left, no header field and no cookie, and the
// next app gets the same request, with the body from its start.
//
// An app that returns an error (see package handler) has answered with the error's status. A transient error, which the retry filter outside
// can do something about, goes out to it even if its status is caught.
//
// # Where it differs from Paste
//
//   - The body can be read again if it came without a length (chunked), too.
//   - A body that an app before the last one reads may have 1 GB, unless max_body says something else.
//   - Every status from 300 to 599 can be caught; the original knows those of HTTP/1.1 of its time.
//   - A cascade without apps, a setting that is not an app, or one that is no status is refused when the file is loaded.
//
// # Caveats
//
// Apps are asked in the order of their keys as text, as in the original: app10 comes before app2, of which the log warns.
//
// What an app has written to storage stays in the transaction when its answer is dropped, unless a tm filter of its own is around it. An
// app inside a cascade should find out that it has no answer before it writes.
package cascade
