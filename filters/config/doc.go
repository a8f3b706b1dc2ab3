// Package config is a filter that puts its configuration into the context of every request. It
// corresponds to the config filter (ConfigMiddleware) of PasteDeploy, the Python package that
// defined the format of the .ini files.
//
// In Go code, [New] returns the middleware. In an .ini file (after egg: stands the name that a
// package gives to its filter; egg:pasteline#config is the same):
//
//	[filter:settings]
//	use = egg:PasteDeploy#config
//	title = My site
//	items_per_page = 20
//
// Handlers behind the filter get the settings with [FromContext]: the global configuration
// ([DEFAULT] and values from the command line), overridden by the settings of the section. Behind
// two such filters, a handler gets the settings of the inner one.
//
// # Where it differs from PasteDeploy
//
// PasteDeploy gives each request a copy, which it may change, and makes it the current
// configuration of the whole thread. Here the configuration is read-only and belongs to the
// context.
//
// # Caveats
//
// The configuration may contain secrets, so a [Conf] that is printed or logged shows only its keys.
package config
