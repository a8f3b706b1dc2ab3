package metrics

import (
	"maps"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pasteline/pasteline/internal/request/spill"
	"github.com/pasteline/pasteline/internal/status"
	"github.com/pasteline/pasteline/internal/version"
	"github.com/pasteline/pasteline/storage"
)

// A collector measures the site, its databases and its buffers when it is asked.
type collector struct {
	site   *status.Site
	opener *storage.Opener
}

// Describe sends nothing, as the metrics depend on the databases.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends all values.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := sender{to}
	c.buffers(s)
	c.reloads(s)
	c.recovery(s)
	c.databases(s)
	info, _ := debug.ReadBuildInfo()
	s.gauge("build_info", "1, with the versions as labels.", 1,
		label{"version", version.Of(info)}, label{"goversion", runtime.Version()})
}

func (c *collector) buffers(s sender) {
	used := spill.InUse()
	s.gauge("buffer_memory_bytes", "Bytes that the bodies of requests and responses occupy in "+
		"memory, those below 16 KB left out.", float64(used.Memory))
	s.gauge("buffer_file_bytes", "Bytes that the bodies of requests and responses occupy in "+
		"temporary files.", float64(used.Files))
	s.gauge("buffer_reserve_used_bytes", "Bytes of memory that bodies have borrowed from the "+
		"reserve that all share.", float64(used.Borrowed))
	s.gauge("buffer_reserve_bytes", "Size of the reserve.", spill.Reserve)
}

func (c *collector) reloads(s sender) {
	if c.site == nil {
		return
	}
	loads := c.site.Loads()
	const name, help = "config_reloads_total", "Reloads of the configuration, by their result."
	s.counter(name, help, float64(loads.Reloads), label{"result", success})
	s.counter(name, help, float64(loads.Failures), label{"result", failure})
	s.gauge("config_last_load_successful",
		"1, or 0 if the last reload failed and the old pipeline went on.", number(!loads.Failed))
	if !loads.Last.IsZero() {
		s.gauge("config_last_load_timestamp_seconds",
			"When the last load that succeeded ended.", float64(loads.Last.UnixMilli())/1000)
	}
	s.gauge("draining", "1 once the server is about to stop, else 0.", number(c.site.Draining()))
}

func (c *collector) recovery(s sender) {
	stats, runs := c.site.Recovery()
	if !runs {
		return
	}
	s.gauge("transactions_in_doubt", "Prepared parts of transactions that the last pass of crash "+
		"recovery could not settle, and databases that it could not ask.", float64(stats.InDoubt))
	const name, help = "recovery_settled_total",
		"Prepared parts of transactions that crash recovery has settled, by the verdict."
	s.counter(name, help, float64(stats.Finished), label{"verdict", "committed"})
	s.counter(name, help, float64(stats.Aborted), label{"verdict", "rolled_back"})
	s.counter("recovery_failures_total", "Errors of crash recovery.", float64(stats.Failures))
	s.counter("recovery_passes_total", "Complete passes of crash recovery.", float64(stats.Passes))
	if !stats.LastPass.IsZero() {
		s.gauge("recovery_last_pass_timestamp_seconds", "When the last complete pass of crash "+
			"recovery ended.", float64(stats.LastPass.UnixMilli())/1000)
	}
}

// gaugeHelp describes the gauges of the engines in this project, by their names.
var gaugeHelp = map[string]string{
	"file_size_bytes":            "Size of the file.",
	"free_pages":                 "Pages of the file that later writes can use.",
	"free_bytes":                 "Size of those pages.",
	"open_readers":               "Transactions that read the file.",
	"pool_connections":           "Open connections.",
	"pool_connections_used":      "Connections that are in use.",
	"pool_connections_max":       "The most connections that the pool opens.",
	"pool_acquires_total":        "How often a connection was taken from the pool.",
	"pool_waits_total":           "How often a transaction had to wait for a connection.",
	"pool_waits_cancelled_total": "How often such a wait was given up.",
	"pool_wait_seconds_total":    "Time of these waits.",
	"pool_connects_total":        "Connections that were opened.",
	"predicate_locks":            "Predicate locks that are held in the server.",
	"predicate_locks_capacity":   "The most predicate locks that the server can hold.",
	"oldest_transaction_seconds": "Age of the oldest open transaction in the server.",
}

// gaugeName is the form of an engine's names. An engine of another package may have others.
var gaugeName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (c *collector) databases(s sender) {
	all := c.opener.Gauges()
	for _, db := range slices.Sorted(maps.Keys(all)) {
		at := label{"database", strings.ToValidUTF8(db, "?")}
		for _, name := range slices.Sorted(maps.Keys(all[db])) {
			if !gaugeName.MatchString(name) {
				continue
			}
			help := gaugeHelp[name]
			if help == "" {
				help = "A value that the storage engine measures."
			}
			send := s.gauge
			if strings.HasSuffix(name, "_total") {
				send = s.counter
			}
			send("database_"+name, help, all[db][name], at)
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type label struct{ name, value string }

// A sender sends values that were measured just now.
type sender struct{ to chan<- prometheus.Metric }

func (s sender) gauge(name, help string, value float64, labels ...label) {
	s.send(prometheus.GaugeValue, name, help, value, labels)
}

func (s sender) counter(name, help string, value float64, labels ...label) {
	s.send(prometheus.CounterValue, name, help, value, labels)
}

func (s sender) send(typ prometheus.ValueType, name, help string, value float64, labels []label) {
	var names, values []string
	for _, l := range labels {
		names, values = append(names, l.name), append(values, l.value)
	}
	desc := prometheus.NewDesc(prometheus.BuildFQName(prefix, "", name), help, names, nil)
	m, err := prometheus.NewConstMetric(desc, typ, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	s.to <- m
}
