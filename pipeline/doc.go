// Package pipeline reads .ini files and composes apps and filters from registered factories, as PasteDeploy does.
//
// A program fills a [Registry] with factories, under the names that files use, and loads a file:
//
//	registry := pipeline.NewRegistry()
//	pipeline.App(registry, "egg:guestbook", guestbook)
//	p, err := pipeline.Load(ctx, "site.ini", pipeline.Options{Registry: registry})
//	if err != nil {
//		return err // one line for each fault: file, line, section, key, what is wrong, what to write instead
//	}
//	defer p.Close()
//	return http.ListenAndServe(":6543", p)
//
// A filter is a func(http.Handler) http.Handler, an app an http.Handler. The second example below is a whole filter, with
// settings, in less than sixty lines: the best place to start.
//
// # From a file to a handler
//
//  1. [Parse] reads the file by the rules of Python's ConfigParser.
//  2. [Resolve] works out what a section composes to, following use, filter-with, filter-app, pipelines and other files,
//     and returns the tree as data: each [Node] with its factory, its global and local conf, and for each [Setting] the file
//     and line that it comes from. It needs no factory.
//  3. [Load] resolves, decodes every node's local conf into the settings struct of its factory, and then calls the
//     factories. Whatever is wrong is reported at once, sorted by line, as [Errors].
//
// The [Pipeline] that Load returns is the handler that the outermost filter returned. To reload, load again with the same
// registry, so that databases stay open, and close the old one when its last request is done.
//
// # Files
//
// Sections are [app:name] (or application), [composite:name] (or composit), [pipeline:name], [filter-app:name],
// [filter:name] and [server:name]; [DEFAULT] is for all of them. A section says what it is with "use": a reference
// egg:Dist#name or call:module:function to a factory, the name of another section, or config:other.ini#name; or with one of
// paste.app_factory, paste.composite_factory, paste.filter_factory, paste.filter_app_factory and paste.server_factory. In a
// pipeline, in filter-with and in next the same references stand for what has no section.
//
// %(name)s in a value stands for another key of the section or of [DEFAULT], for here (the file's directory) or __file__,
// or, beyond PasteDeploy, as %(ENV_NAME)s for an environment variable. A percent sign is written %%.
//
// # The way of a request
//
// A filter sees the request and what is behind it, not what stands in front: a retry that is behind a tm runs nothing again, and
// an app that has sessions fails at its first request if no browserid is in front of it. The loader knows the whole tree. So each
// factory says, while it makes something, what that is for the others, and what it needs of them:
//
//	b.Offer(pipeline.TM, nil)       // a filter: what is behind it is in a transaction
//	b.RequireTransaction()          // an app: there must be such a filter in front
//	b.RequireSessions(sessions)     // an app with sessions: browserid and tm must be
//	b.Require(pipeline.Requirement{ // any: what else must, or must not, be in front or behind, and what happens otherwise
//		Filter: pipeline.Retry, Place: pipeline.NotInFront, Else: "each attempt is counted; write it in front of that",
//	})
//
// A word is a name that filters and apps agree on; the standard set has those that are constants here, and a program adds its
// own: a filter of a program's that begins transactions offers [TM] as the standard one does. When everything is made, Load
// follows each way from the server to an app, through pipelines, filter-with, filter-app and each branch of a composite, and
// warns of what is not met, where the filter or app was put into the tree. It loads all the same, as with PasteDeploy;
// [Warning].Broken says that requests fail or a guarantee is lost, and serve check takes that for a fault.
//
// # Caveats
//
// PasteDeploy ignores a key of a section when [DEFAULT] or a variable from outside has the same name, and a "set x" does
// not show in %(x)s. Both is so here too; [Warning] tells when it matters, and Load logs it.
//
// The settings of a section that uses a pipeline, a filter-app, or a section with a filter-with go nowhere: the same.
//
// A Registry must be complete before the first Load. What Load returns is safe for concurrent use as far as the factories'
// handlers are.
package pipeline
