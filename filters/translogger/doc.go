// Package translogger is a filter that writes an access log: Apache's combined format, or records of the program's log. It is
// Paste's translogger.
//
// In an .ini, with standard error as the place:
//
//	[filter:accesslog]
//	use = egg:Paste#translogger
//
// and as records with attributes in the program's log, whose format (text, JSON) and place are those of that log:
//
//	[filter:accesslog]
//	use = egg:Paste#translogger
//	setup_console_handler = false
//
// A format of one's own is Python's, where each % is doubled for the sake of the .ini; records then have the formatted line as their
// message:
//
//	format = %%(REMOTE_ADDR)s %%(status)s %%(bytes)s %%(duration)s
//
// The names are REMOTE_ADDR, REMOTE_USER, REQUEST_METHOD, REQUEST_URI, HTTP_VERSION, HTTP_REFERER, HTTP_USER_AGENT, time, status, bytes, and
// beyond the original duration, in seconds, and cut. The word "combined" alone stands for the default format. In Go code, [New].
//
// # Responses that were cut
//
// A response that fails after it has begun is cut: the client sees it from the framing, but the status had been sent. The line
// of such a response ends with the word cut, unless the format names the field of that name, which is cut or -; a record has the
// attribute cut. That a handler panicked is an attribute of its own.
//
// # Where it differs from Paste
//
//   - A request is logged when it has been answered, with the bytes that were sent; the original logs it when the answer begins,
//     with what it says its length is. The time is that of the beginning in both.
//   - The address is that of the connection. The original believes any X-Forwarded-For: put the filter prefix in front, which
//     believes the proxies that it is told to.
//   - Quotes, backslashes and control characters in what a visitor has sent are escaped, as Apache does, so that
//     nobody can make up fields or lines.
//   - The user is the one of HTTP basic authentication, proved or not, as with Apache.
//   - The date is in English, whatever the locale.
//
// # Caveats
//
// The outermost place in a pipeline is the right one. Inside of retry each attempt is a line, and inside of retry or tm the status
// of an answer that a failing commit replaces is not known yet.
//
// The query of a URL is logged as it is; what is secret does not belong there.
package translogger
