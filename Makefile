# Everything here is a plain go command; make only gives them names.
# `go test ./...` and `go run ./cmd/serve development.ini` need nothing but Go.

GOLANGCI := go tool -modfile=.ci/tools.mod golangci-lint
FUZZTIME ?= 30s

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve the tutorial's site on port 6543
	go run ./cmd/serve development.ini

.PHONY: test
test: ## all tests
	go test ./...

.PHONY: race
race: ## all tests with the race detector, as CI runs them
	go test -race -shuffle=on ./...

.PHONY: lint
lint: ## vet, golangci-lint and formatting
	go vet ./...
	$(GOLANGCI) run ./...

.PHONY: fmt
fmt: ## format every file
	$(GOLANGCI) fmt ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 30s)
	@go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r pkg dir; do \
		for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go 2>/dev/null | sed 's/^func //'); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
		done; \
	done

CRASHES ?= 1000

.PHONY: stress
stress: ## crash two-phase commits at each step, and CRASHES times (default 1000) at random moments; kill servers under load
	go test -count=1 -timeout 0 -v ./cmd/serve -run 'Lost|Killed|Cut|UnderLoad' -all
	go test -count=1 -timeout 0 -v ./internal/testing/crashtest -all -crashes $(CRASHES)
	STORAGETEST_LONG=1 go test -count=1 -timeout 0 -run Conformance ./storage/bolt ./storage/postgres

.PHONY: microbench
microbench: ## the packages' own benchmarks once, with allocations
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench
bench: ## measure against the peers (RUN=name, QUICK=1), and write bench/RESULTS.md
	bench/run.sh go $(RUN)

.PHONY: bench-e2e
bench-e2e: ## the same over HTTP, with wrk
	bench/run.sh e2e $(RUN)

.PHONY: bench-growth
bench-growth: ## memory over ten million requests (REQUESTS=)
	bench/run.sh growth $(RUN)

.PHONY: bench-soak
bench-soak: ## all kinds of load at once for ten minutes (SOAK=10m); fails if memory grows or writes are lost
	bench/run.sh soak $(RUN)

.PHONY: bench-compare
bench-compare: ## compare two commits (OLD=, NEW=, ONLY=regexp)
	bench/compare.sh "$(OLD)" "$(NEW)" $(ONLY)

.PHONY: cover
cover: ## coverage by package, and coverage.html
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o coverage.html

.PHONY: update
update: ## rewrite the expected output of tests
	go test ./pipeline -update
	UPDATE_SCRIPTS=1 go test ./cmd/serve -run Script
	go generate ./docs

.PHONY: ci
ci: ## all checks that must pass before a change lands
	bash .ci/run
