// Package bench measures Pasteline against its alternatives, which do the same work through the
// same handlers.
//
// The benchmarks are in its tests; README.md describes how to run and to read them. It is a
// separate module, so that the dependencies of the peers stay out of the product's go.mod.
package bench
