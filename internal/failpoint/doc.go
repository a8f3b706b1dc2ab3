// Package failpoint marks places in the code at which a test build can crash or pause, such as the
// steps of a two-phase commit. [Here] marks a place:
//
//	failpoint.Here("after decision")
//
// In a program that is built with the tag failpoints, an environment variable names the place where
// it crashes:
//
//	PASTELINE_CRASH="after decision"      at the first call
//	PASTELINE_CRASH="after decision:3"    at the third call
//
// The process kills itself with SIGKILL, so it neither writes nor closes anything. Another variable
// names the place where it pauses, while a test kills its server, or recovers in another process:
//
//	PASTELINE_PAUSE="before decision"     at every call
//	PASTELINE_PAUSE="before decision:3"   at the third call, and every later one
//
// It writes a line with the name of the place to file descriptor 3, and continues when it has read
// a byte from file descriptor 4, or that is at its end.
//
// In all other programs Here is an empty function.
package failpoint
