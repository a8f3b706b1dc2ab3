// Package translogger is a filter that writes an access log: lines in Apache's combined format, or
// records in the program's log. It corresponds to the filter of that name in Paste, the Python
// package for web pipelines.
//
// In Go code, [New] returns the middleware. In an .ini file, this filter writes lines to standard
// error (after egg: stands the name that a package gives to its filter; egg:pasteline#translogger
// is the same):
//
//	[filter:accesslog]
//	use = egg:Paste#translogger
//
// and this one records with attributes to the program's log, in the format (text, JSON) of that
// log:
//
//	[filter:accesslog]
//	use = egg:Paste#translogger
//	setup_console_handler = false
//
// A custom format has Python's syntax, with each % doubled because of the .ini file; records then
// have the formatted line as their message:
//
//	format = %%(REMOTE_ADDR)s %%(status)s %%(bytes)s %%(duration)s
//
// The names are REMOTE_ADDR, REMOTE_USER, REQUEST_METHOD, REQUEST_URI, HTTP_VERSION, HTTP_REFERER,
// HTTP_USER_AGENT, time, status, bytes, and, not in Paste, duration (in seconds) and cut. The word
// "combined" alone is the default format.
//
// # Responses that were cut off
//
// If a request fails after its response has begun, the response is cut off: the status has been
// sent already, and the client notices the failure because the end of the response is missing. The
// line of such a response ends with the word cut, unless the format contains the field of that
// name, whose value is cut or -; a record has the attribute cut. A panic of the handler is a
// separate attribute.
//
// # Where it differs from Paste
//
//   - A request is logged after the response, with the bytes that were sent; Paste logs it when the
//     response begins, with its Content-Length. The time is that of the beginning in both.
//   - The address is that of the connection. Paste trusts any X-Forwarded-For: put the filter
//     prefix in front, which trusts the configured proxies only.
//   - Quotes, backslashes and control characters in data from the client are escaped, as Apache
//     does, so that a client can't forge fields or lines.
//   - The user is that of HTTP basic authentication, verified or not, as with Apache.
//   - The date is in English, whatever the locale.
//
// # Caveats
//
// The filter should be the outermost in a pipeline. Inside of retry each attempt is logged, and
// inside of retry or tm the logged status is not the final one if the commit fails.
//
// The query of a URL is logged unchanged, so it must not contain secrets.
package translogger
