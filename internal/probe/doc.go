// Package probe finds out what could be done with a file, and does not do it: for commands that look whether a program could
// start, and change nothing.
package probe
