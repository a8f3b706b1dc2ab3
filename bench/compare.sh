#!/usr/bin/env bash
# Compares two commits of the product: compare.sh OLD NEW [REGEXP]
#
# Both are measured by this bench folder, so the packages that it imports must have the same API in
# them. REGEXP selects benchmarks; all of Pasteline if it is not given. The commits alternate, COUNT
# times (6), and benchstat compares them.
set -euo pipefail
cd "$(dirname "$0")"

old=${1:?the older commit}
new=${2:?the newer commit}
only=${3:-}
count=${COUNT:-6}
work=$(mktemp -d)
cleanup() {
	for side in old new; do
		git worktree remove --force "$work/$side" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap cleanup EXIT

prepare() { # SIDE COMMIT
	git worktree add --quiet --detach "$work/$1" "$2"
	rm -rf "$work/$1/bench"
	mkdir "$work/$1/bench"
	git ls-files -z --cached --others --exclude-standard . | xargs -0 cp --parents -t "$work/$1/bench"
	(cd "$work/$1/bench" && go test -mod=mod -c -o "$work/$1.test" .) ||
		{ echo "compare.sh: the benchmarks don't build with $2" >&2; exit 1; }
}
prepare old "$old"
prepare new "$new"

# Package testing matches the parts of a name between slashes one by one, so benchmarks of different
# depth need a pattern each.
patterns=("$only")
[ -n "$only" ] || patterns=('./who=pasteline$' '././who=pasteline$' './././who=pasteline$')
mkdir -p out/compare
for side in old new; do : >"out/compare/$side.txt"; done
for _ in $(seq "$count"); do
	for pattern in "${patterns[@]}"; do
		for side in old new; do
			"$work/$side.test" -test.run '^$' -test.bench "$pattern" -test.timeout 0 \
				-test.benchtime "${TIME:-1s}" >>"out/compare/$side.txt"
		done
	done
done
go tool benchstat "$old=out/compare/old.txt" "$new=out/compare/new.txt"
