// Package bench measures Pasteline against what one would use instead, doing the same work through
// the same handlers.
//
// The benchmarks are in its tests; README.md says how they are run and read. It is a module of its
// own, so that the peers' dependencies stay out of the product's go.mod.
package bench
