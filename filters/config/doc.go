// Package config is a filter that puts its configuration into the context of every request. It is PasteDeploy's config
// filter (ConfigMiddleware).
//
// In an .ini:
//
//	[filter:settings]
//	use = egg:PasteDeploy#config
//	title = My site
//	items_per_page = 20
//
// Whatever is behind the filter gets the settings with [FromContext]: all of the global conf ([DEFAULT] and what was given
// on the command line), and over it those of the section. In Go code, [New]. Of two such filters the inner one counts.
//
// # Where it differs from PasteDeploy
//
// The original gives each request a copy, which it may change, and the current one to the whole thread. Here it is
// read-only, and a matter of the context.
//
// # Caveats
//
// The configuration may contain secrets, so a [Conf] that is printed or logged shows its keys alone.
package config
