package migrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// anySettings is the type of that name in the project.
type anySettings struct {
	All map[string]string `ini:"*"`
}

// register does the work of the project's function Register, with handlers that get no requests.
func (p *Plan) register(r *pipeline.Registry) (err error) {
	for _, s := range p.stubs {
		if err := s.register(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *stub) register(r *pipeline.Registry) (err error) {
	defer func() { // the registry refuses some names that a file may have
		if v := recover(); v != nil {
			err = &pipeline.Error{
				File: s.at.File, Line: s.at.Line, Section: s.at.Section,
				Err: fmt.Errorf("%q can't be registered", s.name),
				Hint: "write paste.app_factory = module:function, or a name such as " +
					"egg:Dist#name, in its place",
			}
		}
	}()
	stub := http.NotFoundHandler()
	app := func(*pipeline.Build, anySettings) (http.Handler, error) { return stub, nil }
	switch {
	case s.conversion == sameAs:
		r.Alias(s.name, s.function)
	case s.conversion == value && s.function == "retryable":
		pipeline.Value(r, s.name, retry.Predicate(transaction.IsTransient))
	case s.conversion == value:
		pipeline.Value(r, s.name, tm.Veto(tm.RepozeVeto))
	case s.conversion == isServed:
	case s.kind == tree.KindApp:
		pipeline.App(r, s.name, app)
	case s.kind == tree.KindComposite:
		pipeline.Composite(r, s.name, app)
	case s.kind == tree.KindFilter:
		pipeline.Filter(r, s.name,
			func(*pipeline.Build, anySettings) (func(http.Handler) http.Handler, error) {
				return func(next http.Handler) http.Handler { return next }, nil
			})
	}
	return nil
}

// settle loads the copies, corrects the errors that need no decision, and repeats that until the
// copies can be served.
func (p *Plan) settle(ctx context.Context) error {
	for _, s := range p.stubs {
		if s.conversion == isServed {
			p.serveInPlaceOf(s)
		}
	}
	p.keepPaths()
	folder, err := os.MkdirTemp("", "serve-migrate-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	for {
		faults := p.try(ctx, folder)
		if faults == nil {
			return nil
		}
		mended := false
		for _, fault := range faultsOf(faults) {
			if p.correct(fault) {
				mended = true
			}
		}
		if !mended {
			return p.translate(faults, folder)
		}
	}
}

// faultsOf returns the errors that err joins.
func faultsOf(err error) tree.Errors {
	if faults, ok := errors.AsType[tree.Errors](err); ok {
		return faults
	}
	return nil
}

// try loads the copies in a folder.
func (p *Plan) try(ctx context.Context, folder string) error {
	m := p.project()
	for _, ini := range m.Ini {
		path := filepath.Join(folder, filepath.FromSlash(ini.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(ini.Text), 0o600); err != nil {
			return err
		}
	}
	for _, name := range m.Folders {
		if err := os.MkdirAll(filepath.Join(folder, filepath.FromSlash(name)), 0o700); err != nil {
			return err
		}
	}
	r := p.standard()
	if err := p.register(r); err != nil {
		return err
	}
	r.Opener().Intercept(func(_ context.Context, uri *url.URL,
		_ engine.OpenFunc,
	) (engine.Engine, error) {
		return engine.StandIn{Engine: memory.New("stand-in").Engine(), Scheme: uri.Scheme}, nil
	})
	path := filepath.Join(folder, filepath.FromSlash(p.Main()))
	options := pipeline.Options{Registry: r}
	var warnings []tree.Warning
	server, serverErr := pipeline.LoadServer(ctx, path, options)
	if serverErr == nil {
		warnings = append(warnings, server.Warnings()...)
		serverErr = server.Close()
	}
	app, appErr := pipeline.Load(ctx, path, options)
	if appErr == nil {
		warnings = append(warnings, app.Warnings()...)
		appErr = app.Close()
	}
	ofLog, logErr := logging.Check(path, logging.Options{})
	warnings = append(warnings, ofLog...)
	if err := tree.JoinErrors(serverErr, appErr, logErr); err != nil {
		return err
	}
	for _, w := range warnings {
		at := tree.Position{File: p.original(w.File, folder), Line: w.Line, Section: w.Section}
		n := note{at, w.Key, strings.ReplaceAll(w.Message, folder, "FOLDER")}
		if !slices.Contains(p.notes, n) {
			p.notes = append(p.notes, n)
		}
	}
	return nil
}

// original returns the path of the old file for a copy in a folder.
func (p *Plan) original(path, folder string) string {
	if rel, err := filepath.Rel(folder, path); err == nil {
		for _, f := range p.files {
			if f.target == filepath.ToSlash(rel) {
				return f.path
			}
		}
	}
	return path
}

// translate makes errors name the old files instead of the copies in a folder, and this command in
// hints.
func (p *Plan) translate(err error, folder string) error {
	faults := faultsOf(err)
	if faults == nil {
		return err
	}
	// A name behind another error was not seen, and so has no stub.
	isStubs := func(fault *pipeline.Error) bool {
		return errors.Is(fault.Err,
			tree.ErrNotRegistered)
	}
	if others := slices.DeleteFunc(slices.Clone(faults), isStubs); len(others) > 0 {
		faults = others
	}
	var names []string
	if folder != "" {
		for _, f := range p.files {
			names = append(names, filepath.ToSlash(folder)+"/"+f.target, f.path)
		}
		names = append(names, folder, filepath.Dir(p.main().path))
	}
	names = append(names, "serve FILE", "serve migrate FILE FOLDER")
	old := strings.NewReplacer(names...)
	for _, fault := range faults {
		fault.File, fault.Hint = old.Replace(fault.File), old.Replace(fault.Hint)
		fault.Value, fault.Origin = old.Replace(fault.Value), old.Replace(fault.Origin)
		if text := old.Replace(fault.Err.Error()); text != fault.Err.Error() {
			fault.Err = errors.New(text)
		}
		if f := p.fileAt(fault.File); f != nil && fault.Line > len(f.lines) {
			fault.Line = 0 // in an added line
		}
	}
	return faults
}

var notThere = regexp.MustCompile(`^("(?:[^"\\]|\\.)*") is not registered`)

// correct corrects an error in the copies, if that needs no decision, and reports whether it did.
func (p *Plan) correct(fault *pipeline.Error) bool {
	var f *file
	for _, other := range p.files {
		if strings.HasSuffix(filepath.ToSlash(fault.File), "/"+other.target) {
			f = other
		}
	}
	if f == nil || fault.Line > len(f.lines) {
		return false
	}
	at := tree.Position{File: f.path, Line: fault.Line, Section: fault.Section}
	switch {
	case errors.Is(fault.Err, tree.ErrUnknownSetting):
		text := "taken out, since there is no such setting here"
		if fault.Hint != "" && !strings.HasPrefix(fault.Hint, "have: ") {
			text += "; " + fault.Hint
		}
		if !f.replace(fault.Line, "") {
			return false
		}
		p.notes = append(p.notes, note{at, fault.Key, text})
		return true
	case errors.Is(fault.Err, browserid.ErrWeakSecret) && fault.Key == "secret_key":
		secret := make([]byte, 32)
		_, _ = rand.Read(secret) // never fails
		if !f.replace(fault.Line, "secret_key = "+hex.EncodeToString(secret)) {
			return false
		}
		p.notes = append(p.notes, note{at, fault.Key, "replaced by a new random one, since the " +
			"old one is short or well known; browsers get new ids"})
		return true
	case isLogging(fault.Section):
		return p.logBeside(f, fault)
	case fault.Key == "commit_veto" || fault.Key == "retryable":
		m := notThere.FindStringSubmatch(fault.Err.Error())
		if m == nil {
			return false
		}
		name, err := strconv.Unquote(m[1])
		if err != nil || slices.ContainsFunc(p.stubs, func(s *stub) bool {
			return s.conversion ==
				value && s.name == name && s.function == fault.Key
		}) {
			return false
		}
		p.stubs = append(p.stubs, &stub{conversion: value, name: name, function: fault.Key, at: at})
		return true
	}
	return false
}

// logBeside moves a log file that can't be written beside the copy.
func (p *Plan) logBeside(f *file, fault *pipeline.Error) bool {
	for _, s := range f.parsed.Settings(fault.Section) {
		m := quotedPath.FindStringSubmatch(s.Raw)
		if s.Line != fault.Line || m == nil || strings.Contains(s.Raw, "\n") {
			continue
		}
		beside := "%(here)s/" + path.Base(m[2])
		if !f.replace(s.Line, s.Key+" = "+strings.Replace(s.Raw, m[2], beside, 1)) {
			return false
		}
		p.notes = append(p.notes, note{
			tree.Position{File: f.path, Line: s.Line, Section: fault.Section},
			s.Key,
			fmt.Sprintf("replaced, since %s: the log goes to %s", fault.Err, beside),
		})
		return true
	}
	return false
}

// quotedPath matches an absolute path in the arguments of a handler.
var quotedPath = regexp.MustCompile(`(['"])(/[^'"]*[^'"/])['"]`)

// serveInPlaceOf makes a section use the standard server.
func (p *Plan) serveInPlaceOf(s *stub) {
	f := p.fileAt(s.at.File)
	if f == nil {
		return
	}
	use := "use = egg:Paste#http"
	for _, setting := range f.parsed.Settings(s.at.Section) {
		switch setting.Key {
		case "use", "paste.server_factory", "paste.server_runner":
			if f.replace(setting.Line, use) {
				at := s.at
				at.Line, use = setting.Line, "" // comment out the next one
				p.notes = append(p.notes, note{at, setting.Key, fmt.Sprintf("%s is a server for "+
					"Python: egg:Paste#http takes its place", oneLine(s.name))})
			}
		}
	}
}

// keepPaths makes settings of registered factories name the same files and folders as before:
// %(here)s is another folder in the project.
func (p *Plan) keepPaths() {
	for _, resolved := range p.roots {
		p.walk(resolved, resolved.Root, func(n *tree.Node) {
			if !n.Registered || n.Kind == tree.KindServer && n.Factory.Dist == "" {
				return
			}
			for s := range n.LocalConf.All() {
				p.keepPath(s)
			}
		})
	}
}

func (p *Plan) keepPath(s tree.Setting) {
	f := p.fileAt(s.File)
	if f == nil || s.Line == 0 || strings.Contains(s.Value, "\n") {
		return
	}
	path, isRelative := s.Value, s.Key == "document_root" && !filepath.IsAbs(s.Value)
	if isRelative {
		path = filepath.Join(filepath.Dir(f.path), path)
	} else if !strings.Contains(s.Raw, "%(here)s") {
		return
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return
	}
	if _, err := os.Stat(full); err != nil {
		return
	}
	if f.replace(s.Line, s.Written+" = "+strings.ReplaceAll(full, "%", "%%")) {
		at := tree.Position{File: s.File, Line: s.Line, Section: s.Section}
		p.notes = append(p.notes,
			note{at, s.Written, "names the old place by its full path: " + full})
	}
}
