package session_test

import (
	"encoding/json"
	"os"
	"testing"
)

// testdata/session.json was recorded from repoze.session 0.3 on ZODB. This table lists all
// deliberate differences. Everything else must agree exactly, and each entry must be needed exactly
// as often as recorded here.
var differences = map[string]struct{ differs, why string }{
	// Differences in the traces.
	"begin-later": {
		"a begin event is sent when the session is got; here after the commit of the transaction " +
			"that stored it",
		"an event for a session that is never stored is of no use, nor is one from an attempt " +
			"that is run again",
	},
	"same-session": {
		"getting a session that is not stored yet twice in one transaction gives two, of " +
			"which the last is kept; here it gives one",
		"writes to the first one would be lost",
	},
	"dated-by-write": {
		"a new session is dated by the slice of the commit (or of the newest bucket, when the " +
			"clock stands back); " +
			"here by that of the first write",
		"the commit must not depend on code that runs in it; a session is at most one " +
			"request older",
	},
	"dated-ahead": {
		"a slice that lies ahead, because the clock was set back, stays; here one further ahead " +
			"than a timeout is replaced",
		"a session that a wrong clock dated would live until that time",
	},
	"gone": {
		"an invalidated session is still found by query and has_key, until a modified one takes " +
			"its place; " +
			"here it is gone at once",
		"a log-out takes effect at once",
	},
	"finished": {
		"a session can be written to after its transaction, with no effect; here that is an error",
		"a write that is not kept must not look successful",
	},
	"no-change": {
		"deleting a key that does not exist sets last_modified; here it changes nothing",
		"nothing was modified",
	},
	"no-key-error": {
		"pop and del of a key that does not exist raise KeyError; here they report it as a " +
			"result",
		"the idiom of Go",
	},
	"not-here": {
		"nonlazy managers, session objects of other classes, copies of sessions, last_modified " +
			"set by hand, get_head",
		"for the original's tests only, or part of its data structure",
	},
	"no-zero-timeout": {
		"a timeout of 0 ends a session with its slice; here 0 is the default, and 1 ms " +
			"does the same",
		"the zero Config is ready to use",
	},

	// Differences in conflicts between states of one session and between transactions.
	"same-key-conflicts": {
		"two states with equal data, or an equal time of modification, agree; here two " +
			"writes of one key conflict",
		"of two increments one would be lost",
	},
	"other-keys-merge": {
		"different data is a conflict; here only if both wrote or read the same key",
		"nothing is lost by merging",
	},
	"log-out-wins": {
		"an invalidation agrees with a write of the same data; here the second of the two " +
			"conflicts",
		"a slow request must not undo a log-out; run again, it finds a new session",
	},
	"states-are-whole": {
		"states without a time of modification, or with additional fields, are an error of " +
			"the original",
		"there are no such states here",
	},

	// Differences in conflicts between states of the manager.
	"slices-never-conflict": {
		"a list of slices that has moved on too far, or two settings, are a conflict; here no " +
			"two index entries conflict",
		"every entry is a key of its own, and the settings are not stored",
	},
}

// A tally counts how often each difference was needed.
type tally map[string]int

func (n tally) use(t *testing.T, difference string) {
	t.Helper()
	if _, ok := differences[difference]; !ok {
		t.Fatalf("no difference is called %q", difference)
	}
	n[difference]++
}

// A golden is the content of testdata/session.json.
type golden struct {
	Traces           []goldenTrace
	DataConflicts    []dataConflict    `json:"data_conflicts"`
	ManagerConflicts []managerConflict `json:"manager_conflicts"`
	Concurrent       []goldenConcurrent
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	data, err := os.ReadFile("testdata/session.json")
	must(t, err)
	must(t, json.Unmarshal(data, &g))
	if len(g.Traces) < 100 || len(g.DataConflicts) < 100 || len(g.ManagerConflicts) < 30 ||
		len(g.Concurrent) < 20 {
		t.Fatalf("testdata/session.json is not whole")
	}
	return g
}

// wantTally compares a tally with the expected counts.
func wantTally(t *testing.T, got tally, want tally) {
	t.Helper()
	for difference := range differences {
		if got[difference] != want[difference] {
			t.Errorf("difference %q: needed %d times, want %d", difference, got[difference],
				want[difference])
		}
	}
}

// concurrentDifferences lists the steps of the concurrent cases with another outcome here, and the
// final sessions where they differ, too.
var concurrentDifferences = map[string]struct {
	why   string
	steps map[int]string
	final map[string]map[string]any
}{
	"lost-update": {
		why:   "two increments are not one",
		steps: map[int]string{8: "conflict"},
	},
	"three-way": {
		why:   "three increments are not one",
		steps: map[int]string{10: "conflict", 11: "conflict"},
	},
	"same-value": {
		why:   "the same key was written by both",
		steps: map[int]string{8: "conflict"},
	},
	"invalidate-both": {
		why:   "only one of them can have ended it",
		steps: map[int]string{8: "conflict"},
	},
	"invalidate-vs-write": {
		why:   "an invalidated session is gone",
		steps: map[int]string{11: "null"},
	},
	"conflict-different-keys": {
		why:   "different keys merge",
		steps: map[int]string{8: "null"},
		final: map[string]map[string]any{"u": {"n": 4.0, "x": 1.0, "y": 1.0}},
	},
	"random-000": {
		why:   "the second get of a new session gives the first; the same key was written by both",
		steps: map[int]string{14: "2", 15: `{"n":2}`, 18: "conflict"},
	},
	"random-001": {
		why:   "the second get of a new session gives the first; the same key was written by both",
		steps: map[int]string{11: "2", 14: "conflict", 20: "3"},
		final: map[string]map[string]any{"u": {"n": 6.0}, "v": {"n": 3.0}},
	},
	"random-002": {
		why: "the snapshot is that of the first read, not of begin, so B has seen what A " +
			"committed before and does not " +
			"conflict; A does",
		steps: map[int]string{14: "6", 15: "7", 16: "null", 20: "conflict", 25: "8"},
		final: map[string]map[string]any{"u": {"n": 8.0, "x": 2.0, "y": 0.0}, "v": {"x": 1.0}},
	},
	"random-004": {
		why: "what a transaction wrote to a new session is there when it looks again",
		steps: map[int]string{
			10: `{"data":{"x":2},"valid":true}`,
			16: `{"data":{"y":2},"valid":true}`,
		},
	},
	"random-006": {
		why:   "the second get of a new session gives the first",
		steps: map[int]string{14: "2", 16: "3"},
		final: map[string]map[string]any{"u": {"n": 5.0}, "v": {"n": 3.0}},
	},
	"random-007": {
		why: "the snapshot is that of the first read, so C has seen what B committed " +
			"after C began",
		steps: map[int]string{23: "null"},
		final: map[string]map[string]any{"u": {"n": 8.0, "x": 0.0}, "v": {"n": 1.0}},
	},
	"random-008": {
		why: "the second get of a new session gives the first; the snapshot is that of the first " +
			"read, so A counts on " +
			"from what B committed",
		steps: map[int]string{
			6: "2", 7: `{"data":{"n":2},"valid":true}`, 8: "3", 16: "6",
			20: "4", 24: "7",
		},
		final: map[string]map[string]any{"u": {"n": 7.0}, "v": {"n": 4.0}},
	},
	"random-009": {why: "the same key was written by both", steps: map[int]string{33: "conflict"}},
}
