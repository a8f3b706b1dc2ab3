package serve

import (
	"github.com/pasteline/pasteline/apps/cascade"
	"github.com/pasteline/pasteline/apps/echo"
	"github.com/pasteline/pasteline/apps/health"
	"github.com/pasteline/pasteline/apps/inspector"
	"github.com/pasteline/pasteline/apps/metrics"
	"github.com/pasteline/pasteline/apps/static"
	"github.com/pasteline/pasteline/apps/urlmap"
	"github.com/pasteline/pasteline/apps/vars"
	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/config"
	"github.com/pasteline/pasteline/filters/errorpage"
	"github.com/pasteline/pasteline/filters/prefix"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/filters/tracing"
	"github.com/pasteline/pasteline/filters/translogger"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/storage/postgres"
)

// Standard registers the factories of Pasteline: the filters browserid, retry, tm, prefix, config,
// tracing, translogger and errorpage, which also shows developers why a request failed; the
// composites urlmap and cascade; the apps static, echo, inspector, metrics, health and vars; the
// servers, also under the names of those in Python; and databases of the kinds bolt, memory and
// postgres. It also registers hints about names of other Python packages. [Run] calls it; it is for
// programs that load a pipeline without this package's command.
func Standard(r *pipeline.Registry) {
	browserid.Register(r)
	retry.Register(r)
	tm.Register(r)
	prefix.Register(r)
	config.Register(r)
	translogger.Register(r)
	errorpage.Register(r)
	tracing.Register(r)
	urlmap.Register(r)
	cascade.Register(r)
	static.Register(r)
	echo.Register(r)
	vars.Register(r)
	metrics.Register(r)
	health.Register(r)
	inspector.Register(r)
	server.Register(r)
	registerHints(r)
	bolt.Register(r.Opener())
	memory.Register(r.Opener())
	postgres.Register(r.Opener())
}

// standardRegistry returns a registry with the standard set and the program's own factories.
func standardRegistry(register []func(*pipeline.Registry)) *pipeline.Registry {
	r := pipeline.NewRegistry()
	fill(r, register)
	return r
}

func fill(r *pipeline.Registry, register []func(*pipeline.Registry)) {
	Standard(r)
	for _, f := range register {
		f(r)
	}
}
