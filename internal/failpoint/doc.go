// Package failpoint names the moments at which a crash is told apart from every other: between the steps of a two-phase
// commit, say. In a program that was built with the tag failpoints, the environment says where it dies:
//
//	PASTELINE_CRASH="after decision"      the first time that it gets there
//	PASTELINE_CRASH="after decision:3"    the third time
//
// It dies as by kill -9: nothing is written, closed or said. Or the environment says where it waits, while somebody kills its server, or
// recovers in another process:
//
//	PASTELINE_PAUSE="before decision"     the first time that it gets there, and every time after that
//	PASTELINE_PAUSE="before decision:3"   the third time, and every time after that
//
// It writes the name of the place, as a line, to file descriptor 3, and goes on when it can read a byte from file descriptor 4. When that is at
// its end, it waits no more.
//
// In every other program [Here] is empty, and costs nothing.
package failpoint
