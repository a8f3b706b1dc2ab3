package serve

import (
	"slices"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// The hints about filters and apps of Python packages.
const (
	errorPages = "delete it, also where it is named: an error is logged, and with debug = true " +
		"in [DEFAULT] the page shows it"
	exceptions = "delete it, also where it is named: an app in Go answers itself, and raises " +
		"no exceptions"
	toolbar = "delete it, also where it is named: serve FILE -v logs what happens to each " +
		"request, serve show and serve routes print what it goes through"
	resources = "delete it, also where it is named: the app links its files itself, and " +
		"egg:Paste#static serves a folder of them"
	sessions = "delete it, also where it is named: the app asks package session, behind the " +
		"filters egg:repoze.browserid, egg:repoze.retry and egg:repoze.tm2"
	threads  = "delete it, also where it is named: there are no thread-local registries"
	profiler = "delete it, also where it is named: package net/http/pprof of Go " +
		"profiles a program"
	connections = "delete it, also where it is named: a database of this server is opened at the " +
		"start, and closed with the program"
	compress = "delete it, also where it is named: a proxy in front compresses, or a " +
		"middleware of Go that pipeline.Middleware registers"
	logins = "register a middleware of Go that checks log-ins in its place, with " +
		"pipeline.Middleware"
	browsing = "use egg:Paste#static, with document_root = the folder"
	proxying = "register a Go handler in its place, such as net/http/httputil.ReverseProxy, " +
		"with pipeline.App"
)

// isIdle reports whether a filter with one of those hints can be left out: it neither checks
// requests nor answers them.
func isIdle(hint string) bool {
	return slices.Contains([]string{
		errorPages, exceptions, toolbar, resources, sessions, threads,
		profiler, compress, connections,
	}, hint)
}

// elsewhere are the most common names in files of Python programs that have no factory here.
var elsewhere = []struct {
	kind  tree.Kind
	hint  string
	names []string
}{
	{tree.KindFilter, errorPages, []string{
		"egg:WebError#*", "egg:Paste#error_catcher", "egg:Paste#evalexc",
		"egg:Paste#printdebug", "egg:backlash#*", "egg:repoze.debug#*",
		"egg:repoze.errorlog#*", "egg:pyramid_exclog#*", "egg:raven#*", "egg:sentry-sdk#*",
		"egg:Werkzeug#*",
		"call:weberror.evalexception:make_general_exception",
	}},
	{tree.KindFilter, exceptions, []string{
		"egg:Paste#httpexceptions",
		"egg:Zope#httpexceptions", "egg:Zope2#httpexceptions",
	}},
	{tree.KindFilter, toolbar, []string{"egg:pyramid_debugtoolbar#*", "egg:tgext.debugbar#*"}},
	{tree.KindFilter, resources, []string{
		"egg:fanstatic#*", "egg:bowerstatic#*", "egg:ToscaWidgets#*", "egg:tw2.core#*",
	}},
	{tree.KindFilter, sessions, []string{"egg:Beaker#*", "egg:Paste#session"}},
	{tree.KindFilter, threads, []string{"egg:Paste#registry", "egg:Paste#recursive"}},
	{tree.KindFilter, profiler, []string{
		"egg:Paste#profile", "egg:repoze.profile#*", "egg:Dozer#*", "egg:linesman#*",
		"egg:Paste#lint",
	}},
	{tree.KindFilter, connections, []string{
		"egg:repoze.zodbconn#connector", "egg:repoze.zodbconn#closer",
		"egg:repoze.zodbconn#transferlog", "egg:repoze.zodbconn#cachecleanup",
	}},
	{tree.KindFilter, compress, []string{"egg:Paste#gzip"}},
	{tree.KindFilter, logins, []string{
		"egg:repoze.who#*", "egg:repoze.what#*", "egg:AuthKit#*", "egg:Paste#auth_tkt",
		"egg:Paste#cookie", "egg:Paste#grantip", "egg:Paste#auth_basic",
		"egg:Paste#auth_digest", "egg:Paste#form", "egg:Paste#openid", "egg:Paste#cas",
	}},
	{tree.KindFilter, "write use = egg:repoze.retry#retry: it runs a request again as " +
		"pyramid_retry does", []string{"egg:pyramid_retry#*"}},
	{tree.KindFilter, "write use = egg:repoze.tm2#tm", []string{"egg:pyramid_tm#*"}},
	{tree.KindApp, browsing, []string{"egg:webobentrypoints#staticdir", "egg:static#*"}},
	{tree.KindApp, proxying, []string{
		"egg:Paste#proxy", "egg:Paste#transparent_proxy",
		"egg:webobentrypoints#proxy", "egg:WSGIProxy#*", "egg:WSGIProxy2#*",
	}},
	{tree.KindServer, "write use = egg:Paste#http, with host and port", []string{
		"egg:CherryPy#*", "egg:cheroot#*", "egg:PasteScript#*", "egg:flup#*", "egg:gearbox#*",
		"egg:pyramid#*",
		"egg:gunicorn#*", "egg:uwsgi#*", "egg:meinheld#*", "egg:gevent#*", "egg:gevent_fastcgi#*",
		"egg:pastegevent#*", "egg:eventlet#*",
		"egg:Twisted#*", "egg:Spawning#*", "egg:tornado#*", "egg:zope.server#*", "egg:Zope2#*",
		"egg:Zope#*", "egg:wsgiutils#*", "egg:Werkzeug#*",
		"egg:hypercorn#*", "egg:uvicorn#*", "egg:daphne#*",
	}},
	{tree.KindComposite, "write use = egg:Paste#urlmap", []string{"egg:rutter#urlmap"}},
}

// registerHints registers the hints for these names.
func registerHints(r *pipeline.Registry) {
	for _, e := range elsewhere {
		for _, name := range e.names {
			r.Instead(e.kind, name, e.hint)
		}
	}
}
