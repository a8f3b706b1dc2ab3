// Package prefix is a filter that gives an app behind a proxy the requests as the client sent them:
// path prefix, host, port, scheme and client address. It corresponds to the prefix filter
// (PrefixMiddleware) of PasteDeploy, the Python package that defined the format of the .ini files.
//
// In Go code, [New] returns the middleware. In an .ini file (after egg: stands the name that a
// package gives to its filter; egg:pasteline#prefix is the same):
//
//	[filter:proxy]
//	use = egg:PasteDeploy#prefix
//	prefix = /james
//	trusted_proxies = 127.0.0.1 ::1
//
// # Changes to a request
//
// The prefix is removed from the path if the proxy has left it there, and becomes the script name
// of all requests, that is, the part of the path below which the app is mounted (see package
// mount). X-Forwarded-For sets the RemoteAddr, with port 0. X-Forwarded-Scheme, or else
// X-Forwarded-Proto, sets the scheme, which is in the request's URL.Scheme. X-Forwarded-Host, or
// else X-Forwarded-Server, sets the Host. Only the fields named by trusted_proxy_headers are used:
// For and Proto by default. All of these fields are removed from the header, as by PasteDeploy.
// force_port and scheme are applied last, and to every request.
//
// # Trusted proxies
//
// Any client can send such fields. They are used only if the connection comes from one of
// trusted_proxies: addresses, networks (10.0.0.0/8), "unix" for every unix socket that the server
// listens on, or "unix:/run/site.sock" for one of them. Of several addresses in X-Forwarded-For,
// the client's is the last one that is not a trusted proxy itself, since the client may have
// invented those before it. Of a list in another field, the element is used that the same proxy
// added. Fields from other addresses are neither used nor removed, which is logged once.
//
// # Where it differs from PasteDeploy
//
//   - PasteDeploy trusts all five fields, although many proxies set only For and Proto: a client
//     could set the host of all links, or a scheme that removes Secure from a cookie. Here
//     trusted_proxy_headers names the trusted fields.
//   - PasteDeploy trusts every address, and takes the first address and host of a list, which the
//     client may have set.
//   - The prefix is plain text and ends at a slash. PasteDeploy treats it as a pattern, and removes
//     /james from /jamestown.
//   - Without a prefix, or with "/", the script name stays unchanged, so that the filter can stand
//     behind a urlmap; PasteDeploy clears it.
//   - A forwarded scheme other than http or https, and an invalid forwarded host, are ignored.
//   - force_port keeps the brackets of an IPv6 address.
//
// # Caveats
//
// Name in trusted_proxy_headers only fields that the outermost proxy sets for every request: a
// field that it passes on unchanged may be set by the client.
//
// The filter belongs in front of all filters that use addresses, schemes or hosts: access logs,
// browserid with vary, urlmap with domains.
package prefix
