#!/usr/bin/env bash
# Measures, and writes the table: run.sh go|e2e|growth|soak [RUN]
#
#   go      the Go benchmarks, those of the plots, and the site with a million sessions
#   e2e     the programs, driven over the loopback with wrk
#   growth  ten million requests to ours, with a look at its memory
#   soak    ten minutes of everything at once
#
# RUN is the name of the run, "first" if not given: what was measured goes to out/RUN, and RESULTS.md has a table for each run there
# is. A run may be measured in pieces; a piece that is measured again takes the place of the old one. The pieces of go, benchmarks,
# sweep and million, can be named alone, too.
#
#   QUICK=1      a minute or two, to see that everything still works: the run is called quick, and the table is only printed
#   COUNT=6      how often
#   ONLY=REGEXP  with go or benchmarks: only those Go benchmarks
#   REQUESTS=N   with growth: how many requests
#   SOAK=10m     with soak: how long
#   NOTE=TEXT    a sentence on top of RESULTS.md
set -euo pipefail
cd "$(dirname "$0")"

what=${1:?go, e2e, growth or soak}
run=${2:-first}
count=${COUNT:-6}
quick=${QUICK:-}
time=1s       # of a benchmark that waits for a disk or a server
brief=300ms   # of one that does not, and is as steady with less
plotted=500ms # of each point of a plot
clients=1,2,4,8,16,32,64
if [ -n "$quick" ]; then
	run=quick count=1 time=50x brief=50x plotted=50x clients=1,8,64
fi
out=out/$run
mkdir -p "$out" bin

machine() {
	echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- .. ':!RESULTS.md' ':!plots' || echo ', with changes')"
	echo "cpu: $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -1), $(getconf _NPROCESSORS_ONLN) cores"
	echo "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo 2>/dev/null)"
	echo "system: $(uname -srm)"
	echo "file system: $(df --output=fstype "${TMPDIR:-/tmp}" 2>/dev/null | tail -1)"
	echo "go: $(go env GOVERSION)"
	go list -m -f '{{if not (or .Indirect .Main .Replace)}}{{.Path}}: {{.Version}}{{end}}' all | sed '/^$/d'
	for postgres in /usr/lib/postgresql/*/bin/postgres; do
		[ -x "$postgres" ] && echo "postgres: $("$postgres" --version)"
	done
	command -v wrk >/dev/null && echo "wrk: $(wrk --version 2>&1 | sed -n '1s/^wrk \(.*\) \[.*/\1/p')"
	return 0
}
machine >"$out/machine.txt"

# keep NAME COMMAND... shows what a command writes, and keeps it as out/RUN/NAME.txt if the command succeeds.
keep() {
	"${@:2}" | tee "$out/$1.part"
	mv "$out/$1.part" "$out/$1.txt"
}

# passes goes over all benchmarks, and then again, so that ours and its peers take turns. Those on which no bound hangs are left out
# after the second pass.
passes() {
	local pass some waiting='Incr|OneSession|Postgres' steady='Filters|Cookie|Page|Large|Read' # BenchmarkSweep skips itself
	for pass in $(seq "$count"); do
		some=()
		[ "$pass" -le 2 ] || some=(-judged)
		./bin/bench.test -test.run '^$' -test.bench "${ONLY:-.}" -test.skip "^Benchmark($waiting)\$" -test.benchtime "$brief" -test.timeout 0 "${some[@]}"
		./bin/bench.test -test.run '^$' -test.bench "${ONLY:-.}" -test.skip "^Benchmark($steady)\$" -test.benchtime "$time" -test.timeout 0 "${some[@]}"
	done
}

benchmarks() {
	go test -c -o bin/bench.test .
	keep go passes
}

sweep() {
	go test -c -o bin/bench.test .
	keep sweep ./bin/bench.test -test.run '^$' -test.bench Sweep -clients "$clients" -test.benchtime "$plotted" -test.timeout 0
}

million() {
	go build -o bin/million ./cmd/million
	keep million ./bin/million -count "$count" ${quick:+-quick}
}

# e2e PIECE [PART...] asks cmd/e2e for some parts.
e2e() {
	go build -o bin/e2e ./cmd/e2e
	keep "$1" ./bin/e2e -count "$count" -clients "$([ -n "$quick" ] || echo "$clients")" \
		${REQUESTS:+-requests "$REQUESTS"} ${quick:+-quick} "${@:2}"
}

case $what in
go)
	benchmarks
	if [ -z "${ONLY:-}" ]; then
		sweep
		million
	fi
	printf '\n'
	go tool benchstat -filter '.unit:(sec/op OR req/s OR allocs/op)' "$out/go.txt"
	;;
benchmarks | sweep | million) "$what" ;;
e2e) e2e e2e ;;
growth) e2e growth growth ;;
soak)
	go run ./soak -for "${SOAK:-10m}" | tee "$out/soak.part"
	mv "$out/soak.part" "$out/soak.log"
	;;
*)
	echo "run.sh: go, e2e, growth or soak, not $what" >&2
	exit 2
	;;
esac

printf '\n'
if [ -n "$quick" ]; then
	go run ./cmd/report -plots "$out/plots" "$out"
	exit
fi
runs=$(find out -mindepth 1 -maxdepth 1 -type d ! -name quick ! -name compare | sort)
# shellcheck disable=SC2086 # names of ours
go run ./cmd/report -o RESULTS.md -plots plots -note "${NOTE:-}" $runs
sed -n '/^## The run/,/^### Latency/{/^### Latency/!p}' RESULTS.md
