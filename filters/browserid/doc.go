// Package browserid gives every browser an id, in a signed cookie, under which an app can keep a
// session. It is a Go version of Python's repoze.browserid, with modern cookies; "the original"
// below is that Python package.
//
// In Go code, wrap a handler in the middleware that [New] returns. In an .ini file, name the
// filter (after egg: stands the name that a package gives to its filter; egg:pasteline#browserid is
// the same):
//
//	[filter:browserid]
//	use = egg:repoze.browserid#browserid
//	secret_key_file = %(here)s/secret
//
// [FromContext] returns the id in the handler; package session calls it for you. At log-in, the
// session manager's Renew gives the browser a new id, in the transaction of the request.
//
// # The cookie
//
// A cookie's value consists of the id (at least 160 random bits), the time of issue, and a tag: an
// HMAC-SHA256 of the id, the time and the values named by the setting vary, under a key that is
// derived from the secret and the cookie's name. A cookie that does not verify is never an error:
// the browser gets a new id. Of several cookies with the name (of several paths or domains), the
// newest valid one counts, so that the cookie of a log-in overrides one that is left from an
// earlier cookie_domain or cookie_path, or was planted before. Cookies of earlier builds, which
// have no time, are read, and replaced by a new one.
//
// The cookie is added when the response header is sent. A new browser gets one (with the setting
// lazy, only if the app used the id), and so does a browser whose id was renewed, or whose
// cookie was signed with an old secret. Such a response is marked "Cache-Control: private", unless
// its header forbids shared caches already.
//
// To change the secret, put the new one first and keep the old one for a while: as a second line in
// secret_key_file, or in old_secret_keys. Every browser that visits the site meanwhile gets a
// cookie signed with the new secret, with the same id.
//
// # Coming from repoze.browserid
//
// Every setting of the original exists under the same name. The behaviour differs as follows:
//
//   - The format of the cookie, unless compat is set; see [Compat] for how to migrate a site
//     request by request.
//   - HttpOnly and SameSite=Lax are set, and Secure for requests over https. With compat = repoze,
//     which reproduces the original's header exactly, they are set only if configured.
//   - New ids come from crypto/rand. The original makes them from the clock, the process id and a
//     number of eight digits. With compat = repoze they have the original's form: 40 hexadecimal
//     digits.
//   - The values named by vary are signed separately, not concatenated with the secret.
//   - An empty secret, a negative lifetime and booleans in an unknown spelling are refused. A
//     secret from a tutorial, one of less than 16 characters, and one of few different or repeated
//     characters are refused unless debug is true.
//   - In the original the last of several cookies with the name counts, and a malformed cookie of
//     another program (with an umlaut, say) hides those behind it. compat = repoze reads the header
//     in the same way, so that both parts of a site agree.
//
// # Caveats
//
// An id identifies a browser, not a person, and is only as secret as the cookie. Without https, an
// eavesdropper can read the cookie. Another host of the same domain can plant a cookie in your
// users' browsers, also after log-in, and the newest counts. On an https site, use a name that
// begins with "__Host-": browsers accept such a cookie from your host only. Without such a name,
// call the session manager's Renew at log-in, which makes an id that was planted before useless.
//
// cookie_lifetime counts from the time of issue, as in the original: using the site does not
// prolong it. The session manager decides how long a session lives.
//
// A handler that hijacks the connection writes its own header and must include the Set-Cookie
// field, which the filter has put into the header map. A handler that panics sends no cookie.
package browserid
