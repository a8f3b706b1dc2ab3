package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/pipeline"
)

// Register adds the app to r under "egg:pasteline#metrics".
func Register(r *pipeline.Registry) { pipeline.App(r, "egg:pasteline#metrics", build) }

// settings are the settings of an .ini section.
type settings struct {
	guard.Settings
}

func build(b *pipeline.Build, s settings) (http.Handler, error) {
	g, err := guard.New(s.Settings)
	if err != nil {
		return nil, err
	}
	return g.Protect(newApp(share(b))), nil
}

// shared is what the sections of one load share.
type shared struct{ *listener }

// share returns the listener of the site. It is the same for all sections of a load, and for all
// loads as long as one of the sections keeps its name.
func share(b *pipeline.Build) *listener {
	own := &shared{}
	others := b.Share(own)
	former, _ := b.Keep(nil).(*listener)
	switch {
	case len(others) > 0:
		first, _ := others[0].(*shared) // Share returns values of the same type
		own.listener = first.listener
	case former != nil:
		own.listener = former
	default:
		own.listener = newListener()
		own.registry.MustRegister(
			&collector{site: status.Of(b), opener: b.Opener()},
			collectors.NewGoCollector(),
			collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		)
	}
	b.Keep(own.listener)
	if len(others) == 0 {
		b.Observe(own.listener)
	}
	return own.listener
}

// newApp returns the app that shows the metrics of l.
func newApp(l *listener) http.Handler {
	show := promhttp.HandlerFor(l.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// A database that can't be measured must not hide all other values.
		ErrorHandling: promhttp.ContinueOnError,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		show.ServeHTTP(w, r)
	})
}
