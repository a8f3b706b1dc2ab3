// Package browserid does what its name says: it gives every browser an id, in a signed cookie, under which an app can
// keep a session. It is repoze.browserid for Go, with the cookies of today.
//
// Wrap a handler in the filter that [New] makes, or name the filter in an .ini:
//
//	[filter:browserid]
//	use = egg:repoze.browserid#browserid
//	secret_key_file = %(here)s/secret
//
// and ask for the id inside, with [FromContext]; package session finds it by itself. When a visitor logs in, the session
// manager's Renew gives the browser a new id, in the transaction of the request.
//
// # The cookie
//
// A cookie's value is the id, at least 160 random bits, when the cookie was issued, and a tag: the HMAC-SHA256 of these and of
// what the id varies on, under a key that is derived from the secret and the cookie's name. A cookie that does not verify,
// whatever is wrong with it, makes the browser a new visitor and is never an error. Of several cookies with our name (of
// several paths or domains) the newest that verifies counts, so that what log-in issues overrides what is left from a former
// cookie_domain or cookie_path, or was planted before. Cookies of builds that wrote no time are read, and written anew.
//
// The cookie is added when the response header leaves: a new browser gets one (with the setting lazy, only if the app
// asked for the id), and so does one whose id was renewed, or whose cookie was signed with an old secret. Such a
// response is marked "Cache-Control: private" unless it forbids shared caches already.
//
// To change the secret, put the new one first and keep the old one for a while: a second line in secret_key_file, or
// old_secret_keys. Every visitor who comes by meanwhile gets a cookie of the new one, with the same id.
//
// # Coming from repoze.browserid
//
// Every setting of the original is there, with the same name. Where the behaviour differs:
//
//   - The format of the cookie, unless compat is set; see [Compat] for how to move a site request by request.
//   - HttpOnly and SameSite=Lax are set, and Secure for visitors who come over https. Not so with compat = repoze, which
//     writes the original's header to the byte; there they can be asked for.
//   - New ids come from crypto/rand. The original made them of the clock, the process id and a number of eight digits.
//     With compat = repoze they have the original's form: 40 hexadecimal digits.
//   - The values varied on are signed one by one, not strung to the secret.
//   - An empty secret and a negative lifetime are refused, and so are booleans that nobody understands. A secret out of
//     a tutorial, one of less than 16 characters and one of few different or repeated characters are refused unless debug is true.
//   - In the original the last of several cookies with the name counts, and an odd cookie of somebody else (with an
//     umlaut, say) hides ours. compat = repoze reads the header like that, as both halves of a site should see the same.
//
// # Caveats
//
// An id tells browsers apart, not people: it is as secret as the cookie is. Without https, whoever listens has both.
// Another host of your domain can plant an id of its own visitors' in your visitors' browsers, also after they have logged in,
// and the newest counts. Use a name that begins with "__Host-" wherever the site speaks https: browsers take such a cookie from
// your host alone. Without, a session that is renewed at log-in makes harmless what was planted before.
//
// cookie_lifetime counts from when the cookie was issued, as in the original: using the site does not prolong it. How
// long a session lives is the session manager's business.
//
// A handler that hijacks the connection writes its own header; the cookie is in the header map by then, but who writes
// it is up to the handler. A handler that panics sends no cookie.
package browserid
