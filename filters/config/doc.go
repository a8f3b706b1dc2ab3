// Package config is a filter that puts its configuration into the context of every request. It is
// PasteDeploy's config filter (ConfigMiddleware).
//
// In an .ini:
//
//	[filter:settings]
//	use = egg:PasteDeploy#config
//	title = My site
//	items_per_page = 20
//
// Handlers behind the filter get the settings with [FromContext]: the global configuration
// ([DEFAULT] and values from the command line), overridden by the settings of the section. In Go
// code, use [New]. Of two such filters the inner one counts.
//
// # Where it differs from PasteDeploy
//
// The original gives each request a copy, which it may change, and makes it the current
// configuration of the whole thread. Here it is read-only and belongs to the context.
//
// # Caveats
//
// The configuration may contain secrets, so a [Conf] that is printed or logged shows only its keys.
package config
