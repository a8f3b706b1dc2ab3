package results

import (
	"fmt"
	"math"
	"strings"
)

// kind says what a check compares.
type kind int

const (
	ratioAtMost  kind = iota // the medians of ours and the peer's
	ratioAtLeast             //
	noMore                   // the difference of the medians
	valueAtMost              // the median of ours
	worstAtMost              // the largest of ours
	worstAtLeast             // the smallest of ours
)

// A check is one figure that is asked for.
type check struct {
	row        int
	work       string // what is done
	figure     string // what is looked at
	kind       kind
	ours, peer string // names of benchmarks
	unit       string
	bound      float64
}

// checks is the table of what is asked for. Every row has at least one.
var checks = []check{
	{1, "three filters that do nothing, composed from an .ini", "time, against hand-wired", ratioAtMost, "Filters/who=pasteline", "Filters/who=hand", "ns/op", 1.05},
	{1, "", "allocations, against hand-wired", noMore, "Filters/who=pasteline", "Filters/who=hand", "allocs/op", 0},

	{2, "browserid, valid cookie, the whole filter", "time, against securecookie with its Nop codec", ratioAtMost, "Cookie/who=pasteline", "Cookie/who=securecookie-nop", "ns/op", 1},
	{2, "", "time, against securecookie's default codec", ratioAtMost, "Cookie/who=pasteline", "Cookie/who=securecookie", "ns/op", 0.5},
	{2, "", "allocations", valueAtMost, "Cookie/who=pasteline", "", "allocs/op", 4},

	{3, "browserid + retry + tm around 1 kB, no session", "time, against the bare handler behind chi", ratioAtMost, "Page/who=pasteline", "Page/who=chi", "ns/op", 3},
	{3, "", "allocations", valueAtMost, "Page/who=pasteline", "", "allocs/op", 12},

	{4, "session read through the whole pipeline (bolt)", "time, against scs + memstore", ratioAtMost, "Read/who=pasteline", "Read/who=scs-memstore", "ns/op", 0.35},
	{4, "", "time, against scs + boltstore with IdleTimeout", ratioAtMost, "Read/who=pasteline", "Read/who=scs-boltstore-idle", "ns/op", 0.02},

	{5, "durable session write, 64 clients, a session each (bolt)", "a second, against scs + boltstore", ratioAtLeast, "Incr/clients=64/who=pasteline", "Incr/clients=64/who=scs-boltstore", "req/s", 12},
	{5, "", "a second, against a hand-written group commit", ratioAtLeast, "Incr/clients=64/who=pasteline", "Incr/clients=64/who=bbolt-group", "req/s", 0.6},

	{6, "the same, one client", "a second, against raw bbolt Update", ratioAtLeast, "Incr/clients=1/who=pasteline", "Incr/clients=1/who=bbolt-update", "req/s", 0.9},

	{7, "64 clients on one session", "acknowledged increments lost", worstAtMost, "OneSession/clients=64/who=pasteline", "", "lost", 0},
	{7, "", "succeeded", worstAtLeast, "OneSession/clients=64/who=pasteline", "", "succeeded", 0.99},
	{7, "", "a second, against scs + boltstore", ratioAtLeast, "OneSession/clients=64/who=pasteline", "OneSession/clients=64/who=scs-boltstore", "req/s", 1},
	{7, "the same over HTTP", "acknowledged increments lost", worstAtMost, "HTTPOneSession/who=pasteline", "", "lost", 0},
	{7, "", "succeeded", worstAtLeast, "HTTPOneSession/who=pasteline", "", "succeeded", 0.99},
	{7, "", "a second, against scs + boltstore", ratioAtLeast, "HTTPOneSession/who=pasteline", "HTTPOneSession/who=scs-boltstore", "req/s", 1},

	{8, "over HTTP: hello, a returning browser with its cookie", "a second, against scs + boltstore", ratioAtLeast, "HTTP/work=hello-returning/who=pasteline", "HTTP/work=hello-returning/who=scs-boltstore", "req/s", 1},
	{8, "", "a second, against a hand-written group commit", ratioAtLeast, "HTTP/work=hello-returning/who=pasteline", "HTTP/work=hello-returning/who=bbolt-group", "req/s", 0.85},
	{8, "over HTTP: hello, a new visitor without a cookie", "a second, against scs + boltstore", ratioAtLeast, "HTTP/work=hello-new/who=pasteline", "HTTP/work=hello-new/who=scs-boltstore", "req/s", 1},
	{8, "", "a second, against a hand-written group commit", ratioAtLeast, "HTTP/work=hello-new/who=pasteline", "HTTP/work=hello-new/who=bbolt-group", "req/s", 0.85},
	{8, "over HTTP: read", "a second, against scs + boltstore", ratioAtLeast, "HTTP/work=read/who=pasteline", "HTTP/work=read/who=scs-boltstore", "req/s", 1.5},
	{8, "", "a second, against a hand-written group commit", ratioAtLeast, "HTTP/work=read/who=pasteline", "HTTP/work=read/who=bbolt-group", "req/s", 0.85},
	{8, "over HTTP: incr", "a second, against scs + boltstore", ratioAtLeast, "HTTP/work=incr/who=pasteline", "HTTP/work=incr/who=scs-boltstore", "req/s", 6},
	{8, "", "a second, against a hand-written group commit", ratioAtLeast, "HTTP/work=incr/who=pasteline", "HTTP/work=incr/who=bbolt-group", "req/s", 0.8},

	{9, "PostgreSQL, 16 clients: session read", "a second, against scs + pgxstore without a transaction", ratioAtLeast, "Postgres/work=read/who=pasteline-postgres", "Postgres/work=read/who=scs-pgxstore", "req/s", 0.9},
	{9, "PostgreSQL, 16 clients: session write", "a second, against scs + pgxstore without a transaction", ratioAtLeast, "Postgres/work=incr/who=pasteline-postgres", "Postgres/work=incr/who=scs-pgxstore", "req/s", 1},

	{10, "from 1,000 to 1,000,000 sessions (bolt)", "time of a read, against that with 1,000", ratioAtMost, "Sessions/size=large/who=pasteline", "Sessions/size=few/who=pasteline", "ns/op", 1.5},
	{10, "", "size of the file, against scs + boltstore", ratioAtMost, "File/values=1/who=pasteline", "File/values=1/who=scs-boltstore", "file-B", 0.6},

	{11, "sweep of 100,000 expired among 1,000,000, with commits going on", "longest wait of a commit", valueAtMost, "Sweep/part=whole/who=pasteline", "", "max-ns", 20e6},
	{11, "", "time of a sweep of a tenth, against the whole", ratioAtMost, "Sweep/part=tenth/who=pasteline", "Sweep/part=whole/who=pasteline", "sweep-ns", 0.2},

	{12, "1 MB response through retry + tm", "time, against a pooled copy", ratioAtMost, "Large/what=response/who=pasteline", "Large/what=response/who=hand", "ns/op", 1.5},
	{12, "5 MB request body through retry + tm", "time, against a pooled copy", ratioAtMost, "Large/what=body/who=pasteline", "Large/what=body/who=hand", "ns/op", 1.5},
	{12, "64 MB of both, four clients", "memory at most, against 5 MB", ratioAtMost, "Memory/megabytes=64/who=pasteline", "Memory/megabytes=5/who=pasteline", "peak-rss-B", 1.25},
	{12, "256 MB of both, four clients", "memory at most, against 64 MB", ratioAtMost, "Memory/megabytes=256/who=pasteline", "Memory/megabytes=64/who=pasteline", "peak-rss-B", 1.1},

	{13, "start to first answer", "time", valueAtMost, "Start/who=pasteline", "", "start-ns", 100e6},
	{13, "resident memory", "idle", valueAtMost, "Start/who=pasteline", "", "rss-B", 30e6},
	{13, "", "after many requests, against a twentieth of them", worstAtMost, "Growth/who=pasteline", "", "growth", 1.1},
}

// Judged reports whether a benchmark has a part in a check. Others are in the table of latencies, or in a plot, and need fewer samples.
func Judged(name string) bool {
	for _, c := range checks {
		if name == c.ours || name == c.peer {
			return true
		}
	}
	return false
}

// A verdict is what came of a check.
type verdict struct {
	check
	ours, peer float64 // NaN if there is none
	value      float64 // what is compared with the bound
	low, high  float64 // the ratios of single samples, where there are pairs
	measured   bool
	holds      bool
}

func (c check) judge(run *Run) verdict {
	v := verdict{check: c, ours: run.Median(c.ours, c.unit), peer: math.NaN(), low: math.NaN(), high: math.NaN()}
	switch c.kind {
	case worstAtMost:
		v.ours = run.Max(c.ours, c.unit)
	case worstAtLeast:
		v.ours = run.Min(c.ours, c.unit)
	}
	v.value = v.ours
	if c.peer != "" {
		v.peer = run.Median(c.peer, c.unit)
		if c.kind == noMore {
			v.value = v.ours - v.peer
		} else {
			v.value = v.ours / v.peer
			v.low, v.high = spread(run.Samples(c.ours, c.unit), run.Samples(c.peer, c.unit))
		}
	}
	v.measured = !math.IsNaN(v.value)
	switch c.kind {
	case ratioAtLeast, worstAtLeast:
		v.holds = v.value >= c.bound
	default:
		v.holds = v.value <= c.bound
	}
	return v
}

// spread returns the least and the most of the ratios of those samples that were taken one after the other.
func spread(ours, peer []float64) (low, high float64) {
	low, high = math.NaN(), math.NaN()
	for i := range min(len(ours), len(peer)) {
		ratio := ours[i] / peer[i]
		if !(low < ratio) {
			low = ratio
		}
		if !(high > ratio) {
			high = ratio
		}
	}
	return low, high
}

// Cells of the table.

func (v verdict) outcome() string {
	switch {
	case !v.measured:
		return "not measured yet"
	case v.holds:
		return "holds"
	default:
		return "**falls short**"
	}
}

func (v verdict) boundText() string {
	switch v.kind {
	case ratioAtMost:
		return "≤ " + number(v.bound) + " ×"
	case ratioAtLeast:
		return "≥ " + number(v.bound) + " ×"
	case noMore:
		return "no more"
	case worstAtLeast:
		return "≥ " + quantity(v.bound, v.unit)
	default:
		return "≤ " + quantity(v.bound, v.unit)
	}
}

func (v verdict) valueText() string {
	switch {
	case !v.measured:
		return ""
	case v.kind == noMore:
		return fmt.Sprintf("%+.0f", v.value)
	case v.peer == v.peer: // a number
		text := number(v.value) + " ×"
		if v.low != v.high && v.low == v.low {
			text += fmt.Sprintf(" (%s to %s)", number(v.low), number(v.high))
		}
		return text
	default:
		return ""
	}
}

func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case v == math.Trunc(v) && math.Abs(v) < 1e6:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) < 0.1:
		return strings.TrimRight(fmt.Sprintf("%.4f", v), "0")
	case math.Abs(v) < 100:
		return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// quantity writes a figure as people do.
func quantity(v float64, unit string) string {
	if math.IsNaN(v) {
		return ""
	}
	switch {
	case strings.HasSuffix(unit, "ns") || strings.HasPrefix(unit, "ns/"):
		switch {
		case v >= 1e9:
			return fmt.Sprintf("%.3g s", v/1e9)
		case v >= 1e6:
			return fmt.Sprintf("%.3g ms", v/1e6)
		case v >= 1e3:
			return fmt.Sprintf("%.3g µs", v/1e3)
		default:
			return fmt.Sprintf("%.3g ns", v)
		}
	case strings.HasSuffix(unit, "-B"):
		return fmt.Sprintf("%.1f MB", v/1e6)
	case unit == "req/s":
		return thousands(v) + "/s"
	case unit == "succeeded", unit == "lost":
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", 100*v), "0"), ".") + " %"
	case unit == "growth":
		return number(v) + " ×"
	default:
		return number(v)
	}
}

func thousands(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
