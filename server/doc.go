// Package server is the HTTP server that the [server:] section of an .ini file configures.
//
//	[server:main]
//	use = egg:Paste#http
//	host = 0.0.0.0
//	port = 6543
//
// A program without an .ini file calls [New], then Listen, Serve, and at the end Shutdown.
// [Register] adds the same server to a registry, under the names that .ini files use.
//
// # Where it listens
//
// host and port set one address. listen, used instead of them, is a list of addresses, in
// Waitress's form and two more:
//
//	listen = 127.0.0.1:8080 [::1]:8080 unix:/run/site.sock
//	listen = *:80
//	listen = systemd
//
// A unix socket left over by a server that has ended is replaced; a socket that another server
// answers at, and any other file, is not. It is removed on shutdown. systemd, or systemd:name for
// those of one FileDescriptorName=, uses the sockets that a .socket unit passes (LISTEN_FDS). They
// are used only if listen says so, so that the file alone decides where a server listens; passed
// sockets that are not used cause a warning.
//
// # TLS and HTTP/2
//
// With tls_certificate, or Paste's ssl_pem, the server speaks TLS at all of its addresses, and
// HTTP/2 with clients that support it. The files are checked when a connection is opened, at most
// once a second: a renewed certificate needs no restart. While certificate and key don't match, the
// old pair stays in use, which is logged. In an .ini file their paths start at its folder; those of
// unix sockets start at the working directory of the command, as with Waitress. h2c = true enables
// HTTP/2 without TLS, beside HTTP/1.1.
//
// # Proxies
//
// X-Forwarded-… and Forwarded are trusted if trusted_proxy names the peer and trusted_proxy_headers
// names the field. The rules are those of Waitress: of a list, the element added by the outermost
// of trusted_proxy_count proxies applies. The request then has the client's Host, URL.Scheme and
// RemoteAddr (with port 0 if the port is not known). Malformed fields are answered with 400. A
// scheme in the request line, as in GET https://…, is only the client's claim and is ignored; the
// host in it applies, as HTTP demands. The server of Waitress removes all other fields of this
// kind; Paste's leaves them for the filter prefix, which has its own rules, unless
// clear_untrusted_proxy_headers is set.
//
// # Time limits
//
// A server without time limits can be kept busy by a few slow clients; one that limits the time of
// a whole request or response cuts long uploads, downloads and streams. So the limits here are on
// progress: ReadTimeout is the longest wait for the next piece of a request's body, WriteTimeout
// the longest wait until the client accepts the next piece of the response. An upload of hours and
// an endless stream are served, a client that stops is not. A handler can set stricter limits with
// [http.ResponseController]; a read deadline has no effect after the end of the body.
//
// # Panics
//
// A panic of a handler is logged once, with its stack, and answered with 500. If the response has
// begun, it is cut: the connection ends before the end of the body, or the HTTP/2 stream is reset.
// Filters and middleware see the original panic first; one with [http.ErrAbortHandler] is passed on
// to net/http. A program that uses another server gets the same from [AnswerPanics].
//
// # Shutdown
//
// Shutdown stops accepting at once and waits for running requests for at most ShutdownTimeout. Then
// it cancels the contexts of the remaining requests and closes their connections. The first request
// of a connection that was accepted before is answered. If none arrives, since browsers open
// connections in advance, the connection is closed after a second. An endless stream should end
// when Shutdown begins; the [http.Server] in its context announces it:
//
//	srv, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
//	srv.RegisterOnShutdown(f) // once for each server, not for each request
//
// # Caveats
//
// With HTTP/1, a connection is closed after the answer to a request that has, or may have, both
// Content-Length and Transfer-Encoding, as RFC 9112 demands. Net/http removes one of them silently,
// so the server inspects the received bytes. With TLS it can't, so every request with
// Transfer-Encoding: chunked is the last of its connection. Without TLS this happens occasionally
// too: if such a request is pipelined before one with a Content-Length, or if a body contained
// these words.
//
// A cut response is visibly broken if a part of it is missing. A response whose Content-Length has
// been sent completely is whole for its client, whatever the handler does then. Where only the end
// of the connection ends a response (with HTTP/1.0, which nginx speaks to a server unless
// proxy_http_version is set), the connection is reset, and data that the client has not yet read
// may be lost with it. A unix socket can't be reset, so a cut response looks whole there: configure
// the proxy to speak HTTP/1.1.
//
// host = 0.0.0.0 is the IPv4 wildcard alone, as in Python. An empty host or [::] accepts both
// families, but only IPv6 beside an IPv4 address with the same port, as in listen = 0.0.0.0:80
// [::]:80. Settings that only concern Python's servers, such as threads, are accepted without
// effect, with a warning. For the servers that are registered as egg:gunicorn#main and its aliases,
// that applies to every setting of the original server.
//
// The servers of flup spoke FastCGI, SCGI or AJP with the web server in front. This one speaks
// HTTP, with a warning.
//
// A client that has to wait because of max_connections gets no answer meanwhile: it waits in the
// queue of the system.
//
// Only Linux can set the permissions of a unix socket before it has a name. On other systems it has
// those of the process's umask for a moment: put it into a folder that is closed to others.
package server
