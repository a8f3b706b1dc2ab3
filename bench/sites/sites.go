// Package sites has the contenders: the same small site made with Pasteline and with each of the
// alternatives. [Open] opens one by its name.
//
// A site counts for every browser (GET /read, POST /incr), and has pages that need no session. The
// handlers are the same; the implementation of [Counter] differs, and the filters.
package sites

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Site is one contender, ready to serve. It is safe for concurrent use.
type Site struct {
	http.Handler
	closers []func() error
}

// Close closes everything that the site has opened, in reverse order.
func (s *Site) Close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (s *Site) onClose(f func() error) { s.closers = append(s.closers, f) }

// Settings are the surroundings of a site.
type Settings struct {
	Dir      string   // a folder for its files
	Postgres string   // the URI of a PostgreSQL database, for the sites that need one
	Ini      []string // further settings of Pasteline's app, such as "period = 1"
}

// DataFile is the name of the file in Settings.Dir that has the sessions of a site on bbolt.
const DataFile = "data.db"

// The names of the sites. All hand-written ones that keep a number give each browser a signed id in
// a cookie.
const (
	Pasteline = "pasteline" // browserid, retry, tm, sessions on bolt: composed from an .ini file

	Chi  = "chi"  // only the handlers behind chi's router, without sessions
	Hand = "hand" // the same behind hand-written middlewares: a signed id and a buffered response

	BoltUpdate = "bbolt-update" // bbolt, one Update for each request
	BoltGroup  = "bbolt-group"  // bbolt behind a hand-written group commit

	SCSMemory    = "scs-memstore"
	SCSMemIdle   = "scs-memstore-idle"
	SCSBolt      = "scs-boltstore"
	SCSBoltIdle  = "scs-boltstore-idle"  // with IdleTimeout: a session lives as long as it is used
	SCSBoltTuned = "scs-boltstore-tuned" // with the options of bbolt that Pasteline uses

	GorillaCookie     = "gorilla-cookie"     // the session is in the cookie; nothing is stored
	GorillaFilesystem = "gorilla-filesystem" // a file for each session

	PastelinePostgres = "pasteline-postgres"
	SCSPostgres       = "scs-pgxstore"     // without a transaction
	SCSPostgresTx     = "scs-pgxstore-tx"  // the session commits with the request's transaction
	PgxSerializable   = "pgx-serializable" // a table, and a hand-written loop
	CockroachRetry    = "cockroach-retry"  // the same, with cockroach-go's helper

	FileServer = "http-fileserver" // http.FileServer for the files of Settings.Dir
)

var openers = map[string]func(ctx context.Context, s Settings, site *Site) error{
	Pasteline:         openPastelineSite,
	Chi:               openChi,
	Hand:              openHand,
	BoltUpdate:        openBoltUpdate,
	BoltGroup:         openBoltGroup,
	SCSMemory:         openSCSMemory,
	SCSMemIdle:        openSCSMemoryIdle,
	SCSBolt:           openSCSBolt,
	SCSBoltIdle:       openSCSBoltIdle,
	SCSBoltTuned:      openSCSBoltTuned,
	GorillaCookie:     openGorillaCookie,
	GorillaFilesystem: openGorillaFilesystem,
	PastelinePostgres: openPastelinePostgres,
	SCSPostgres:       openSCSPostgres,
	SCSPostgresTx:     openSCSPostgresTx,
	PgxSerializable:   openPgxSerializable,
	CockroachRetry:    openCockroachRetry,
	FileServer:        openFileServer,
}

// Names returns the names of all sites, sorted.
func Names() []string {
	names := make([]string, 0, len(openers))
	for name := range openers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// NeedsPostgres reports whether the site of that name keeps its data in PostgreSQL.
func NeedsPostgres(name string) bool {
	return slices.Contains([]string{
		PastelinePostgres, SCSPostgres, SCSPostgresTx, PgxSerializable, CockroachRetry,
	}, name)
}

// Counts reports whether the site of that name has the pages /read and /incr.
func Counts(name string) bool { return !slices.Contains([]string{Chi, Hand, FileServer}, name) }

// Open opens the site of that name. The caller closes it.
func Open(ctx context.Context, name string, s Settings) (*Site, error) {
	open, ok := openers[name]
	if !ok {
		return nil, fmt.Errorf("no site %q; have: %s", name, strings.Join(Names(), ", "))
	}
	site := &Site{}
	if err := open(ctx, s, site); err != nil {
		return nil, fmt.Errorf("%s: %w", name, errors.Join(err, site.Close()))
	}
	return site, nil
}

func openChi(_ context.Context, _ Settings, site *Site) error {
	site.Handler = routes(nil)
	return nil
}

func openFileServer(_ context.Context, s Settings, site *Site) error {
	site.Handler = http.FileServer(http.Dir(s.Dir))
	return nil
}
