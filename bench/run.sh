#!/usr/bin/env bash
# Measures, and writes the table: run.sh go|e2e [RUN]
#
#   go    the Go benchmarks, and the site with a million sessions
#   e2e   the programs, driven over the loopback with wrk
#
# RUN is the name of the run, "first" if not given: what was measured goes to out/RUN, and RESULTS.md has a table for each run there
# is. A run may be measured in pieces; a piece that is measured again takes the place of the old one.
#
#   QUICK=1      a minute or two, to see that everything still works: the run is called quick, and the table is only printed
#   COUNT=6      how often
#   ONLY=REGEXP  only those Go benchmarks, and not the million
#   NOTE=TEXT    a sentence on top of RESULTS.md
set -euo pipefail
cd "$(dirname "$0")"

what=${1:?go or e2e}
run=${2:-first}
count=${COUNT:-6}
quick=${QUICK:-}
time=1s
clients=1,2,4,8,16,32,64
if [ -n "$quick" ]; then
	run=quick count=1 time=50x clients=1,8,64
fi
out=out/$run
mkdir -p "$out" bin

machine() {
	echo "commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- .. || echo ', with changes')"
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

case $what in
go)
	go test -c -o bin/bench.test .
	go build -o bin/million ./cmd/million
	# One pass over all benchmarks after the other, so that ours and its peers take turns.
	: >"$out/go.part"
	for _ in $(seq "$count"); do
		./bin/bench.test -test.run '^$' -test.bench "${ONLY:-.}" -test.benchtime "$time" -test.timeout 0 | tee -a "$out/go.part"
	done
	mv "$out/go.part" "$out/go.txt"
	if [ -z "${ONLY:-}" ]; then
		./bin/bench.test -test.run '^$' -test.bench Sweep -clients "$clients" -test.benchtime "$time" -test.timeout 0 | tee "$out/sweep.part"
		mv "$out/sweep.part" "$out/sweep.txt"
		./bin/million -count "$count" ${quick:+-quick} | tee "$out/million.part"
		mv "$out/million.part" "$out/million.txt"
	fi
	printf '\n'
	go tool benchstat -filter '.unit:(sec/op OR req/s OR allocs/op)' "$out/go.txt"
	;;
e2e)
	go build -o bin/e2e ./cmd/e2e
	./bin/e2e -count "$count" -clients "$([ -n "$quick" ] || echo "$clients")" ${REQUESTS:+-requests "$REQUESTS"} ${quick:+-quick} |
		tee "$out/e2e.part"
	mv "$out/e2e.part" "$out/e2e.txt"
	;;
*)
	echo "run.sh: go or e2e, not $what" >&2
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
