package server

import (
	"reflect"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
)

// Settings that have no meaning for a Go server. They are accepted, so that existing files can stay
// as they are.
type (
	pastePython struct {
		UseThreadpool    string `ini:"use_threadpool" help:"of Paste; has no effect: every request has its own goroutine"`
		Workers          string `ini:"threadpool_workers" help:"of Paste; has no effect: every request has its own goroutine"`
		SpawnIfUnder     string `ini:"threadpool_spawn_if_under" help:"of Paste; has no effect: every request has its own goroutine"`
		MaxRequests      string `ini:"threadpool_max_requests" help:"of Paste; has no effect: every request has its own goroutine"`
		HungLimit        string `ini:"threadpool_hung_thread_limit" help:"of Paste; has no effect: a goroutine can't be killed; the context of a request is cancelled when its client disconnects"`
		KillLimit        string `ini:"threadpool_kill_thread_limit" help:"of Paste; has no effect: a goroutine can't be killed; the context of a request is cancelled when its client disconnects"`
		DyingLimit       string `ini:"threadpool_dying_limit" help:"of Paste; has no effect: a goroutine can't be killed; the context of a request is cancelled when its client disconnects"`
		HungPeriod       string `ini:"threadpool_hung_check_period" help:"of Paste; has no effect: there are no threads"`
		MaxZombies       string `ini:"threadpool_max_zombie_threads_before_die" help:"of Paste; has no effect: there are no threads"`
		ThreadLogger     string `ini:"threadpool_logger" help:"of Paste; has no effect: there are no threads"`
		ThreadErrorEmail string `ini:"threadpool_error_email" help:"of Paste; has no effect: there are no threads"`
		DaemonThreads    string `ini:"daemon_threads" help:"of Paste; has no effect: shutdown_timeout limits running requests"`
		RequestQueueSize string `ini:"request_queue_size" help:"of Paste; has no effect: the system's own limit holds"`
		ProtocolVersion  string `ini:"protocol_version" help:"of Paste; has no effect: the client chooses"`
		SSLContext       string `ini:"ssl_context" help:"of Paste; has no effect: a Python object; use tls_certificate and tls_min_version"`
		StartLoop        string `ini:"start_loop" help:"of Paste; has no effect: the command serves until it is stopped"`
		Threads          string `ini:"threads" help:"of Waitress; has no effect: every request has its own goroutine"`
		AsyncoreUsePoll  string `ini:"asyncore_use_poll" help:"of Waitress; has no effect: Go's runtime waits for connections"`
	}
	waitressPython struct {
		Threads         string `ini:"threads" help:"of Waitress; has no effect: every request has its own goroutine"`
		AsyncoreUsePoll string `ini:"asyncore_use_poll" help:"of Waitress; has no effect: Go's runtime waits for connections"`
		LoopTimeout     string `ini:"asyncore_loop_timeout" help:"of Waitress; has no effect: Go's runtime waits for connections"`
		Backlog         string `ini:"backlog" help:"of Waitress; has no effect: the system's own limit holds"`
		RecvBytes       string `ini:"recv_bytes" help:"of Waitress; has no effect: net/http chooses the sizes of buffers"`
		SendBytes       string `ini:"send_bytes" help:"of Waitress; has no effect: net/http chooses the sizes of buffers"`
		InbufOverflow   string `ini:"inbuf_overflow" help:"of Waitress; has no effect: bodies are read as they arrive; the filter retry has highwater"`
		OutbufOverflow  string `ini:"outbuf_overflow" help:"of Waitress; has no effect: responses are sent as they are written; the filters retry and tm buffer them"`
		OutbufHigh      string `ini:"outbuf_high_watermark" help:"of Waitress; has no effect: a write of a handler waits for the client"`
		CleanupInterval string `ini:"cleanup_interval" help:"of Waitress; has no effect: idle connections are closed on time"`
		Lookahead       string `ini:"channel_request_lookahead" help:"of Waitress; has no effect: the context of a request is always cancelled when its client disconnects"`
		LogSocketErrors string `ini:"log_socket_errors" help:"of Waitress; has no effect: errors of clients are logged at level debug"`
		Tracebacks      string `ini:"expose_tracebacks" help:"of Waitress; has no effect: errors are logged, and never sent to clients"`
		ServerName      string `ini:"server_name" help:"of Waitress; has no effect: a request without a host gets none"`
		Sockets         string `ini:"sockets" help:"of Waitress; has no effect: a list of Python objects; listen = systemd uses open sockets"`
		SocketOptions   string `ini:"socket_options" help:"of Waitress; has no effect: a list of Python objects"`
	}
)

// warnPython warns about each such setting that is set.
func warnPython(b *pipeline.Build, settings any) {
	v := reflect.ValueOf(settings).Elem()
	for field, value := range v.Fields() {
		if value.String() != "" {
			_, why, _ := strings.Cut(field.Tag.Get("help"), ": ")
			b.Warn(field.Tag.Get("ini"), "this setting means something to a server in Python "+
				"only ("+why+"): it has no effect, leave it out")
		}
	}
}
