// Package urlmap is an app that hands each request to one of several apps, by the start of its path and, if told so, by
// host and port. It is Paste's urlmap.
//
// In an .ini each key says where an app is, and its value which app that is:
//
//	[composite:main]
//	use = egg:Paste#urlmap
//	/ = home
//	/blog = blog
//	domain api.example.org = api
//	domain api.example.org port 8080 /status = status
//	not_found_app = lost
//
// In Go code the same keys are those of the map given to [New].
//
// # What is chosen
//
// Places with a domain that is the request's come first, then those without one; of either the longest path that the
// request's path starts with, segment by segment: /blog is the place of /blog and /blog/1, not of /blogs. What is left of
// the path is the app's, and the app finds what was cut off with [mount.FromContext]. The port of a request is the one
// in its Host field, or else that of its scheme.
//
// As in the original, several slashes in a row count as one. An escaped slash (%2F) separates nothing.
//
// # Where it differs from Paste
//
//   - The case of a domain does not matter; the original compares the request's host in lower case with what is written.
//   - Of two places with the same host and path, the one that also says the port is chosen. The original looks at all places without
//     a port first, so that the other is never reached.
//   - A path ends at a slash that the visitor wrote as such; to the original an escaped one looks the same.
//   - When nothing is left of the path the app gets "/"; see [mount.Exact].
//   - What the default answer says of the map is shown only with debug = true.
//
// # Caveats
//
// A key of an .ini ends at its first colon or equals sign. So "http://example.org/ = home" can't be written (nor does it work
// in the original): write "domain example.org / = home".
package urlmap
