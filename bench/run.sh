#!/usr/bin/env bash
# Measures, and writes the table: run.sh go|e2e|growth|soak [RUN]
#
#   go      the Go benchmarks, those of the plots, and a site with a million sessions
#   e2e     the programs, driven over the loopback with wrk
#   growth  ten million requests to Pasteline, with its memory
#   soak    ten minutes of all kinds of load at once
#
# RUN is the name of the run, "first" if not given: the figures are stored in out/RUN, and RESULTS
# has a table for each run in out. The parts of a run can be measured separately; a part that is
# measured again replaces the old one. The parts of go are benchmarks, sweep and million; those of
# e2e are http, first, postgres, stored, transfer and large.
#
#   QUICK=1      some minutes, to test that everything runs: the run is called quick, and the table
#                is only printed
#   COUNT=6      the number of rounds
#   ONLY=REGEXP  with go or benchmarks: only these Go benchmarks
#   REQUESTS=N   with growth: the number of requests
#   SOAK=10m     with soak: its duration
#   NOTE=TEXT    a sentence on top of RESULTS.md
set -euo pipefail
cd "$(dirname "$0")"

what=${1:?go, e2e, growth or soak}
run=${2:-first}
count=${COUNT:-6}
quick=${QUICK:-}
time=1s       # of a benchmark that waits for a disk or a server
brief=300ms   # of any other
plotted=500ms # of each point of a plot
clients=1,4,16,64,256,1024
if [ -n "$quick" ]; then
	run=quick count=1 time=50x brief=50x plotted=50x clients=1,8,64
fi
out=out/$run
mkdir -p "$out" bin

machine() {
	local changes='' model
	git diff --quiet HEAD -- .. ':!RESULTS.md' ':!plots' || changes=', with changes'
	model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -1)
	echo "commit: $(git rev-parse --short HEAD)$changes"
	echo "cpu: $model, $(getconf _NPROCESSORS_ONLN) cores"
	echo "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo 2>/dev/null)"
	echo "system: $(uname -srm)"
	echo "file system: $(df --output=fstype "${TMPDIR:-/tmp}" 2>/dev/null | tail -1)"
	echo "go: $(go env GOVERSION)"
	go list -m -f '{{if not (or .Indirect .Main .Replace)}}{{.Path}}: {{.Version}}{{end}}' all |
		sed '/^$/d'
	for postgres in /usr/lib/postgresql/*/bin/postgres; do
		[ -x "$postgres" ] && echo "postgres: $("$postgres" --version)"
	done
	command -v wrk >/dev/null &&
		echo "wrk: $(wrk --version 2>&1 | sed -n '1s/^wrk \(.*\) \[.*/\1/p')"
	return 0
}
machine >"$out/machine.txt"

# keep NAME COMMAND... prints the output of a command, and stores it as out/RUN/NAME.txt if the
# command succeeds.
keep() {
	"${@:2}" | tee "$out/$1.part"
	mv "$out/$1.part" "$out/$1.txt"
}

# passes runs all benchmarks repeatedly, so that Pasteline and its peers alternate. Benchmarks
# without a bound are left out after the second pass.
passes() {
	# BenchmarkSweep skips itself.
	local pass some waiting='Incr|OneSession|Keys|Postgres' steady='Filters|Cookie|Page|Large|Read'
	for pass in $(seq "$count"); do
		some=()
		[ "$pass" -le 2 ] || some=(-judged)
		gobench -test.bench "${ONLY:-.}" -test.skip "^Benchmark($waiting)\$" \
			-test.benchtime "$brief" "${some[@]}"
		gobench -test.bench "${ONLY:-.}" -test.skip "^Benchmark($steady)\$" \
			-test.benchtime "$time" "${some[@]}"
	done
}

gobench() {
	./bin/bench.test -test.run '^$' -test.timeout 0 "$@"
}

benchmarks() {
	go test -c -o bin/bench.test .
	keep go passes
}

sweep() {
	go test -c -o bin/bench.test .
	keep sweep gobench -test.bench Sweep -clients "$clients" -test.benchtime "$plotted"
}

million() {
	go build -o bin/million ./cmd/million
	keep million ./bin/million -count "$count" ${quick:+-quick}
}

# e2e PART... measures parts of cmd/e2e, each into a file of its name.
e2e() {
	local part
	go build -o bin/e2e ./cmd/e2e
	for part in "$@"; do
		keep "$part" ./bin/e2e -count "$count" ${REQUESTS:+-requests "$REQUESTS"} \
			${quick:+-quick} "$part"
	done
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
e2e) e2e http first postgres stored transfer large ;;
http | first | postgres | stored | transfer | large | growth) e2e "$what" ;;
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
# shellcheck disable=SC2086 # the names of runs have no spaces
go run ./cmd/report -o RESULTS.md -plots plots -note "${NOTE:-}" $runs
sed -n '/^## The run/,/^### Latency/{/^### Latency/!p}' RESULTS.md
