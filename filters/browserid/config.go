package browserid

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/pasteline/pasteline/pipeline"
)

// Config configures the filter. Only a secret is required, in exactly one of SecretKey,
// SecretKeyFile and SecretKeyEnv. The zero value of every other field is a good default.
type Config struct {
	// SecretKey signs the cookies. A holder of the secret can forge the id of any browser. Use at
	// least 32 random bytes, such as the output of "openssl rand -hex 32".
	SecretKey pipeline.Secret

	// SecretKeyFile names a file with one secret per line. The first signs new cookies; cookies
	// signed with any of them are accepted, and replaced by one signed with the first. White space
	// around a line and empty lines are ignored.
	SecretKeyFile string

	// SecretKeyEnv names an environment variable with the secret, in the format of SecretKeyFile.
	SecretKeyEnv string

	// OldSecretKeys are earlier secrets, which verify cookies but don't sign new ones. After a
	// change of SecretKey, keep the old value here until cookies signed with it have expired.
	OldSecretKeys []pipeline.Secret

	// ReplaceSecrets lets a reload replace all secrets at once, so that every browser gets a new
	// id. By default, if none of the secrets in use is among the new ones (perhaps because the file
	// is just being written), a reload keeps the secrets in use.
	ReplaceSecrets bool

	// CookieName is the cookie's name, "repoze.browserid" if empty. Browsers accept a cookie whose
	// name begins with "__Host-" only from this exact host, over https, so that a neighbouring
	// subdomain can't plant one.
	CookieName string

	// CookiePath is the path below which browsers send the cookie, "/" if empty. NoPath omits it:
	// then the browser uses the folder of the first page that was visited, and has a different id
	// for each folder.
	CookiePath string

	// CookieDomain is the domain to whose hosts browsers send the cookie. If it is empty, they send
	// it to the host that set it only.
	CookieDomain string

	// CookieLifetime is how long the browser keeps the cookie after it was issued, in whole
	// seconds; using the site does not prolong it. If 0, the browser keeps it until it is closed.
	CookieLifetime time.Duration

	// CookieSecure restricts the cookie to https. Behind a proxy that ends TLS, set SecureOn. The
	// default is SecureAuto; SecureOn for names with a prefix, and SecureOff with CompatRepoze.
	CookieSecure Secure

	// CookieHTTPOnly hides the cookie from scripts of the page. Nil means the default: true, or
	// false with CompatRepoze.
	CookieHTTPOnly *bool

	// CookiePartitioned gives the browser a separate id for each site that embeds this one. Without
	// it, browsers that block third-party cookies refuse or lose the cookie in an embedded page. It
	// needs SecureOn, and CookieSameSite "none" for the cookie to be sent from embedded
	// pages at all.
	CookiePartitioned bool

	// CookieSameSite says whether requests from pages of other sites carry the cookie. The default
	// is SameSiteLax (SameSiteOff with CompatRepoze): only if a link was followed.
	CookieSameSite SameSite

	// Vary names properties of the request that the id is bound to, such as HTTP_USER_AGENT: a
	// cookie is valid only while they have the same values. With REMOTE_ADDR, a browser loses its
	// id when its address changes (a phone that leaves the house, an office with several uplinks);
	// behind a proxy it is the address of the proxy. The names are those of the environ, the
	// dictionary that describes a request in WSGI, Python's server interface.
	Vary []string

	// Lazy issues a cookie to a new browser only if the app calls [FromContext] or gets a session.
	Lazy bool

	// Compat selects how cookies of repoze.browserid are treated, which must have the same secret,
	// name and vary.
	Compat Compat

	readFile func(name string) ([]byte, error) // for SecretKeyFile; nil means os.ReadFile

	testHooks
}

// NoPath as CookiePath issues cookies without a path.
const NoPath = "-"

// A Compat selects how cookies of repoze.browserid are treated. The zero Compat is CompatNone.
type Compat string

// Values of Compat. To move a site from Python to Go step by step, begin with CompatRepoze; when
// the last Python process is gone, change to CompatRead; when its cookies have expired, to
// CompatNone. Processes with CompatRepoze and CompatRead accept each other's cookies, so that they
// can be restarted one after the other.
const (
	CompatNone Compat = "none" // only this package's format
	// accept cookies of repoze.browserid, and replace them by cookies of this package with the same
	// id
	CompatRead   Compat = "read"
	CompatRepoze Compat = "repoze" // accept both formats, and issue that of repoze.browserid
)

// A SameSite is the SameSite attribute of the cookie. The zero SameSite means the default.
type SameSite string

// Values of CookieSameSite. SameSiteOff omits the attribute.
const (
	SameSiteLax    SameSite = "lax"
	SameSiteStrict SameSite = "strict"
	SameSiteNone   SameSite = "none"
	SameSiteOff    SameSite = "off"
)

// A Secure says when the cookie is restricted to https. The zero Secure means the default.
type Secure string

// Values of CookieSecure.
const (
	SecureAuto Secure = "auto" // if the request came over https
	SecureOn   Secure = "on"
	SecureOff  Secure = "off"
)

// Validate returns an error that joins an error for each invalid field, or nil. Invalid are a
// missing or empty secret, more than one source for it, characters that a cookie can't have,
// combinations of attributes that browsers refuse, and unknown values. It opens no file.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

// A faults collects errors; the loader adds file, line and section.
type faults []error

func (f *faults) add(key, value, format string, args ...any) {
	*f = append(*f, &pipeline.Error{Key: key, Value: value, Err: fmt.Errorf(format, args...)})
}

// resolve returns c with all defaults filled in.
func (c Config) resolve() (Config, error) {
	var f faults
	if c.Compat == "" {
		c.Compat = CompatNone
	}
	if c.CookieName == "" {
		c.CookieName = "repoze.browserid"
	}
	switch c.CookiePath {
	case "":
		c.CookiePath = "/"
	case NoPath:
		c.CookiePath = ""
	}
	c.fillAttributes()

	switch c.Compat {
	case CompatNone, CompatRead, CompatRepoze:
	default:
		f.add("compat", string(c.Compat), "want none, read or repoze")
	}
	if !isToken(c.CookieName) {
		f.add("cookie_name", c.CookieName,
			"a cookie's name has letters, digits, and - . _ ! # $ %% & ' * + ^ ` | ~ only")
	}
	c.checkSecretSource(&f)
	c.checkPath(&f)
	c.checkDomain(&f)
	c.checkAttributes(&f)
	c.checkPrefix(&f)
	return c, errors.Join(f...)
}

// fillAttributes fills in the defaults that depend on other settings.
func (c *Config) fillAttributes() {
	original := c.Compat == CompatRepoze
	if c.CookieSecure == "" {
		switch {
		case hasPrefix(c.CookieName, securePrefix), hasPrefix(c.CookieName, hostPrefix):
			c.CookieSecure = SecureOn
		case original:
			c.CookieSecure = SecureOff
		default:
			c.CookieSecure = SecureAuto
		}
	}
	if c.CookieHTTPOnly == nil {
		c.CookieHTTPOnly = new(!original)
	}
	if c.CookieSameSite == "" {
		c.CookieSameSite = SameSiteLax
		if original {
			c.CookieSameSite = SameSiteOff
		}
	}
}

func (c *Config) checkPath(f *faults) {
	if c.CookiePath == "" {
		return
	}
	if c.CookiePath[0] != '/' {
		f.add("cookie_path", c.CookiePath,
			"want a path that begins with /: browsers ignore any other")
	}
	for i := range len(c.CookiePath) {
		switch b := c.CookiePath[i]; {
		case b < 0x20, b == 0x7f, b == ';':
			f.add("cookie_path", c.CookiePath,
				"a cookie's path has no control characters and no semicolons")
			return
		case b >= 0x80 && c.Compat != CompatRepoze:
			f.add("cookie_path", c.CookiePath,
				"percent-encode all but ASCII characters, as browsers compare them so")
			return
		}
	}
}

func (c *Config) checkDomain(f *faults) {
	if c.CookieDomain == "" {
		return
	}
	domain := strings.ToLower(strings.Trim(c.CookieDomain, "."))
	suffix, _ := publicsuffix.PublicSuffix(domain)
	if suffix == domain && domain != "localhost" && net.ParseIP(domain) == nil {
		f.add("cookie_domain", c.CookieDomain,
			"browsers refuse a cookie for a public suffix, where anyone can register a name: "+
				"want a domain such as example.%s", domain)
		return
	}
	// net/http omits an invalid domain from the header, and only logs a line.
	//nolint:gosec // the cookie is not sent
	cookie := &http.Cookie{Name: "a", Domain: c.CookieDomain}
	ok := c.Compat == CompatRepoze || cookie.Valid() == nil
	for label := range strings.SplitSeq(strings.TrimPrefix(c.CookieDomain, "."), ".") {
		ok = ok && isLabel(label)
	}
	if !ok {
		f.add("cookie_domain", c.CookieDomain,
			"want a domain such as example.org, without scheme, port and path "+
				"(and with xn--… for other than ASCII letters)")
	}
}

// isLabel reports whether s is valid between the dots of a domain.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[len(s)-1] != '-'
}

func (c *Config) checkAttributes(f *faults) {
	switch lifetime := c.CookieLifetime; {
	case lifetime < 0:
		f.add("cookie_lifetime", lifetime.String(), "a cookie that has expired when it is sent "+
			"makes every request a new visitor: want 1 second or more")
	case lifetime%time.Second != 0:
		f.add("cookie_lifetime", lifetime.String(), "want whole seconds")
	}
	switch c.CookieSecure {
	case SecureAuto, SecureOn, SecureOff:
	default:
		f.add("cookie_secure", string(c.CookieSecure), "want true, false or auto")
	}
	if c.CookiePartitioned && c.CookieSecure != SecureOn {
		f.add("cookie_partitioned", "true",
			"browsers refuse such a cookie if it is not secure: set cookie_secure = true")
	}
	switch c.CookieSameSite {
	case SameSiteLax, SameSiteStrict, SameSiteOff:
	case SameSiteNone:
		if c.CookieSecure != SecureOn {
			f.add("cookie_samesite", "none",
				"browsers refuse such a cookie if it is not secure: set cookie_secure = true")
		}
	default:
		f.add("cookie_samesite", string(c.CookieSameSite), "want lax, strict, none or off")
	}
}

// Browsers silently refuse a cookie whose name has one of these prefixes if it does not meet the
// prefix's conditions.
const (
	securePrefix = "__Secure-"
	hostPrefix   = "__Host-"
)

func (c *Config) checkPrefix(f *faults) {
	for _, prefix := range []string{securePrefix, hostPrefix} {
		if hasPrefix(c.CookieName, prefix) && c.CookieSecure != SecureOn {
			f.add("cookie_secure", "", "browsers refuse a cookie named %s… that is not secure: "+
				"set cookie_secure = true, or leave it out", prefix)
		}
	}
	if !hasPrefix(c.CookieName, hostPrefix) {
		return
	}
	if c.CookiePath != "/" {
		f.add("cookie_path", c.CookiePath,
			"browsers refuse a cookie named %s… with another path than /", hostPrefix)
	}
	if c.CookieDomain != "" {
		f.add("cookie_domain", c.CookieDomain,
			"browsers refuse a cookie named %s… that has a domain: leave it out", hostPrefix)
	}
}

// hasPrefix is strings.HasPrefix without regard to case, which browsers ignore.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// filter returns a filter with the settings of c.
func (c Config) filter() (*filter, error) {
	settings, err := c.resolve()
	if err != nil {
		return nil, err
	}
	secrets, err := settings.secrets()
	if err != nil {
		return nil, err
	}
	return settings.with(secrets), nil
}

// with returns the filter of a resolved c with these secrets.
func (c Config) with(secrets []string) *filter {
	f := &filter{
		name:   c.CookieName,
		compat: c.Compat,
		lazy:   c.Lazy,
		vary:   variables(c.Vary),
		own:    newCodec(secrets, c.CookieName, c.Vary),
		repoze: &repozeCodec{secrets},
		cookie: cookieAttributes{
			path:        c.CookiePath,
			domain:      c.CookieDomain,
			lifetime:    c.CookieLifetime,
			secure:      c.CookieSecure,
			partitioned: c.CookiePartitioned,
			httpOnly:    *c.CookieHTTPOnly,
			sameSite:    c.CookieSameSite,
		},
		now:   time.Now,
		newID: randomID, makeID: makeID,
	}
	if f.compat == CompatRepoze {
		f.newID, f.makeID = randomRepozeID, makeRepozeID
	} else {
		f.cookie.place = placeOf(f.cookie.path, f.cookie.domain)
	}
	c.apply(f)
	return f
}

// testHooks replace the clock and the id generator in tests.
type testHooks struct {
	now   func() time.Time
	newID func() ID
}

func (h testHooks) apply(f *filter) {
	if h.now != nil {
		f.now = h.now
	}
	if h.newID != nil {
		f.newID = h.newID
	}
}
