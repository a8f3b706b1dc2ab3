package results

import (
	"fmt"
	"math"
	"strings"
)

// kind is the comparison of a check.
type kind int

const (
	ratioAtMost  kind = iota // the medians of ours and the peer's
	ratioAtLeast             //
	noMore                   // the difference of the medians
	valueAtMost              // the median of ours
	worstAtMost              // the largest of ours
	worstAtLeast             // the smallest of ours
)

// A check is a figure and its bound.
type check struct {
	row        int
	work       string // that is measured; "" if it is that of the check before
	figure     string
	kind       kind
	ours, peer string // names of benchmarks
	unit       string
	bound      float64
}

// checks are the rows of the table.
var checks = []check{
	{
		1, "over HTTP: the first read of a session in its time slice, 1 connection",
		"a second, against scs + boltstore",
		ratioAtLeast, "HTTPFirst/slice=new/clients=1/who=pasteline",
		"HTTPFirst/slice=none/clients=1/who=scs-boltstore", "req/s", 1.2,
	},
	{
		1, "", "a second, against a read inside of the slice",
		ratioAtLeast, "HTTPFirst/slice=new/clients=1/who=pasteline",
		"HTTPFirst/slice=same/clients=1/who=pasteline", "req/s", 0.95,
	},

	{
		1, "over HTTP: the first read of a session in its time slice, 64 connections",
		"a second, against scs + boltstore",
		ratioAtLeast, "HTTPFirst/slice=new/clients=64/who=pasteline",
		"HTTPFirst/slice=none/clients=64/who=scs-boltstore", "req/s", 1.8,
	},
	{
		1, "", "a second, against a read inside of the slice",
		ratioAtLeast, "HTTPFirst/slice=new/clients=64/who=pasteline",
		"HTTPFirst/slice=same/clients=64/who=pasteline", "req/s", 0.95,
	},

	{
		2, "the same on PostgreSQL, 16 connections", "round trips of a request",
		valueAtMost, "PostgresFirst/slice=new/who=pasteline-postgres",
		"", "trips/op", 1.05,
	},

	{
		3, "a page of 1 kB without a session, behind browserid + retry + tm",
		"CPU time, against the handler behind chi",
		ratioAtMost, "Page/who=pasteline",
		"Page/who=chi", "cpu-ns", 2.5,
	},
	{
		3, "", "CPU time, against hand-written middlewares",
		ratioAtMost, "Page/who=pasteline",
		"Page/who=hand", "cpu-ns", 0.8,
	},
	{
		3, "", "allocations",
		valueAtMost, "Page/who=pasteline",
		"", "allocs/op", 5,
	},

	{
		4, "over HTTP: hello, a new visitor without a cookie", "a second, against scs + boltstore",
		ratioAtLeast, "HTTP/work=hello-new/clients=64/who=pasteline",
		"HTTP/work=hello-new/clients=64/who=scs-boltstore", "req/s", 1,
	},

	{
		5, "over HTTP: read", "a second, against hand-written bbolt",
		ratioAtLeast, "HTTP/work=read/clients=64/who=pasteline",
		"HTTP/work=read/clients=64/who=bbolt-group", "req/s", 0.95,
	},
	{
		5, "", "a second, against scs + boltstore",
		ratioAtLeast, "HTTP/work=read/clients=64/who=pasteline",
		"HTTP/work=read/clients=64/who=scs-boltstore", "req/s", 1.5,
	},

	{
		6, "over HTTP: incr, 64 connections", "a second, against a hand-written group commit",
		ratioAtLeast, "HTTP/work=incr/clients=64/who=pasteline",
		"HTTP/work=incr/clients=64/who=bbolt-group", "req/s", 0.9,
	},
	{
		6, "", "a second, against scs + boltstore",
		ratioAtLeast, "HTTP/work=incr/clients=64/who=pasteline",
		"HTTP/work=incr/clients=64/who=scs-boltstore", "req/s", 6,
	},

	{
		6, "over HTTP: incr, 1,024 connections", "a second, against a hand-written group commit",
		ratioAtLeast, "HTTP/work=incr/clients=1024/who=pasteline",
		"HTTP/work=incr/clients=1024/who=bbolt-group", "req/s", 0.8,
	},
	{
		6, "", "p99, against a hand-written group commit",
		ratioAtMost, "HTTP/work=incr/clients=1024/who=pasteline",
		"HTTP/work=incr/clients=1024/who=bbolt-group", "p99-ns", 1.3,
	},
	{
		6, "", "acknowledged increments lost",
		worstAtMost, "HTTP/work=incr/clients=1024/who=pasteline",
		"", "lost", 0,
	},

	{
		7, "durable session write, 64 clients, a session each (bolt)",
		"a second, against a hand-written group commit",
		ratioAtLeast, "Incr/clients=64/who=pasteline",
		"Incr/clients=64/who=bbolt-group", "req/s", 0.85,
	},
	{
		7, "", "a second, against scs + boltstore, same bbolt options",
		ratioAtLeast, "Incr/clients=64/who=pasteline",
		"Incr/clients=64/who=scs-boltstore-tuned", "req/s", 14,
	},

	{
		8, "the same, one client", "a second, against raw bbolt Update",
		ratioAtLeast, "Incr/clients=1/who=pasteline",
		"Incr/clients=1/who=bbolt-update", "req/s", 0.95,
	},

	{
		9, "one key of a session of 100 keys of 1 kB (bolt): read", "time, against scs + boltstore",
		ratioAtMost, "Keys/keys=100/work=read/who=pasteline",
		"Keys/keys=100/work=read/who=scs-boltstore", "ns/op", 0.03,
	},

	{
		9, "one key of a session of 100 keys of 1 kB (bolt): change",
		"time, against scs + boltstore",
		ratioAtMost, "Keys/keys=100/work=change/who=pasteline",
		"Keys/keys=100/work=change/who=scs-boltstore", "ns/op", 0.1,
	},

	{
		10, "PostgreSQL, 16 clients: session write",
		"a second, against scs + pgxstore without a transaction",
		ratioAtLeast, "Postgres/work=incr/who=pasteline-postgres",
		"Postgres/work=incr/who=scs-pgxstore", "req/s", 2,
	},

	{
		11, "PostgreSQL over HTTP: 64 connections on one session",
		"a second, against a hand-written SERIALIZABLE loop",
		ratioAtLeast, "PostgresOneSession/processes=1/who=pasteline-postgres",
		"PostgresOneSession/processes=1/who=pgx-serializable", "req/s", 5,
	},
	{
		11, "", "acknowledged increments lost",
		worstAtMost, "PostgresOneSession/processes=1/who=pasteline-postgres",
		"", "lost", 0,
	},

	{
		11, "the same, divided among three processes",
		"a second, against a hand-written SERIALIZABLE loop",
		ratioAtLeast, "PostgresOneSession/processes=3/who=pasteline-postgres",
		"PostgresOneSession/processes=3/who=pgx-serializable", "req/s", 2,
	},
	{
		11, "", "acknowledged increments lost",
		worstAtMost, "PostgresOneSession/processes=3/who=pasteline-postgres",
		"", "lost", 0,
	},

	{
		12, "start with 100,000 sessions in the file", "time to the first answer",
		valueAtMost, "StartWith/sessions=100k/who=pasteline",
		"", "start-ns", 50e6,
	},
	{
		12, "", "resident memory",
		valueAtMost, "StartWith/sessions=100k/who=pasteline",
		"", "rss-B", 40e6,
	},

	{
		12, "start with 1,000,000 sessions in the file", "time to the first answer",
		valueAtMost, "StartWith/sessions=1M/who=pasteline",
		"", "start-ns", 50e6,
	},
	{
		12, "", "resident memory",
		valueAtMost, "StartWith/sessions=1M/who=pasteline",
		"", "rss-B", 40e6,
	},

	{
		13, "1,000,000 sessions of two values of 200 B",
		"size of the file, against scs + boltstore",
		ratioAtMost, "Stored/sessions=1M/who=pasteline",
		"Stored/sessions=1M/who=scs-boltstore", "file-B", 0.6,
	},

	{
		14, "90 % of 100,000 sessions expired, and swept under load",
		"size of the file, against a compact copy",
		valueAtMost, "Shrink/who=pasteline",
		"", "growth", 2,
	},

	{
		15, "a static file of 1 MB over HTTP",
		"CPU time behind retry + tm, against http.FileServer",
		ratioAtMost, "Transfer/what=file/megabytes=1/who=pasteline",
		"Transfer/what=file/megabytes=1/who=http-fileserver", "cpu-ns", 1.2,
	},
	{
		15, "", "CPU time of the bare app, against http.FileServer",
		ratioAtMost, "Transfer/what=file/megabytes=1/who=pasteline-bare",
		"Transfer/what=file/megabytes=1/who=http-fileserver", "cpu-ns", 1.05,
	},

	{
		16, "a static file of 100 MB over HTTP, behind retry + tm", "first byte",
		valueAtMost, "Transfer/what=file/megabytes=100/who=pasteline",
		"", "first-byte-ns", 2e6,
	},
	{
		16, "", "bytes written to disk",
		valueAtMost, "Transfer/what=file/megabytes=100/who=pasteline",
		"", "disk-B", 0,
	},

	{
		17, "after 1,024 connections", "resident memory, against scs + boltstore",
		ratioAtMost, "MemoryAfter/connections=1024/who=pasteline",
		"MemoryAfter/connections=1024/who=scs-boltstore", "rss-B", 1,
	},

	{
		18, "three filters that do nothing, composed from an .ini", "time, against hand-wired",
		ratioAtMost, "Filters/who=pasteline",
		"Filters/who=hand", "ns/op", 1.05,
	},
	{
		18, "", "allocations, against hand-wired",
		noMore, "Filters/who=pasteline",
		"Filters/who=hand", "allocs/op", 0,
	},

	{
		19, "browserid, valid cookie, the whole filter",
		"time, against securecookie with its Nop codec",
		ratioAtMost, "Cookie/who=pasteline",
		"Cookie/who=securecookie-nop", "ns/op", 1,
	},
	{
		19, "", "time, against securecookie's default codec",
		ratioAtMost, "Cookie/who=pasteline",
		"Cookie/who=securecookie", "ns/op", 0.5,
	},
	{
		19, "", "allocations",
		valueAtMost, "Cookie/who=pasteline",
		"", "allocs/op", 4,
	},

	{
		20, "session read through the whole pipeline (bolt)", "time, against scs + memstore",
		ratioAtMost, "Read/who=pasteline",
		"Read/who=scs-memstore", "ns/op", 0.35,
	},
	{
		20, "", "time, against scs + boltstore with IdleTimeout",
		ratioAtMost, "Read/who=pasteline",
		"Read/who=scs-boltstore-idle", "ns/op", 0.02,
	},

	{
		21, "64 clients on one session (bolt)", "acknowledged increments lost",
		worstAtMost, "OneSession/clients=64/who=pasteline",
		"", "lost", 0,
	},
	{
		21, "", "succeeded",
		worstAtLeast, "OneSession/clients=64/who=pasteline",
		"", "succeeded", 0.99,
	},
	{
		21, "", "a second, against scs + boltstore",
		ratioAtLeast, "OneSession/clients=64/who=pasteline",
		"OneSession/clients=64/who=scs-boltstore", "req/s", 1,
	},

	{
		21, "the same over HTTP", "acknowledged increments lost",
		worstAtMost, "HTTPOneSession/who=pasteline",
		"", "lost", 0,
	},
	{
		21, "", "succeeded",
		worstAtLeast, "HTTPOneSession/who=pasteline",
		"", "succeeded", 0.99,
	},
	{
		21, "", "a second, against scs + boltstore",
		ratioAtLeast, "HTTPOneSession/who=pasteline",
		"HTTPOneSession/who=scs-boltstore", "req/s", 1,
	},

	{
		22, "over HTTP: hello, a returning browser with its cookie",
		"a second, against scs + boltstore",
		ratioAtLeast, "HTTP/work=hello-returning/clients=64/who=pasteline",
		"HTTP/work=hello-returning/clients=64/who=scs-boltstore", "req/s", 1,
	},
	{
		22, "", "a second, against a hand-written signed cookie",
		ratioAtLeast, "HTTP/work=hello-returning/clients=64/who=pasteline",
		"HTTP/work=hello-returning/clients=64/who=bbolt-group", "req/s", 0.85,
	},

	{
		22, "over HTTP: hello, a new visitor without a cookie",
		"a second, against a hand-written signed cookie",
		ratioAtLeast, "HTTP/work=hello-new/clients=64/who=pasteline",
		"HTTP/work=hello-new/clients=64/who=bbolt-group", "req/s", 0.85,
	},

	{
		23, "PostgreSQL, 16 clients: session read",
		"a second, against scs + pgxstore without a transaction",
		ratioAtLeast, "Postgres/work=read/who=pasteline-postgres",
		"Postgres/work=read/who=scs-pgxstore", "req/s", 0.9,
	},

	{
		24, "from 1,000 to 1,000,000 sessions (bolt)", "time of a read, against that with 1,000",
		ratioAtMost, "Sessions/size=large/who=pasteline",
		"Sessions/size=few/who=pasteline", "ns/op", 1.5,
	},
	{
		24, "", "size of the file, one number each, against scs + boltstore",
		ratioAtMost, "File/values=1/who=pasteline",
		"File/values=1/who=scs-boltstore", "file-B", 0.6,
	},

	{
		25, "sweep of 100,000 expired among 1,000,000, under load", "longest wait of a commit",
		valueAtMost, "Sweep/part=whole/who=pasteline",
		"", "max-ns", 20e6,
	},
	{
		25, "", "time of a sweep of a tenth, against the whole",
		ratioAtMost, "Sweep/part=tenth/who=pasteline",
		"Sweep/part=whole/who=pasteline", "sweep-ns", 0.2,
	},

	{
		26, "1 MB response through retry + tm", "time, against a pooled copy",
		ratioAtMost, "Large/what=response/who=pasteline",
		"Large/what=response/who=hand", "ns/op", 1.5,
	},

	{
		26, "5 MB request body through retry + tm", "time, against a pooled copy",
		ratioAtMost, "Large/what=body/who=pasteline",
		"Large/what=body/who=hand", "ns/op", 1.5,
	},

	{
		26, "64 MB of both, four clients", "peak memory, against 5 MB",
		ratioAtMost, "Memory/megabytes=64/who=pasteline",
		"Memory/megabytes=5/who=pasteline", "peak-rss-B", 1.25,
	},

	{
		26, "256 MB of both, four clients", "peak memory, against 64 MB",
		ratioAtMost, "Memory/megabytes=256/who=pasteline",
		"Memory/megabytes=64/who=pasteline", "peak-rss-B", 1.1,
	},

	{
		27, "start to first answer", "time",
		valueAtMost, "Start/who=pasteline",
		"", "start-ns", 100e6,
	},

	{
		27, "resident memory", "idle",
		valueAtMost, "Start/who=pasteline",
		"", "rss-B", 30e6,
	},
	{
		27, "", "after ten million requests, against a twentieth of them",
		worstAtMost, "Growth/who=pasteline",
		"", "growth", 1.1,
	},
}

// Judged reports whether a check uses the benchmark of this name. The others are in the table of
// latencies, or in a plot, and need fewer samples.
func Judged(name string) bool {
	for _, c := range checks {
		if name == c.ours || name == c.peer {
			return true
		}
	}
	return false
}

// A verdict is the outcome of a check in one run.
type verdict struct {
	check
	ours, peer float64 // NaN if not measured
	value      float64 // that is compared with the bound
	low, high  float64 // the ratios of single samples, for checks with a peer
	measured   bool
	holds      bool
}

func (c check) judge(run *Run) verdict {
	v := verdict{check: c, ours: run.Median(c.ours, c.unit), peer: math.NaN(), low: math.NaN(),
		high: math.NaN()}
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

// spread returns the smallest and the largest ratio of two samples of the same round.
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

// The methods below return the cells of the table.

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

// quantity formats a figure with its unit.
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
