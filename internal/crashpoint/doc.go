// Package crashpoint names the moments at which a crash is told apart from every other: between the steps of a two-phase
// commit, say. In a program that was built with the tag crashpoints, the environment says where it dies:
//
//	PASTELINE_CRASH="after decision"      the first time that it gets there
//	PASTELINE_CRASH="after decision:3"    the third time
//
// It dies as by kill -9: nothing is written, closed or said. In every other program [Here] is empty, and costs nothing.
package crashpoint
