package errorpage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/guard"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/pipeline"
)

// settings are the settings of an .ini section.
type settings struct {
	Allow    []string `ini:"allow" default:"localhost" help:"clients that see the developer's page when debug is true: localhost, and addresses or private networks (192.168.0.0/16)"`
	Template string   `ini:"template" nonempty:"true" help:"file of the HTML page for errors, a template of html/template with .Status, .Title, .Detail and .RequestID; by default a plain page"`
}

// Register adds the filter to r as "egg:pasteline#errorpage". It also adds the developer's page to
// each pipeline that is loaded with r from a file with debug = true.
func Register(r *pipeline.Registry) {
	pipeline.Filter(r, "egg:pasteline#errorpage", build)
	pipeline.Around(r, around)
}

// access is what a section shares with the whole pipeline: the guard of the developer's page, and
// whether the section has a template.
type access struct {
	*guard.Guard

	template bool
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	g, err := newGuard(s.Allow)
	if err != nil {
		return nil, err
	}
	b.Share(access{g, s.Template != ""})
	if s.Template == "" {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	page, err := newTemplate(b, s.Template)
	if err != nil {
		return nil, &pipeline.Error{Key: "template", Err: err}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			own := r.WithContext(attempt.WithPage(r.Context(), page))
			defer formfiles.HandBack(r, own)
			returned := false
			defer func() {
				if p, ok := r.Context().Value(panicKey{}).(*panicPage); ok && !returned {
					p.page = page // a panic, which is answered outside of this filter
				}
			}()
			next.ServeHTTP(w, own)
			returned = true
		})
	}, nil
}

var errPublic = errors.New("the page shows the inside of the site, and never to the public: " +
	"want localhost, or addresses and networks of a private range, such as 192.168.0.0/16")

// newGuard returns the guard of the developer's page.
func newGuard(allow []string) (*guard.Guard, error) {
	for _, word := range allow {
		if !isPrivate(strings.Trim(word, ",")) {
			return nil, &pipeline.Error{Key: "allow", Err: errPublic}
		}
	}
	return guard.New(guard.Settings{Allow: allow})
}

// isPrivate reports whether word allows no client on the internet. A word that is no address is left
// to the guard.
func isPrivate(word string) bool {
	if word == "*" || word == "unix" || strings.HasPrefix(word, "unix:") { // behind it is a proxy
		return false
	}
	network, err := netip.ParsePrefix(word)
	if err != nil {
		addr, err := netip.ParseAddr(strings.Trim(word, "[]"))
		if err != nil {
			return true
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	return slices.ContainsFunc(private, func(p netip.Prefix) bool {
		return p.Bits() <= network.Bits() && p.Contains(network.Addr().Unmap())
	})
}

// private are the networks that are not routed on the internet.
var private = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
}

// newTemplate returns the page of a template. The template is tried once, so that a mistake in it is
// found at the start.
func newTemplate(b *pipeline.Build, name string) (attempt.Page, error) {
	text, err := b.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t, err := template.New("template").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("it can't be read: %w", err)
	}
	logger := b.Logger()
	page := func(p attempt.Problem) ([]byte, error) {
		var out bytes.Buffer
		err := t.Execute(&out, p)
		return out.Bytes(), err
	}
	if _, err := page(attempt.Problem{Status: 500, Title: "Internal Server Error"}); err != nil {
		return nil, fmt.Errorf("it can't be filled in: %w", err)
	}
	return func(p attempt.Problem) ([]byte, error) {
		out, err := page(p)
		if err != nil {
			logger.Error("the template of the error page failed", slog.Any("error", err))
		}
		return out, err
	}, nil
}

// panicPage is the page of the innermost filter with a template that a panic has passed. A request
// has one, which its goroutine uses.
type panicPage struct{ page attempt.Page }

type panicKey struct{}

var errNoTemplate = errors.New("no filter with a template was passed")

// answerPanics returns a middleware that answers panics with the page of a filter that they have
// passed, or as the server would.
func answerPanics(logger *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := new(panicPage)
			ctx := attempt.WithPage(r.Context(), func(problem attempt.Problem) ([]byte, error) {
				if p.page == nil {
					return nil, errNoTemplate
				}
				return p.page(problem)
			})
			own := r.WithContext(context.WithValue(ctx, panicKey{}, p))
			defer formfiles.HandBack(r, own)
			noted := &sent.Writer{ResponseWriter: w}
			defer func() {
				if value := recover(); value != nil {
					attempt.AnswerPanic(logger, noted, own, value)
				}
			}()
			next.ServeHTTP(noted, own)
		})
	}
}

// around puts the developer's page around a pipeline whose file has debug = true, and the page for
// panics around one that has a template.
func around(b *pipeline.Build) (func(http.Handler) http.Handler, error) {
	var guards []access
	template := false
	for _, section := range b.Share(access{}) {
		if a, ok := section.(access); ok {
			guards = append(guards, a)
			template = template || a.template
		}
	}
	switch {
	case !b.Debug() && template:
		return answerPanics(b.Logger()), nil
	case !b.Debug():
		return nil, nil //nolint:nilnil // no filter, as documented
	}
	if len(guards) == 0 {
		local, err := newGuard([]string{"localhost"})
		if err != nil {
			return nil, err
		}
		guards = []access{{Guard: local}}
	}
	p := &page{site: newSite(b), guards: guards, logger: b.Logger()}
	b.Observe(collector{})
	if template {
		return func(next http.Handler) http.Handler { return answerPanics(p.logger)(p.wrap(next)) }, nil
	}
	return p.wrap, nil
}
