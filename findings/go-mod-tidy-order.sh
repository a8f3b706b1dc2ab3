#!/usr/bin/env bash
# Go 1.26.8 (any with "go mod tidy -diff", from 1.23 on); the two modules only fill go.sum.
#
# "go mod tidy" leaves a go.sum whose lines are in another order as it is and reports success, while
# "go mod tidy -diff", which is documented to print the changes that tidy would make, calls the same file
# untidy and fails. So after a merge that joined two parts of a go.sum, no number of runs of tidy makes a
# build that checks with -diff pass; deleting go.sum first does.
#
#	expected: after go mod tidy, go mod tidy -diff succeeds
#	seen: go mod tidy: status 0, go.sum unchanged; go mod tidy -diff: status 1
set -euo pipefail

dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOFLAGS=-mod=mod GOWORK=off GOMODCACHE="$dir/cache"

cat >go.mod <<'MOD'
module example.org/order

go 1.26

require (
	github.com/go-chi/chi/v5 v5.2.3
	github.com/google/go-cmp v0.7.0
)
MOD
cat >main.go <<'GO'
package main

import (
	_ "github.com/go-chi/chi/v5"
	_ "github.com/google/go-cmp/cmp"
)

func main() {}
GO
go version
echo "expected: after go mod tidy, go mod tidy -diff succeeds"
go mod tidy 2>/dev/null
go mod tidy -diff >/dev/null || { echo "changed: a fresh go.sum is not tidy"; exit 1; }

sort -r go.sum >reversed
cp reversed go.sum
go mod tidy
cmp -s go.sum reversed || { echo "changed: go mod tidy sorts go.sum"; exit 1; }

status=0
go mod tidy -diff >diff.txt || status=$?
echo "seen: go mod tidy: status 0, go.sum unchanged; go mod tidy -diff: status $status"
head -4 diff.txt
[ $status -ne 0 ] || { echo "changed: go mod tidy -diff accepts the order"; exit 1; }

rm go.sum
go mod tidy 2>/dev/null
go mod tidy -diff >/dev/null || { echo "changed: a fresh go.sum is not tidy"; exit 1; }
echo "after rm go.sum && go mod tidy: -diff succeeds"
