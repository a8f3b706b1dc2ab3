package browserid

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// Config says how browsers are told apart. Only a secret is required: in SecretKey, SecretKeyFile or SecretKeyEnv, one
// of the three. Every other field has a good zero value.
type Config struct {
	// SecretKey signs the cookies. Whoever has it can be any browser. At least 32 random bytes are advised, such as
	// "openssl rand -hex 32" makes.
	SecretKey pipeline.Secret `ini:"secret_key" help:"the secret that signs the cookies"`

	// SecretKeyFile names a file with the secret: one on each line. The first signs; cookies signed with any of them
	// are accepted, and signed anew with the first. White space around a line and empty lines do not count.
	SecretKeyFile string `ini:"secret_key_file" nonempty:"true" help:"a file with the secret on its first line, and older ones that are still accepted below"`

	// SecretKeyEnv names an environment variable with the secret, in the form of SecretKeyFile.
	SecretKeyEnv string `ini:"secret_key_env" nonempty:"true" help:"an environment variable with the secret"`

	// OldSecretKeys are accepted but no longer sign: put here what SecretKey was until a cookie of that time is no
	// longer to be expected. In an .ini one a line, since a secret may contain blanks.
	OldSecretKeys Keys `ini:"old_secret_keys" secret:"true" help:"secrets of former times that are still accepted, one a line"`

	// ReplaceSecrets has a reload take secrets of which none was in use before, which makes every browser a new one. Without, a
	// pipeline goes on with the secrets that it has then: those of a file that is just being written, say.
	ReplaceSecrets bool `ini:"replace_secrets" default:"false" help:"whether a reload takes secrets of which none was in use before, so that every browser gets a new id"`

	// CookieName is the cookie's name, "repoze.browserid" if empty. With a name that begins with "__Host-" browsers take
	// the cookie only from this very host, over https: nobody on a neighbouring subdomain can plant one.
	CookieName string `ini:"cookie_name" nonempty:"true" default:"repoze.browserid" help:"the cookie's name"`

	// CookiePath is the path that the cookie is sent to, "/" if empty. NoPath leaves it out, as does an empty setting in
	// an .ini: then the browser takes the folder of the first page that was visited, and has an id for each folder.
	CookiePath string `ini:"cookie_path" default:"/" help:"the path below which the browser sends the cookie"`

	// CookieDomain is the domain whose hosts all get the cookie. If empty, only the host that set it does.
	CookieDomain string `ini:"cookie_domain" help:"the domain whose subdomains get the cookie too; the host alone if empty"`

	// CookieLifetime is how long the browser keeps the cookie, counted from when it was issued: using the site does not
	// prolong it. If 0, until the browser is closed. Seconds, in an .ini.
	CookieLifetime Lifetime `ini:"cookie_lifetime" help:"seconds for which the browser keeps the cookie; until it is closed if empty"`

	// CookieSecure keeps the cookie to https: On, Off or Auto. Auto, the default, does so for a visitor who came over
	// https. Behind a proxy that ends TLS say On. The default is On for names with a prefix, and Off with CompatRepoze.
	CookieSecure Toggle `ini:"cookie_secure" help:"send the cookie over https only: true, false, or auto (for visitors who came over https); auto if not given"`

	// CookieHTTPOnly hides the cookie from the page's scripts: On (the default; Off with CompatRepoze) or Off.
	CookieHTTPOnly Toggle `ini:"cookie_httponly" help:"hide the cookie from scripts: true or false; true if not given"`

	// CookiePartitioned gives the browser an id for each site that embeds this one: a cookie in an embedded page is refused or
	// lost without, in browsers that block those of third parties. It needs CookieSecure On, and CookieSameSite "none" to be
	// sent from there at all.
	CookiePartitioned bool `ini:"cookie_partitioned" default:"false" help:"for a site that others embed: the browser keeps a cookie for each of them"`

	// CookieSameSite says whether requests from other sites' pages carry the cookie. SameSiteLax is the default
	// (SameSiteOff with CompatRepoze): only when a visitor follows a link.
	CookieSameSite SameSite `ini:"cookie_samesite" oneof:"lax strict none off" help:"which requests from other sites carry the cookie; lax if not given"`

	// Vary names WSGI environ variables that the id is bound to, such as HTTP_USER_AGENT: a cookie is good only as long
	// as they stay what they were. REMOTE_ADDR loses every visitor whose address changes (a phone that leaves the
	// house, an office with several ways out), and behind a proxy it is the proxy's.
	Vary []string `ini:"vary" help:"environ names such as HTTP_USER_AGENT; a cookie is good only while they stay the same"`

	// Lazy issues a cookie only to browsers whose id the app asked for.
	Lazy bool `ini:"lazy" default:"false" help:"issue a cookie only if the app asks for the browser id"`

	// Compat says how to live with cookies of repoze.browserid, which has the same secret, name and vary.
	Compat Compat `ini:"compat" oneof:"none read repoze" help:"cookies of the Python original: none, read (accept them, issue new ones), repoze (issue them too)"`

	readFile func(name string) ([]byte, error) // for SecretKeyFile; nil is os.ReadFile

	hooks // set by tests
}

// NoPath as CookiePath issues cookies without a path.
const NoPath = "-"

// A Compat says how to live with cookies of repoze.browserid. The zero Compat is CompatNone.
type Compat string

// The ways to live with the original's cookies. To move a site request by request from Python, start with CompatRepoze;
// when the last Python process is gone, change to CompatRead; when its cookies have expired, to CompatNone. Processes
// with CompatRepoze and CompatRead accept each other's cookies, so that they can be restarted one after the other.
const (
	CompatNone   Compat = "none"   // only our own format
	CompatRead   Compat = "read"   // accept the original's cookies, and give the browser one of our own with the same id
	CompatRepoze Compat = "repoze" // accept both, and issue the original's
)

// A SameSite is the SameSite attribute of the cookie. The zero SameSite stands for the default.
type SameSite string

// The values of CookieSameSite. SameSiteOff leaves the attribute out.
const (
	SameSiteLax    SameSite = "lax"
	SameSiteStrict SameSite = "strict"
	SameSiteNone   SameSite = "none"
	SameSiteOff    SameSite = "off"
)

// A Toggle is a yes or no with a default of its own. The zero Toggle stands for the default.
type Toggle uint8

// The values of a Toggle.
const (
	Default Toggle = iota
	On
	Off
	Auto // as the request is; only for CookieSecure
)

// UnmarshalText takes "auto" and what PasteDeploy takes for a boolean; empty is Off, as in the original.
func (t *Toggle) UnmarshalText(text []byte) error {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "true", "yes", "on", "y", "t", "1":
		*t = On
	case "false", "no", "off", "n", "f", "0", "":
		*t = Off
	case "auto":
		*t = Auto
	default:
		return fmt.Errorf("want true, false or auto, not %q", text)
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText; the default is empty.
func (t Toggle) MarshalText() ([]byte, error) {
	return []byte([...]string{"", "true", "false", "auto"}[t&3]), nil
}

// A Lifetime is a time.Duration that is written as a number of seconds in an .ini, or as in "720h".
type Lifetime time.Duration

// UnmarshalText takes whole seconds, a duration with units, or nothing, which is 0.
func (l *Lifetime) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if s == "" {
		*l = 0
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d%time.Second != 0 {
		return fmt.Errorf("want whole seconds such as 86400, or a duration such as 24h, not %q", s)
	}
	*l = Lifetime(d)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (l Lifetime) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d", time.Duration(l)/time.Second), nil
}

// Validate reports all that is wrong with c, joined: no secret or an empty one, more than one place for it, characters
// that a cookie can't have, attributes that browsers would refuse together, unknown values. It opens no file.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

// A faults collects what is wrong; the loader adds file, line and section.
type faults []error

func (f *faults) add(key, value, format string, args ...any) {
	*f = append(*f, &pipeline.Error{Key: key, Value: value, Err: fmt.Errorf(format, args...)})
}

// resolve returns c with every default filled in.
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
		f.add("cookie_name", c.CookieName, "a cookie's name has letters, digits, and - . _ ! # $ %% & ' * + ^ ` | ~ only")
	}
	c.checkSecretSource(&f)
	c.checkPath(&f)
	c.checkDomain(&f)
	c.checkAttributes(&f)
	c.checkPrefix(&f)
	return c, errors.Join(f...)
}

// fillAttributes puts in the defaults that depend on other settings.
func (c *Config) fillAttributes() {
	original := c.Compat == CompatRepoze
	if c.CookieSecure == Default {
		switch {
		case hasPrefix(c.CookieName, securePrefix), hasPrefix(c.CookieName, hostPrefix):
			c.CookieSecure = On
		case original:
			c.CookieSecure = Off
		default:
			c.CookieSecure = Auto
		}
	}
	if c.CookieHTTPOnly == Default {
		c.CookieHTTPOnly = On
		if original {
			c.CookieHTTPOnly = Off
		}
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
		f.add("cookie_path", c.CookiePath, "want a path that begins with /: browsers ignore any other")
	}
	for i := range len(c.CookiePath) {
		switch b := c.CookiePath[i]; {
		case b < 0x20, b == 0x7f, b == ';':
			f.add("cookie_path", c.CookiePath, "a cookie's path has no control characters and no semicolons")
			return
		case b >= 0x80 && c.Compat != CompatRepoze:
			f.add("cookie_path", c.CookiePath, "write other than ASCII characters percent-encoded, as browsers compare them")
			return
		}
	}
}

func (c *Config) checkDomain(f *faults) {
	if c.CookieDomain == "" {
		return
	}
	// Net/http leaves out a domain that it does not like, and a line in the log is all that tells of it.
	if !strings.Contains(strings.Trim(c.CookieDomain, "."), ".") && !strings.EqualFold(c.CookieDomain, "localhost") {
		f.add("cookie_domain", c.CookieDomain, "browsers refuse a cookie for all of a top-level domain: want a domain such as example.org")
		return
	}
	ok := c.Compat == CompatRepoze || (&http.Cookie{Name: "a", Domain: c.CookieDomain}).Valid() == nil //nolint:gosec // it is not sent
	for label := range strings.SplitSeq(strings.TrimPrefix(c.CookieDomain, "."), ".") {
		ok = ok && isLabel(label)
	}
	if !ok {
		f.add("cookie_domain", c.CookieDomain,
			"want a domain such as example.org, without scheme, port and path (and with xn--… for other than ASCII letters)")
	}
}

// isLabel reports whether s may stand between the dots of a domain.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && s[0] != '-' && s[len(s)-1] != '-'
}

func (c *Config) checkAttributes(f *faults) {
	lifetime := time.Duration(c.CookieLifetime)
	switch {
	case lifetime < 0:
		f.add("cookie_lifetime", lifetime.String(), "a cookie that has expired when it is sent makes every request a new visitor: want 1 second or more")
	case lifetime%time.Second != 0:
		f.add("cookie_lifetime", lifetime.String(), "want whole seconds")
	}
	if c.CookiePartitioned && c.CookieSecure != On {
		f.add("cookie_partitioned", "true", "browsers refuse such a cookie if it is not secure: set cookie_secure = true")
	}
	if c.CookieHTTPOnly == Auto {
		f.add("cookie_httponly", "auto", "want true or false")
	}
	switch c.CookieSameSite {
	case SameSiteLax, SameSiteStrict, SameSiteOff:
	case SameSiteNone:
		if c.CookieSecure != On {
			f.add("cookie_samesite", "none", "browsers refuse such a cookie if it is not secure: set cookie_secure = true")
		}
	default:
		f.add("cookie_samesite", string(c.CookieSameSite), "want lax, strict, none or off")
	}
}

// Names with these prefixes promise something; browsers refuse the cookie, without a word, if it does not hold.
const (
	securePrefix = "__Secure-"
	hostPrefix   = "__Host-"
)

func (c *Config) checkPrefix(f *faults) {
	for _, prefix := range []string{securePrefix, hostPrefix} {
		if hasPrefix(c.CookieName, prefix) && c.CookieSecure != On {
			f.add("cookie_secure", "", "browsers refuse a cookie named %s… that is not secure: set cookie_secure = true, or leave it out", prefix)
		}
	}
	if !hasPrefix(c.CookieName, hostPrefix) {
		return
	}
	if c.CookiePath != "/" {
		f.add("cookie_path", c.CookiePath, "browsers refuse a cookie named %s… with another path than /", hostPrefix)
	}
	if c.CookieDomain != "" {
		f.add("cookie_domain", c.CookieDomain, "browsers refuse a cookie named %s… that has a domain: leave it out", hostPrefix)
	}
}

// hasPrefix ignores case, as browsers do.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// filter makes a filter of c.
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

// with returns the filter of a resolved c with its secrets.
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
			lifetime:    time.Duration(c.CookieLifetime),
			secure:      c.CookieSecure,
			partitioned: c.CookiePartitioned,
			httpOnly:    c.CookieHTTPOnly == On,
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

// hooks replace the clock and the source of ids in tests.
type hooks struct {
	now   func() time.Time
	newID func() ID
}

func (h hooks) apply(f *filter) {
	if h.now != nil {
		f.now = h.now
	}
	if h.newID != nil {
		f.newID = h.newID
	}
}
