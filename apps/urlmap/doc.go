// Package urlmap is an app that passes each request to one of several apps, chosen by the start of
// its path and, optionally, by host and port. It corresponds to the urlmap of Paste, the Python
// package for web pipelines.
//
// In Go code, [New] makes the handler from a map of places (such as "/blog") to apps. In an .ini
// file, a composite section is an app that is made of other apps. Each key is a place, and its
// value the name of the app that is mounted there (after egg: in use stands the name that a package
// gives to its app; egg:pasteline#urlmap is the same):
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = home
//	/blog = blog
//	domain api.example.org = api
//	domain api.example.org port 8080 /status = status
//	not_found_app = lost
//
// # How an app is chosen
//
// A place matches a request if its path is a prefix of the request's path, segment by segment
// (/blog matches /blog and /blog/1, not /blogs), and if its domain and port, where it has them, are
// those of the request. Of several places, one with a domain takes precedence over one without,
// then a longer path over a shorter one. The app gets the rest of the path; [mount.FromContext]
// returns the part that was removed. The port of a request is the one in its Host field, or else
// the default port of its scheme.
//
// As in Paste, several slashes in a row count as one. An escaped slash (%2F) is not a separator.
//
// # Where it differs from Paste
//
//   - The case of a domain is ignored; Paste compares the request's host in lower case with the
//     domain as written.
//   - Of two places with the same host and path, the one with a port takes precedence. Paste checks
//     all places without a port first, so that the other is never reached.
//   - A path prefix ends at a slash that was not escaped; Paste does not distinguish escaped ones.
//   - If the rest of the path is empty, the app gets "/"; see [mount.Exact].
//   - The default answer lists the places only with debug = true.
//
// # Caveats
//
// A key of an .ini file ends at its first colon or equals sign. "http://example.org/ = home"
// therefore can't be written (nor does it work in Paste): write "domain example.org / = home".
package urlmap
