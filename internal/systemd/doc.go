// Package systemd holds the service's side of the two protocols that systemd has for its services.
//
// Socket activation: systemd listens, and passes its sockets to the service as inherited files
// (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES). [Listeners] returns them.
//
// Notification: the service reports its state as datagrams to a unix socket (NOTIFY_SOCKET), as
// sd_notify(3) does. A [Notifier] sends them. Units of Type=notify and Type=notify-reload need it.
//
// Both protocols are a few lines, fixed by systemd's interface promise, and use nothing of systemd:
// a process that systemd did not start finds no such variables, and everything here does nothing.
package systemd
