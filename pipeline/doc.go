// Package pipeline reads .ini files and composes apps and filters from registered factories, with
// the file format of PasteDeploy, the configuration loader of Pyramid and other Python frameworks.
//
// A program fills a [Registry] with factories, under the names that files use, and loads a file:
//
//	registry := pipeline.NewRegistry()
//	pipeline.App(registry, "egg:guestbook", guestbook)
//	p, err := pipeline.Load(ctx, "site.ini", pipeline.Options{Registry: registry})
//	if err != nil {
//		return err // one line per error: file, line, section, key, the reason and a hint
//	}
//	defer p.Close()
//	return http.ListenAndServe(":6543", p)
//
// An app is an http.Handler, and a filter is a func(http.Handler) http.Handler. A factory is a Go
// function that makes one of them from the settings of a section. The second example below is a
// whole filter with settings, in less than sixty lines: the best place to start.
//
// Tools that read files without creating objects, as serve show does, use package pipeline/tree.
//
// # From a file to a handler
//
//  1. [tree.Parse] reads the file by the rules of Python's ConfigParser.
//  2. [tree.Resolve] follows use, filter-with, filter-app, pipelines and other files from a section,
//     and returns the result as data, a tree: each [tree.Node] with its factory, its global and
//     local conf, and for each [tree.Setting] its file and line. It needs no factory.
//  3. [Load] resolves, decodes every node's local conf into the settings struct of its factory, and
//     then calls the factories. All errors are reported together, sorted by line, as [tree.Errors].
//
// The [Pipeline] that Load returns is the handler that the outermost filter returned. To reload,
// load again with the same registry, so that databases stay open, and close the old pipeline when
// its last request has ended.
//
// # Files
//
// Sections are [app:name] (or application), [composite:name] (or composit), [pipeline:name],
// [filter-app:name], [filter:name] and [server:name]; [DEFAULT] applies to all of them. A composite
// is an app made of other apps, such as one that dispatches by path. A section names its factory
// with "use": a reference egg:Dist#name (in Python, an entry point of an installed distribution) or
// call:module:function, the name of another section, or config:other.ini#name; or with one of
// paste.app_factory, paste.composite_factory, paste.filter_factory, paste.filter_app_factory and
// paste.server_factory. In a pipeline, in filter-with and in next the same references name objects
// that have no section.
//
// %(name)s in a value stands for another key of the section or of [DEFAULT], or for here (the
// file's directory) or __file__. Beyond PasteDeploy, %(ENV_NAME)s stands for an environment
// variable. A percent sign is written %%.
//
// # The order of filters
//
// A filter sees the request and the handlers behind it, not those in front: a retry filter behind a
// tm filter retries nothing, and an app with sessions fails at its first request if no browserid is
// in front of it. The loader knows the whole tree. So a factory declares the services that its
// object offers to the others, and those that it requires of them:
//
//	b.Offer(order.TM, nil)       // a filter: handlers behind it run in a transaction
//	b.RequireTransaction()       // an app: needs such a filter in front
//	b.RequireSessions(sessions)  // an app with sessions: needs browserid and tm in front
//	b.Require(order.Requirement{ // any other rule about the filters in front or behind
//		Filter: order.Retry, Place: order.NotInFront,
//		Else: "each attempt is counted; write it in front of that",
//	})
//
// Load warns of each requirement that is not met; see package order. The load succeeds all the same,
// as with PasteDeploy; [tree.Warning].Broken says that requests fail or a guarantee is lost, and
// serve check treats that as an error.
//
// # Caveats
//
// PasteDeploy ignores a key of a section when [DEFAULT] or a variable from outside has the same
// name, and "set x" does not change %(x)s. This package does the same; a [tree.Warning], which Load
// logs, says when it matters.
//
// A section that uses a pipeline, a filter-app, or a section with a filter-with can't pass its
// settings on: they are ignored, as in PasteDeploy, with a warning.
//
// A Registry must be complete before the first Load. The results of Load are safe for concurrent
// use as far as the handlers of the factories are.
package pipeline
