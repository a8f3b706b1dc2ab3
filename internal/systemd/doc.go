// Package systemd implements the two protocols between systemd and its services: socket activation
// and notification.
//
//	listeners, err := systemd.Listeners("") // the sockets of the .socket unit
//	notifier, err := systemd.NewNotifier(os.Getenv)
//	err = notifier.Ready("serving on http://127.0.0.1:80")
//
// Socket activation: systemd listens, and passes its sockets to the service as inherited files
// (LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES). [Listeners] returns them.
//
// Notification: the service reports its state as datagrams to a unix socket (NOTIFY_SOCKET), as
// sd_notify(3) does. A [Notifier] sends them. Units of Type=notify and Type=notify-reload need it.
//
// Both protocols are stable interfaces of systemd, and need no library. In a process that systemd
// did not start, the variables are not set, and all functions do nothing.
package systemd
