package urlmap

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// settings declares the settings of an .ini section. All other keys are places.
type settings struct {
	NotFoundApp string         `ini:"not_found_app" help:"the app for requests outside of all places; if empty, the not_found_app of [DEFAULT], or else a plain 404"`
	Places      []tree.Setting `ini:"*"`
}

// Register adds the composite (an app made of other apps) to r under "egg:pasteline#urlmap" and the
// names of Paste's urlmap.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#urlmap"
	pipeline.Composite(r, name, build)
	r.Alias("egg:Paste#urlmap", name)
	r.Alias("call:paste.urlmap:urlmap_factory", name)
}

func build(b *pipeline.Build, s settings) (http.Handler, error) {
	hasDomain := func(p tree.Setting) bool { return strings.HasPrefix(p.Key, "domain ") }
	if slices.ContainsFunc(s.Places, hasDomain) {
		b.Require(order.Requirement{
			Filter: order.Prefix, Place: order.NotBehind,
			Else: "it chooses by the host name that the proxy uses, not by the client's; " +
				"write that in front of it",
		})
	}
	m := &urlMap{}
	var errs []error
	if s.NotFoundApp == "" {
		s.NotFoundApp, _ = b.Global("not_found_app")
	}
	if s.NotFoundApp != "" {
		app, err := b.App(s.NotFoundApp)
		errs = append(errs, err)
		m.notFound = app
	}
	for _, setting := range s.Places {
		at, err := parsePlace(setting.Key)
		if err != nil {
			// The app of an invalid place is not loaded: its name is often a part of the key.
			errs = append(errs, &pipeline.Error{Key: setting.Key, Err: err})
			continue
		}
		app, err := b.App(setting.Value)
		errs = append(errs, err)
		if m.put(at, setting.Value, app) {
			b.Warn(setting.Key, "this place, "+at.String()+
				", is given twice, and the last one is used: leave one out")
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m.finish(b.Debug()), nil
}
