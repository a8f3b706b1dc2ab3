// Package inspector is an app that shows a running pipeline in a browser: the filters and apps with
// the requests in them, a timeline of the recent requests with all their attempts, the busiest keys,
// sessions, databases, reloads and settings.
//
// In an .ini file a line of a urlmap mounts it:
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = site
//	/_pasteline = inspector
//
//	[app:inspector]
//	use = egg:pasteline#inspector
//
// The page is then at /_pasteline/. It is kept up to date by server-sent events, and shows a
// snapshot without JavaScript. Below the same path are
//
//	snapshot.json   the data of the page, for programs: see [Snapshot]
//	requests/7      the details of one request: managers, keys, statements, errors
//	events          the events of the page
//
// # Access
//
// Clients on this machine, and those with the token of the setting token, which a form asks for; see
// package internal/request/guard. The page shows no secrets of the files, no header fields, cookies,
// query strings or values of keys. With reveal = true it shows the contents of the sessions that
// were used last.
//
// # Records
//
// The app listens to package observe as soon as its section is loaded, whether the page is open or
// not. It keeps the last requests (setting requests), and as many that were lost to conflicts or
// failed, within a limit of memory (setting memory); a reload keeps the records. Its own requests
// are left out.
//
// # Caveats
//
// All figures are of this process. An event stream sends at most four events a second and not more
// than the 60 newest requests with each, so the timeline of a busy site is a sample, while the
// figures count all requests. At most 16 streams are open at one time, and a client that does not
// read for 5 seconds is disconnected; no request waits for a stream. Sessions are counted up to
// 10 000 and 20 of them are read, at most every 5 seconds and only while the page is open.
package inspector
