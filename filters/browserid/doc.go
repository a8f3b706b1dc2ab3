// Package browserid gives every browser an id, in a signed cookie, under which an app can keep a
// session. It is a Go version of Python's repoze.browserid, with modern cookies.
//
// Wrap a handler in the filter that [New] returns, or name the filter in an .ini:
//
//	[filter:browserid]
//	use = egg:repoze.browserid#browserid
//	secret_key_file = %(here)s/secret
//
// and get the id in the handler with [FromContext]; package session finds it without a call. At
// log-in, the session manager's Renew gives the browser a new id, in the transaction of the
// request.
//
// # The cookie
//
// A cookie's value consists of the id (at least 160 random bits), the time of issue, and a tag: an
// HMAC-SHA256 of the id, the time and the values that the id varies on, under a key that is derived
// from the secret and the cookie's name. A cookie that does not verify, for whatever reason, makes
// the browser a new visitor and is never an error. If there are several cookies with the name (of
// several paths or domains), the newest valid one counts, so that the cookie of a log-in overrides
// one that is left from an earlier cookie_domain or cookie_path, or was planted before. Cookies of
// builds that wrote no time are read, and replaced by a new one.
//
// The cookie is added when the response header is sent. A new browser gets one (with the setting
// lazy, only if the app asked for the id), and so does a browser whose id was renewed, or whose
// cookie was signed with an old secret. Such a response is marked "Cache-Control: private" unless
// it forbids shared caches already.
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
//   - New ids come from crypto/rand. The original made them from the clock, the process id and a
//     number of eight digits. With compat = repoze they have the original's form: 40 hexadecimal
//     digits.
//   - The values varied on are signed separately, not concatenated with the secret.
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
// eavesdropper gets both. Another host of the same domain can plant an id of its own in your
// visitors' browsers, also after they have logged in, and the newest counts. On an https site, use
// a name that begins with "__Host-": browsers accept such a cookie from your host only. Without it,
// renewing the session at log-in makes an id that was planted before harmless.
//
// cookie_lifetime counts from the time of issue, as in the original: using the site does not
// prolong it. The session manager decides how long a session lives.
//
// A handler that hijacks the connection writes its own header; the cookie is in the header map by
// then, and the handler must write it. A handler that panics sends no cookie.
package browserid
