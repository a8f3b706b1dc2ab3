package errorpage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/transaction"
)

// remedies returns the causes that are known of an error, each with what to do.
func (s *site) remedies(err error, attempts []*attemptRecord) []remedy {
	var list []remedy
	switch {
	case errors.Is(err, transaction.ErrNoTransaction):
		list = append(list, s.noTransaction())
	case errors.Is(err, visitor.ErrNoID):
		list = append(list, s.noID())
	case errors.Is(err, visitor.ErrBehindTransaction):
		list = append(list, remedy{
			Cause: "browserid stands behind tm, so its cookie would be sent before the commit",
			Do:    "write browserid in front of retry and tm", Place: s.place,
		})
	case transaction.IsTransient(err):
		list = append(list, s.conflict(attempts))
	case errors.Is(err, context.DeadlineExceeded):
		list = append(list, slow(attempts))
	}
	for _, w := range s.warnings() {
		if w.Broken && !told(list, w.Text) {
			list = append(list, warned(w.Text))
		}
	}
	return list
}

// told reports whether a remedy tells of the missing filter that a warning is about.
func told(list []remedy, warning string) bool {
	return slices.ContainsFunc(list, func(r remedy) bool {
		return r.missing != "" && strings.Contains(warning, " needs "+r.missing+" ")
	})
}

// warned returns a warning about the file as a remedy.
func warned(text string) remedy {
	place, message, ok := strings.Cut(text, ": ")
	if !ok {
		return remedy{Cause: text}
	}
	why, do, ok := strings.Cut(message, "; ")
	if !ok {
		return remedy{Cause: message, Place: place}
	}
	return remedy{Cause: why, Do: do, Place: place}
}

// The filters that a remedy adds, by the names that files use.
const (
	tmName        = "egg:repoze.tm2#tm"
	retryName     = "egg:repoze.retry#retry"
	browserIDName = "browserid" // of the section that the remedy shows
)

// lines returns the pipeline of the file with the filters that a browser's transaction needs, in
// their order: browserid, if it is there or missing is its name, then the others, retry and tm.
func (s *site) lines(missing string) string {
	names := slices.Clone(s.filters)
	switch missing {
	case browserIDName:
		names = slices.Insert(names, 0, browserIDName)
	case retryName:
		at := max(slices.Index(names, s.tmName), 0)
		names = slices.Insert(names, at, retryName)
	case tmName:
		if !s.retry {
			names = append(names, retryName)
		}
		names = append(names, tmName)
	}
	return "pipeline =\n    " + strings.Join(append(names, s.application), "\n    ") + "\n"
}

func (s *site) noTransaction() remedy {
	if s.tm {
		return remedy{
			Cause: "the handler asked for a database or a session outside of the transaction of its " +
				"request, although the pipeline has a filter tm",
			Do: "pass the context of the request that the handler gets, r.Context(), and not " +
				"context.Background() or a context that was stored before; if the app stands in front of " +
				"tm, write tm in front of it",
			Place: s.place,
		}
	}
	do := "put egg:repoze.tm2#tm before the app, and egg:repoze.retry#retry before that, so that a " +
		"request that loses a conflict is run again"
	if s.retry {
		do = "put egg:repoze.tm2#tm behind retry and before the app"
	}
	return remedy{
		missing: "tm",
		Cause:   "no filter of the pipeline begins a transaction for the request: tm is missing",
		Do:      do,
		Place:   s.place, Lines: s.lines(tmName),
	}
}

func (s *site) noID() remedy {
	if s.browserID {
		return remedy{
			Cause: "the handler asked for the session of a context without a browser id, although the " +
				"pipeline has a filter browserid",
			Do: "pass the context of the request that the handler gets, r.Context(); outside of " +
				"requests, use session.WithID; if the app stands in front of browserid, write browserid " +
				"in front of it",
			Place: s.place,
		}
	}
	return remedy{
		missing: "browserid",
		Cause:   "no filter of the pipeline identifies the browser: browserid is missing",
		Do: "put a section with use = egg:repoze.browserid#browserid and its secret_key at the front " +
			"of the pipeline",
		Place: s.place,
		Lines: "[filter:browserid]\nuse = egg:repoze.browserid#browserid\nsecret_key_file = " +
			"%(here)s/secret\n\n" + s.lines(browserIDName),
	}
}

// conflict returns the remedy for a conflict that no further attempt has settled.
func (s *site) conflict(attempts []*attemptRecord) remedy {
	if !s.retry {
		return remedy{
			Cause: "another transaction changed what this one had read, and no filter runs the request " +
				"again: retry is missing",
			Do: "put egg:repoze.retry#retry before tm", Place: s.place,
			Lines: s.lines(retryName),
		}
	}
	lost := map[string]int{}
	hot, most, tries := "", 0, 0
	for _, a := range attempts {
		tries = max(tries, a.start.Tries)
		for _, c := range a.conflicts.all {
			key := strings.TrimSpace(c.Bucket + " " + c.Key)
			if key == "" {
				key = c.DB
			}
			if lost[key]++; lost[key] > most {
				hot, most = key, lost[key]
			}
		}
	}
	r := remedy{
		Cause: fmt.Sprintf("every attempt (%d of %d) was lost to another transaction", len(attempts), tries),
		Do: "make the transaction shorter, so that fewer others commit meanwhile; split a key that many " +
			"requests change; or raise tries of the filter retry",
	}
	switch {
	case most > 0:
		r.Cause += fmt.Sprintf("; the contended key is %q, over which %s", hot, times(most, "attempt was",
			"attempts were")+" lost")
	case tries == 1:
		r.Cause = "another transaction changed what this one had read, and the request has one attempt only"
		r.Do = "write retry in front of tm, and give it tries of 3 or more; then look at the order of " +
			"filters below"
	}
	return r
}

func times(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// slow returns where the time of a request went that was over.
func slow(attempts []*attemptRecord) remedy {
	r := remedy{
		Cause: "the time for the request was over",
		Do:    "see the times of the attempts below",
	}
	for _, a := range attempts {
		for _, c := range a.commits.all {
			if a.end.Duration > 0 && c.Duration > a.end.Duration/2 {
				r.Cause += fmt.Sprintf("; the commit of attempt %d took %s of %s", a.start.Number,
					shortTime(c.Duration), shortTime(a.end.Duration))
			}
		}
	}
	return r
}
