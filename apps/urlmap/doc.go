// Package urlmap is an app that passes each request to one of several apps, chosen by the start of
// its path and, optionally, by host and port. It is Paste's urlmap.
//
// In an .ini each key is a place, and its value the name of the app that is mounted there:
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = home
//	/blog = blog
//	domain api.example.org = api
//	domain api.example.org port 8080 /status = status
//	not_found_app = lost
//
// A composite section, in PasteDeploy's terms, is an app that is made of other apps. In Go code,
// pass a map with the same keys to [New].
//
// # How an app is chosen
//
// Places with the request's domain come first, then those without a domain; among these the longest
// path that is a prefix of the request's path, segment by segment: /blog is the place of /blog and
// /blog/1, not of /blogs. The app gets the rest of the path, and finds the part that was cut off
// with [mount.FromContext]. The port of a request is the one in its Host field, or else the default
// port of its scheme.
//
// As in the original, several slashes in a row count as one. An escaped slash (%2F) is no
// separator.
//
// # Where it differs from Paste
//
//   - The case of a domain is ignored; the original compares the request's host in lower case with
//     the domain as written.
//   - Of two places with the same host and path, the one with a port takes precedence. The original
//     checks all places without a port first, so that the other is never reached.
//   - A path prefix ends at a slash that was not escaped; the original does not distinguish escaped
//     ones.
//   - If the rest of the path is empty, the app gets "/"; see [mount.Exact].
//   - The default answer lists the places only with debug = true.
//
// # Caveats
//
// A key of an .ini ends at its first colon or equals sign. "http://example.org/ = home" therefore
// can't be written (nor does it work in the original): write "domain example.org / = home".
package urlmap
