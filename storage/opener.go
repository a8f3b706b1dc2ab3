package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// An Opener opens databases by URI, and shares one that is opened several times. It is safe for
// concurrent use by multiple goroutines.
type Opener struct {
	mu        sync.Mutex // guards the next two
	schemes   map[string]scheme
	opened    map[string]bool // databases opened with this Opener, by canonical URI without query
	intercept func(ctx context.Context, uri *url.URL, open engine.OpenFunc) (engine.Engine, error)
	open      *openSet
	renewed   bool
	logger    *slog.Logger
	trial     atomic.Bool
}

type scheme struct {
	open      engine.OpenFunc
	canonical engine.CanonicalFunc
}

// openSet is the open databases, by canonical URI without query. An Opener and those that Renew
// made of it share one set.
type openSet struct {
	mu        sync.Mutex // guards databases, names and shared.users; taken after a shared.mu
	databases map[string]*shared
	names     map[string]name // the URIs used to open them, as written, without query
	recovery  recovery.Set
}

// A name is the database that a URI leads to, while it is open through that URI. If a symbolic link
// is changed meanwhile, the URI leads to another database.
type name struct {
	id    string
	users int
}

// shared is a database that is open, or is being opened or closed.
type shared struct {
	mu    sync.Mutex // held while the engine is opened and closed
	users int
	core  *core // nil: not open
	query string
	// removes it from the recovery set
	removeFromRecovery func()
}

// NewOpener returns an Opener without schemes: bolt.Register and memory.Register add theirs.
func NewOpener() *Opener {
	return &Opener{schemes: map[string]scheme{}, opened: map[string]bool{}, open: newOpenSet()}
}

func newOpenSet() *openSet {
	return &openSet{databases: map[string]*shared{}, names: map[string]name{}}
}

// SetLogger sets the logger to which databases that are opened from now on report problems while
// they are open. Nil, the default, discards.
func (o *Opener) SetLogger(logger *slog.Logger) { o.logger = logger }

// Try starts a trial, in which opened databases may turn out not to be used: a database that is
// created in it, and closed while it is empty, is deleted. The trial ends when keep is called.
func (o *Opener) Try() (keep func()) {
	o.trial.Store(true)
	return func() { o.trial.Store(false) }
}

// Renew returns an Opener without schemes that shares its open databases with o: opening a database
// that is open through the other one returns the same database. It is for a program that builds a
// new configuration beside the running one, and then closes the old.
func (o *Opener) Renew() *Opener {
	return &Opener{
		schemes: map[string]scheme{}, opened: map[string]bool{}, open: o.open,
		renewed: true, logger: o.logger,
	}
}

// Register adds a scheme, for URIs that start with scheme://. URIs that differ only in the query
// name the same database.
// It panics if the scheme is registered already.
func (o *Opener) Register(scheme string, open engine.OpenFunc) {
	o.RegisterCanonical(scheme, open, func(uri *url.URL) (*url.URL, error) { return uri, nil })
}

// RegisterCanonical is Register for databases that have several URIs.
func (o *Opener) RegisterCanonical(name string, open engine.OpenFunc,
	canonical engine.CanonicalFunc,
) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, dup := o.schemes[name]; dup {
		panic(fmt.Sprintf("storage: scheme %q is registered twice", name))
	}
	o.schemes[name] = scheme{open, canonical}
}

// Intercept makes f open every engine from now on. It gets the function that is registered for the
// scheme and the canonical URI, and may return another engine instead: a program that only checks a
// configuration must not change a database. Call it before the first Open.
func (o *Opener) Intercept(f func(ctx context.Context, uri *url.URL,
	open engine.OpenFunc) (engine.Engine, error),
) {
	o.intercept = f
}

// Recovery returns the set of databases for recovery after a crash (see package recovery). All open
// databases that take part in two-phase commits are in it; others can be added. An Opener and those
// that Renew made of it share one set.
func (o *Opener) Recovery() *recovery.Set { return &o.open.recovery }

// cores returns the open databases. It leaves out one that is being opened or closed, which may take
// long.
func (o *openSet) cores() []*core {
	o.mu.Lock()
	databases := slices.Collect(maps.Values(o.databases))
	o.mu.Unlock()
	var cores []*core
	for _, s := range databases {
		if !s.mu.TryLock() {
			continue
		}
		if s.core != nil {
			cores = append(cores, s.core)
		}
		s.mu.Unlock()
	}
	return cores
}

// Gauges returns the metrics of the open databases ([engine.Gauger]), by their names, in which
// passwords are hidden. The databases are asked at the same time.
func (o *Opener) Gauges() map[string]map[string]float64 {
	var mu sync.Mutex
	var asked sync.WaitGroup
	gauges := map[string]map[string]float64{}
	for _, c := range o.open.cores() {
		g, ok := c.engine.(engine.Gauger)
		if !ok {
			continue
		}
		asked.Go(func() {
			values := g.Gauges()
			mu.Lock()
			defer mu.Unlock()
			gauges[c.name] = values
		})
	}
	asked.Wait()
	return gauges
}

// Engines returns the engines of the open databases, by the names of the databases, in which
// passwords are hidden, for features that only some engines have.
func (o *Opener) Engines() map[string]engine.Engine {
	engines := map[string]engine.Engine{}
	for _, c := range o.open.cores() {
		engines[c.name] = c.engine
	}
	return engines
}

// Ping reads from each of the open databases, and returns the errors, by the names of the databases,
// in which passwords are hidden; nil stands for a database that has answered. A database that has
// not answered when ctx is done has the error of ctx. The databases are asked at the same time, and
// each by one call at a time, whose answer concurrent calls share.
func (o *Opener) Ping(ctx context.Context) map[string]error {
	var mu sync.Mutex
	var asked sync.WaitGroup
	errs := map[string]error{}
	for _, c := range o.open.cores() {
		asked.Go(func() {
			err := c.ping(ctx)
			mu.Lock()
			defer mu.Unlock()
			errs[c.name] = err
		})
	}
	asked.Wait()
	return errs
}

// CheckTwoPhase returns an error if more than one of the databases that were opened with o (not
// those of the Opener it was renewed from) can't prepare, so that a transaction that writes to two
// of them must fail, and one of them says that its configuration is the reason (see
// [engine.PrepareChecker]). Call it when all are open.
func (o *Opener) CheckTwoPhase() error {
	o.mu.Lock()
	opened := maps.Clone(o.opened)
	o.mu.Unlock()
	o.open.mu.Lock()
	databases := maps.Clone(o.open.databases)
	o.open.mu.Unlock()
	engines := map[string]engine.Engine{}
	for id, s := range databases {
		s.mu.Lock()
		if s.core != nil && opened[id] {
			engines[s.core.name] = s.core.engine
		}
		s.mu.Unlock()
	}
	return CheckTwoPhase(engines)
}

// Schemes returns the registered schemes, sorted.
func (o *Opener) Schemes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.schemes))
}

// Open returns the database of uri. All users of the same database share one engine, which is
// closed with the last of their DBs. Opening one database with different options is an error. No
// error shows a password.
func (o *Opener) Open(ctx context.Context, uri string) (*DB, error) {
	scheme, parsed, err := o.parse(uri)
	if err != nil {
		return nil, fmt.Errorf("storage: %s: %w", redact.Value("", uri), err)
	}
	db, err := o.openDB(ctx, scheme, parsed)
	if err != nil {
		if redact.Strays(uri) {
			err = &unquotedError{err}
		}
		return nil, fmt.Errorf("storage: %s: %w", redact.Value("", uri), err)
	}
	return db, nil
}

// An unquotedError hides an error about a URI whose password may have been parsed as other parts of
// it, because the message may quote it.
type unquotedError struct{ err error }

func (e *unquotedError) Error() string {
	return "can't be opened; the reason is hidden, because it may quote a part of the password: " +
		escapes
}

func (e *unquotedError) Unwrap() error { return e.err }

const escapes = "in a path or password write %25 for %, %23 for #, %3F for ?, %40 for @, " +
	"and / for \\"

func (o *Opener) openDB(ctx context.Context, scheme scheme, uri *url.URL) (*DB, error) {
	written := withoutQuery(uri)
	uri, err := scheme.canonical(uri)
	if err != nil {
		return nil, err
	}
	query, bare := uri.RawQuery, withoutQuery(uri)
	c := opening{id: bare.String(), name: written.String()}
	if c.shared, err = o.open.acquire(c); err != nil {
		return nil, err
	}
	s := c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	opened := false
	defer func() { // deferred for an engine that panics
		if !opened {
			o.open.release(c)
		}
	}()
	switch {
	case s.core == nil:
		e, err := o.engine(ctx, uri, scheme.open)
		if err != nil {
			return nil, err
		}
		release, err := o.locate(e, written)
		if err != nil {
			return nil, errors.Join(err, e.Close())
		}
		c.release = release
		if r, ok := e.(engine.Reporter); ok {
			r.Report(o.logger)
		}
		s.core, s.query = newCore(redact.Value("", bare.String()), e), query
		s.removeFromRecovery = o.open.recovery.Add(e)
	case s.query != query:
		return nil, o.otherOptions(c.id, s.query)
	default:
		if c.release, err = o.locate(s.core.engine, written); err != nil {
			return nil, err
		}
	}
	opened = true
	o.mu.Lock()
	o.opened[c.id] = true
	o.mu.Unlock()
	return newDB(s.core, func() error { return o.open.close(c, o.trial.Load()) }), nil
}

func withoutQuery(uri *url.URL) *url.URL {
	bare := *uri
	bare.RawQuery, bare.ForceQuery = "", false
	return &bare
}

// locate tells a Located engine the URI that it was opened with.
func (o *Opener) locate(e engine.Engine, written *url.URL) (release func(), err error) {
	located, ok := e.(engine.Located)
	if !ok {
		return func() {}, nil
	}
	return located.Locate(written, o.logger)
}

// otherOptions returns the error for a database that is already open with the options in query,
// also during a reload that changes them everywhere.
func (o *Opener) otherOptions(id, query string) error {
	remedy := "write the same options wherever it is named"
	o.mu.Lock()
	own := o.opened[id]
	o.mu.Unlock()
	if o.renewed && !own {
		remedy += ", and restart the program to change them"
	}
	return fmt.Errorf("already open with other options (%s): %s", redact.Text(orNone(query)),
		remedy)
}

func (o *Opener) engine(ctx context.Context, uri *url.URL,
	open engine.OpenFunc,
) (engine.Engine, error) {
	if o.intercept != nil {
		return o.intercept(ctx, uri, open)
	}
	return open(ctx, uri)
}

// An opening is one use of a database.
type opening struct {
	id, name string
	shared   *shared
	release  func() // of Locate
}

// acquire adds a user to the database of c, and to its name, until release.
func (o *openSet) acquire(c opening) (*shared, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.names[c.name]
	if n.users > 0 && n.id != c.id {
		return nil, fmt.Errorf("%w: it leads to %s now, and opening that would leave behind "+
			"the data of the open one: "+
			"have the link lead there again, or restart the program",
			ErrMoved, redact.Value("", c.id))
	}
	o.names[c.name] = name{c.id, n.users + 1}
	s := o.databases[c.id]
	if s == nil {
		s = &shared{}
		o.databases[c.id] = s
	}
	s.users++
	return s, nil
}

// release drops one user and reports whether it was the last.
func (o *openSet) release(c opening) (last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.names[c.name]; n.users > 1 {
		o.names[c.name] = name{n.id, n.users - 1}
	} else {
		delete(o.names, c.name)
	}
	c.shared.users--
	if c.shared.users == 0 && c.shared.core == nil {
		delete(o.databases, c.id)
	}
	return c.shared.users == 0
}

// close drops one use, and closes the engine with the last. Opening the database meanwhile waits,
// and opens a new engine.
func (o *openSet) close(c opening, discard bool) error {
	s := c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	c.release()
	if !o.release(c) {
		return nil
	}
	e := s.core.engine
	sharedErr := s.core.closeShared()
	s.core = nil
	s.removeFromRecovery()
	end := e.Close
	if d, ok := e.(engine.Discarder); ok && discard {
		end = d.Discard
	}
	err := errors.Join(sharedErr, end())
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.users == 0 {
		delete(o.databases, c.id)
	}
	return err
}

func (o *Opener) parse(text string) (scheme, *url.URL, error) {
	name, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok && strings.HasPrefix(text, "/"):
		return scheme{}, nil, fmt.Errorf("not a URI of a database: write %s",
			&url.URL{Scheme: "bolt", Path: text})
	case !ok:
		return scheme{}, nil, errors.New("not a URI of a database: " +
			"want one such as bolt:///path/to/data.db")
	}
	o.mu.Lock()
	s, known := o.schemes[name]
	o.mu.Unlock()
	switch {
	case !known && name == "zeo":
		return s, nil, fmt.Errorf("ZODB's network protocol is not spoken here: write %s instead",
			beside(rest))
	case !known && name == "file":
		return s, nil, fmt.Errorf("ZODB's files are not read here: write %s instead", beside(rest))
	case !known:
		return s, nil, o.unknown(name)
	}
	uri, err := url.Parse(withHostInQuery(text))
	if err != nil {
		// The error of url.Parse is not shown: it quotes text that may be part of a password.
		return s, nil, errors.New("not a well-formed URI: " + escapes)
	}
	if uri.Fragment != "" || strings.Contains(text, "#") {
		return s, nil, errors.New("a URI of a database has no #fragment: " +
			"in a path or password write %23 for #")
	}
	return s, uri, nil
}

// withHostInQuery moves a percent-encoded folder, which libpq accepts as the host of a URI, to
// where net/url can parse it: from postgres://%2Frun%2Fpostgresql:5433/site to
// postgres:///site?host=/run/postgresql&port=5433.
func withHostInQuery(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	user := authority[:strings.LastIndexByte(authority, '@')+1]
	host, port, hasPort := strings.Cut(authority[len(user):], ":")
	folder, err := url.PathUnescape(host)
	if err != nil || !strings.HasPrefix(folder, "/") {
		return text
	}
	path, fragment, hasFragment := strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(path, "?")
	if path == "" {
		path = "/"
	}
	params := "host=" + url.PathEscape(folder)
	if hasPort {
		params += "&port=" + url.PathEscape(port)
	}
	if hasQuery && query != "" {
		params += "&" + query
	}
	text = scheme + "://" + user + path + "?" + params
	if hasFragment {
		text += "#" + fragment
	}
	return text
}

// beside returns the URI of a bolt file in the folder of path.
func beside(path string) string {
	path, _, _ = strings.Cut(path, "?")
	path = path[:strings.LastIndex(path, "/")+1]
	if !strings.HasPrefix(path, "/") {
		path = "/path/"
	}
	return "bolt://" + path + "data.db"
}

// schemeSyntax is the form of a URI's scheme: text of another form may be a part of a password.
var schemeSyntax = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,19}$`)

func (o *Opener) unknown(name string) error {
	known := o.Schemes()
	if len(known) == 0 {
		return fmt.Errorf("no kind of database is registered, so %q is not known", name)
	}
	if !schemeSyntax.MatchString(name) {
		return fmt.Errorf("not a URI of a database: it starts with no kind of database, "+
			"of which there are %s", strings.Join(known, ", "))
	}
	return fmt.Errorf("no kind of database %q: have %s", name, strings.Join(known, ", "))
}

func orNone(query string) string {
	if query == "" {
		return "none"
	}
	return query
}
