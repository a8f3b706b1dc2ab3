// Package sites has the contenders: the same small site made with Pasteline, and with each of what one would use instead.
//
// A site counts for every browser (GET /read, POST /incr), and has pages that need no session. Whatever differs is below
// [Counter], and in the filters around the handlers.
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

// Close gives back what the site has opened, in reverse order.
func (s *Site) Close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (s *Site) onClose(f func() error) { s.closers = append(s.closers, f) }

// Settings are what a site needs from outside.
type Settings struct {
	Dir      string // a folder for its files
	Postgres string // the URI of a PostgreSQL database; only those sites need it whose name says so
}

// The names of the sites.
const (
	Pasteline = "pasteline" // browserid, retry, tm, sessions on bolt: composed from an .ini file

	Chi  = "chi"  // the handlers behind chi's router, and nothing else: no sessions
	Hand = "hand" // the same behind hand-written middlewares: a signed browser id, and a response held in a pooled buffer

	BoltUpdate = "bbolt-update" // bbolt alone, one Update for each request
	BoltGroup  = "bbolt-group"  // bbolt behind a hand-written group commit: the practical limit

	SCSMemory   = "scs-memstore"
	SCSBolt     = "scs-boltstore"
	SCSBoltIdle = "scs-boltstore-idle" // with IdleTimeout: the life of a session is then as ours
	SCSMemIdle  = "scs-memstore-idle"

	GorillaCookie     = "gorilla-cookie"     // the session is in the cookie: nothing is durable, nothing is counted but by the browser
	GorillaFilesystem = "gorilla-filesystem" // a file for each session

	PastelinePostgres = "pasteline-postgres"
	SCSPostgres       = "scs-pgxstore"     // without a transaction
	SCSPostgresTx     = "scs-pgxstore-tx"  // the session commits with the request's transaction
	PgxSerializable   = "pgx-serializable" // a table of one's own, and a hand-written loop
	CockroachRetry    = "cockroach-retry"  // the same, with cockroach-go's helper
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
	GorillaCookie:     openGorillaCookie,
	GorillaFilesystem: openGorillaFilesystem,
	PastelinePostgres: openPastelinePostgres,
	SCSPostgres:       openSCSPostgres,
	SCSPostgresTx:     openSCSPostgresTx,
	PgxSerializable:   openPgxSerializable,
	CockroachRetry:    openCockroachRetry,
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
	return slices.Contains([]string{PastelinePostgres, SCSPostgres, SCSPostgresTx, PgxSerializable, CockroachRetry}, name)
}

// Open opens the site of that name. Whoever opens it closes it.
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
