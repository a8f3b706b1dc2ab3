// Package order has the rules about the order of filters: an app that works in a transaction needs
// the filter that begins it in front. The loader warns of each rule that a file breaks.
//
// A filter sees the request and the handlers behind it, not those in front: a retry filter behind a
// tm filter retries nothing, and an app with sessions fails at its first request if no browserid is
// in front of it. A factory declares with pipeline.Build's Offer the service of its object for the
// handlers behind it, and with Require the filters that have to be in front of it or behind it. After all
// objects are created, the loader follows each path from the server to an app, and warns of each
// [Requirement] that is not met, at the line where the filter or app was put into the tree.
//
// The names that filters and apps agree on are strings. Those of the standard filters are constants
// here, and a program adds its own: a program's filter that begins transactions offers [TM] as the
// standard one does.
package order

import "time"

// The names by which a [Requirement] refers to the filters of the standard set.
const (
	BrowserID = "browserid" // puts the browser's ID into the context; its value is a Cookie
	Retry     = "retry"     // runs a request again
	TM        = "tm"        // runs a request in a transaction
	Prefix    = "prefix"    // sets scheme, host and address of a request to those of the client
)

// A Cookie describes the cookie of a filter that offers [BrowserID].
type Cookie struct {
	Name     string
	Lifetime time.Duration // from the time of issue; 0 means until the browser is closed
	Lazy     bool          // issued only when the ID is asked for; apps ask the nearest filter
}

// A Place is the position, relative to an object, of the filters that a [Requirement] is about. A
// filter that a request meets earlier is in front.
type Place int

// The places. Where a composite branches, each path from the server to an app is checked
// separately.
const (
	InFront    Place = iota // such a filter must be in front
	NotInFront              // none may be in front
	Behind                  // such a filter must be behind, on at least one path
	NotBehind               // none may be behind
)

// A Requirement is a rule about the other filters on the paths of requests, which the object itself
// can't see.
type Requirement struct {
	Filter string // the name that those filters offer, such as TM
	Place  Place
	Else   string // the effect on requests if it is not met, and what to write instead
	Broken bool   // requests fail then, or a guarantee is lost; the warning says so

	// Only, if not nil, is called with the value that such a filter offers, and reports whether the
	// filter counts.
	Only func(value any) bool

	// Check, if not nil, is called with the value that the nearest such filter in front offers. It
	// returns the key of that filter's setting and the problem with it, or "" if it is valid.
	Check func(value any) (key, problem string)
}
