// Package prefix is a filter that tells an app behind a proxy what its URLs look like from outside: below which path, at
// which host and port, and with which scheme. It is PasteDeploy's prefix filter (PrefixMiddleware).
//
// In an .ini:
//
//	[filter:proxy]
//	use = egg:PasteDeploy#prefix
//	prefix = /james
//	trusted_proxies = 127.0.0.1 ::1
//
// In Go code, [New].
//
// # What it does to a request
//
// The prefix is cut off the path if the proxy has left it there, and is the script name of all requests (see package
// mount). X-Forwarded-For becomes the RemoteAddr, with port 0; X-Forwarded-Scheme, or else X-Forwarded-Proto, the scheme,
// which is in the request's URL.Scheme; X-Forwarded-Host, or else X-Forwarded-Server, the Host. Of these the fields count that
// trusted_proxy_headers names: For and Proto if it is not given. All of them are taken out of the header, as in the original. force_port and scheme come last, and apply to every
// request.
//
// # Whom it believes
//
// Anybody can send such fields. So they count only if the connection comes from one of trusted_proxies: addresses, networks
// (10.0.0.0/8), "unix" for every unix socket that the server listens on, or "unix:/run/site.sock" for one. Of several addresses in X-Forwarded-For the visitor's is the last one that
// is not a trusted proxy itself, since whatever is in front of it the visitor may have invented; and of the other fields the element
// which that many proxies back has added. The fields of others are left alone, and the log says so once.
//
// # Where it differs from PasteDeploy
//
//   - The original believes all five fields, of which many proxies set For and Proto alone: a visitor could name the host of all
//     links, or a scheme that costs a cookie its Secure. Here trusted_proxy_headers names what is believed.
//   - The original believes everybody, and takes the first address and host of a list, which are the visitor's own claim.
//   - The prefix is text, and ends at a slash: the original makes it a pattern, and takes /james off /jamestown.
//   - Without a prefix, or with "/", the script name stays what it is, so that the filter can stand below a urlmap; the original clears
//     it.
//   - A forwarded scheme other than http or https, and a forwarded host that can't be one, do not count.
//   - force_port keeps the brackets of an IPv6 address.
//
// # Caveats
//
// Name in trusted_proxy_headers only what the outermost proxy sets for every request: what it hands on as it came is the visitor's
// own claim.
//
// The filter belongs in front of all that looks at addresses, schemes or hosts: access logs, browserid with vary, urlmap with
// domains.
package prefix
