// Package server listens and serves: what the [server:] section of an .ini file describes.
//
//	[server:main]
//	use = egg:Paste#http
//	host = 0.0.0.0
//	port = 6543
//
// A program that has no .ini file starts with [New], then calls Listen, Serve, and Shutdown when it is to end.
// [Register] puts the same server into a registry, under the names that .ini files use.
//
// # Where it listens
//
// host and port are for one address. Instead of them, listen has any number, in the form of Waitress and two more:
//
//	listen = 127.0.0.1:8080 [::1]:8080 unix:/run/site.sock
//	listen = *:80
//	listen = systemd
//
// A socket that a server which has ended left over is replaced, but not one at which somebody answers, nor any other file; it
// is removed on shutdown. systemd, or systemd:name for those of one FileDescriptorName=, takes the sockets that a .socket
// unit passes (LISTEN_FDS). They are never used unasked, so that the file alone says where a server listens; that some were
// passed and not asked for is a warning.
//
// # TLS and HTTP/2
//
// With tls_certificate, or Paste's ssl_pem, the server speaks TLS at all of its addresses, and HTTP/2 with clients that can.
// The files are looked at for new connections, once a second at most: a renewed certificate needs no restart. While the two
// files don't fit, the old certificate stays in use, which the log tells. In an .ini file their paths begin at its folder;
// those of unix sockets begin where the command runs, as with Waitress. h2c = true speaks HTTP/2 without TLS, beside
// HTTP/1.1.
//
// # Proxies
//
// What X-Forwarded-… and Forwarded say counts if trusted_proxy names the peer, and trusted_proxy_headers the field. The
// rules are those of Waitress: of a list, what the outermost of trusted_proxy_count proxies has added. The request then has
// the visitor's Host, URL.Scheme and RemoteAddr (with port 0 if that is not known). What can't be understood is answered
// with 400. A scheme in the request line, as in GET https://…, is nothing but the client's claim and never counts; the host in
// it does, as HTTP has it. The server of Waitress removes all other fields of this kind; Paste's leaves them, unless
// clear_untrusted_proxy_headers says otherwise, for the filter prefix, which has rules of its own.
//
// # Time limits
//
// A server that waits for ever for slow clients can be kept busy by a few of them; one that limits the time of a whole
// request or response cuts long uploads, downloads and streams. So the limits here are on progress: ReadTimeout is the
// longest wait for the next piece of a request's body, WriteTimeout the longest wait until the client takes the next
// piece of the response. An upload of hours and a stream without end are served, a client that has stopped is not. A
// handler can set stricter limits with [http.ResponseController]; one for reading has no effect when the body has come to its end.
//
// # Panics
//
// A panic of a handler is logged once, with its stack, and answered with 500. If the response has begun it is cut: the connection ends
// without the end of the body, or with HTTP/2 the stream is reset. Filters and middleware see the panic before, as it came; one with
// [http.ErrAbortHandler] is passed on to net/http. A program that serves in another way has the same by [AnswerPanics].
//
// # Shutdown
//
// Shutdown stops accepting at once, lets what runs go on for at most ShutdownTimeout, then cancels the contexts of the
// requests that are left and closes their connections. The first request of a connection that was accepted before is answered.
// If none comes, since browsers open connections in advance, the connection is closed after a second. A stream that would go on for ever should end by itself when
// Shutdown begins; it can be told so by the [http.Server] in its context:
//
//	srv, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
//	srv.RegisterOnShutdown(f) // once for each server, not for each request
//
// # Caveats
//
// With HTTP/1, a connection is closed after the answer to a request that has, or may have, a Content-Length beside a Transfer-Encoding,
// as RFC 9112 demands. Net/http removes one of them without a word, so the server looks at what it receives; with TLS it can't, and
// every request with Transfer-Encoding: chunked is its connection's last. So it is, now and then, without TLS: when one is sent ahead of a
// request with a Content-Length, or those words were in a body before.
//
// A cut response is visibly broken as long as something is missing of it. One that has a Content-Length, and all of it sent, is whole
// for its client, whatever the handler does then. Where only the end of the connection ends a response (with HTTP/1.0, which
// nginx speaks to a server unless proxy_http_version says otherwise), the connection is reset, and data that the client has not yet taken may
// be lost with it; a unix socket can't be reset, so there a response that is cut looks whole: let the proxy speak HTTP/1.1.
//
// host = 0.0.0.0 is the IPv4 wildcard alone, as in Python; an empty host or [::] takes both families, but beside an IPv4
// address with the same port, as in listen = 0.0.0.0:80 [::]:80, IPv6 alone.
// Settings that mean something to Python's servers only, such as threads, are accepted and have no effect; a warning says so. Of
// those servers that are here under the name egg:gunicorn#main and its aliases, that is so of any setting that the server has.
//
// The servers of flup spoke FastCGI, SCGI or AJP with the web server in front. This one speaks HTTP, which a warning says.
//
// A client that max_connections keeps waiting is not told: it waits in the queue of the system.
//
// Only Linux can give a unix socket its permissions before it has a name. Elsewhere it has those of the process's umask for
// a moment: put it into a folder that is closed to others.
package server
