// Package handover keeps the listening sockets of a program open while another process restarts it,
// so that clients wait for the new process instead of being refused.
//
//	keeper, err := handover.NewKeeper()    // in the process that starts the program
//	err = keeper.Start(cmd)                // each time
//
//	l, err := handover.Listen("tcp 127.0.0.1:6543", open) // in the program
//	handover.Settle()                      // after all calls of Listen
//
// The first process of the program opens its sockets, and sends copies of them to the keeper through
// a socket pair. The keeper passes them to the next process as inherited files. While no process
// accepts connections, they wait in the queues of the sockets.
//
// In a process that was not started by a keeper, Listen opens the socket, and Settle does nothing.
//
// # Caveats
//
// It is for TCP sockets. On systems other than unix, NewKeeper returns nil, which keeps nothing.
package handover
