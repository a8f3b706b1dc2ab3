package browserid

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// Register adds the filter to r under "egg:pasteline#browserid" and the names of the Python
// package.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#browserid"
	pipeline.Filter(r, name, build)
	r.Alias("egg:repoze.browserid#browserid", name)
	r.Alias("call:repoze.browserid.middleware:make_middleware", name)
}

// build is New for a section of an .ini file: relative paths begin at the folder of the file, and
// errors and warnings about dangerous settings name the line.
func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	c, faults := s.config()
	here, ok := b.Global("here")
	if ok && c.SecretKeyFile != "" && !filepath.IsAbs(c.SecretKeyFile) {
		c.SecretKeyFile = filepath.Join(here, c.SecretKeyFile)
	}
	c.readFile = b.ReadFile
	resolved, err := c.resolve()
	if err := errors.Join(faults, err); err != nil {
		return nil, err
	}
	secrets, err := resolved.secrets()
	if err != nil {
		return nil, err
	}
	if err := c.checkSecrets(b, secrets); err != nil {
		return nil, err
	}
	secrets = c.keepSecrets(b, secrets)
	resolved.warnOfSharedCookie(b, secrets)
	resolved.declare(b)
	f := resolved.with(secrets)
	if c.SecretKeyFile != "" {
		c.warnOfFile(b)
	}
	c.warnOfVary(b)
	return f.wrap, nil
}

// ErrWeakSecret is the error, for errors.Is, about a secret that can be guessed or is published in
// a tutorial.
var ErrWeakSecret = errors.New("weak secret")

// A weakSecretError describes the weakness of a secret.
type weakSecretError string

func (e weakSecretError) Error() string {
	return "this secret " + string(e) + ", so anyone can forge a browser id"
}

func (weakSecretError) Is(target error) bool { return target == ErrWeakSecret }

// checkSecrets refuses a well-known or guessable secret, unless debug is on. It warns about weak
// old secrets: cookies signed with one of them are accepted, too.
func (c Config) checkSecrets(b *pipeline.Build, secrets []string) error {
	key := c.source()
	switch weakness := weaknessOf(secrets[0]); {
	case weakness != "" && !b.Debug():
		return &pipeline.Error{
			Key:  key,
			Err:  weakSecretError(weakness),
			Hint: makeOne + " (for development, debug = true in [DEFAULT] allows it)",
		}
	case weakness != "":
		b.Warn(key, "this secret "+weakness+
			": it is accepted only with debug = true; "+makeOne)
	}
	for i, old := range secrets[1:] {
		if i >= len(secrets)-1-len(c.OldSecretKeys) {
			key = "old_secret_keys"
		}
		if weakness := weaknessOf(old); weakness != "" && !b.Debug() {
			b.Warn(key, "one of the old secrets "+weakness+
				": as long as it is accepted, anyone can forge a browser id")
		}
	}
	return nil
}

// keepSecrets returns the secrets to use: at a reload, those in use if none of them is among the
// new ones.
func (c Config) keepSecrets(b *pipeline.Build, secrets []string) []string {
	inUse, _ := b.Keep(secrets).([]string)
	stillUsed := func(key string) bool { return slices.Contains(secrets, key) }
	if len(inUse) == 0 || c.ReplaceSecrets || slices.ContainsFunc(inUse, stillUsed) {
		return secrets
	}
	b.Keep(inUse)
	b.Warn(c.source(), "none of the secrets in use is among the new ones, "+
		"so every browser would get a new id: the secrets in use are kept; "+
		"keep the old one below the new one, or in old_secret_keys, for a while, "+
		"or set replace_secrets = true, or restart")
	return inUse
}

// declare declares the order in which this filter and others must stand.
func (c Config) declare(b *pipeline.Build) {
	b.Offer(order.BrowserID, order.Cookie{
		Name:     c.CookieName,
		Lifetime: c.CookieLifetime,
		Lazy:     c.Lazy,
	})
	b.Require(
		order.Requirement{
			Filter: order.BrowserID, Place: order.NotInFront, Broken: true,
			Only: func(value any) bool {
				cookie, _ := value.(order.Cookie)
				return cookie.Name == c.CookieName && !cookie.Lazy
			},
			Else: "both give a new browser an id in a cookie of the same name: " +
				"the browser sends one of the ids, and its session is stored under the other; " +
				"leave one of them out",
		},
		order.Requirement{
			Filter: order.BrowserID, Place: order.NotInFront,
			Else: "the app gets only the id of the inner filter; leave one of them out",
		},
		order.Requirement{
			Filter: order.TM, Place: order.NotInFront, Broken: true,
			Else: "a log-in fails, since the cookie with the session's new id " +
				"can't wait for the commit; write it in front of that",
		},
	)
	if c.CookieSecure == SecureAuto || len(c.Vary) > 0 {
		lost := "it sees the connection of the proxy, not that of the browser, " +
			"so a cookie for https may lack the attribute Secure"
		if c.CookieSecure != SecureAuto {
			lost = "the values named in vary are those of the proxy, not of the browser"
		}
		b.Require(order.Requirement{
			Filter: order.Prefix, Place: order.NotBehind,
			Else: lost + "; write that in front of it",
		})
	}
}

// A cookieScope describes the cookie of a filter, so that the filters of one .ini file can compare
// theirs.
type cookieScope struct {
	section            string
	name, domain, path string
	secrets            []string
}

// warnOfSharedCookie warns of a filter whose cookie has the same name and is sent to the same
// pages, but is signed with another secret.
func (c Config) warnOfSharedCookie(b *pipeline.Build, secrets []string) {
	domain := strings.ToLower(strings.Trim(c.CookieDomain, "."))
	own := cookieScope{b.Name(), c.CookieName, domain, c.CookiePath, secrets}
	for _, other := range b.Share(own) {
		if other, ok := other.(cookieScope); ok && own.clashes(other) {
			b.Warn(c.source(), fmt.Sprintf("[%s] issues a cookie of the same name "+
				"to the same pages with another secret, so each replaces the other's ids: "+
				"give both the same secret, or one of them another cookie_name", other.section))
		}
	}
}

// clashes reports whether some pages get the cookies of both filters, and one of the filters does
// not accept the other's.
func (n cookieScope) clashes(other cookieScope) bool {
	if n.section == other.section || n.name != other.name ||
		slices.Contains(n.secrets, other.secrets[0]) &&
			slices.Contains(other.secrets, n.secrets[0]) {
		return false
	}
	sameHosts := n.domain == "" || other.domain == "" || n.domain == other.domain ||
		strings.HasSuffix(n.domain, "."+other.domain) ||
		strings.HasSuffix(other.domain, "."+n.domain)
	return sameHosts && (isBelow(n.path, other.path) || isBelow(other.path, n.path))
}

// isBelow reports whether a cookie of the path outer is sent to the pages of the path inner. An
// empty path stands for the folder of the first page, so the cookie may be sent.
func isBelow(inner, outer string) bool {
	outer = strings.TrimRight(outer, "/")
	return inner == "" || outer == "" || inner == outer || strings.HasPrefix(inner, outer+"/")
}

// warnOfFile warns if any user of the machine can read or write the file with the secrets.
func (c Config) warnOfFile(b *pipeline.Build) {
	info, err := os.Stat(c.SecretKeyFile)
	if err != nil || runtime.GOOS == "windows" { // Windows has no permission bits
		return
	}
	if mode := info.Mode().Perm(); mode&0o006 != 0 {
		b.Warn("secret_key_file", fmt.Sprintf("every user of this machine "+
			"can read or change the file (mode %04o), and so forge any browser id: chmod 600 %s",
			mode, c.SecretKeyFile))
	}
}

// warnOfVary warns of names in vary that no request has, and of those that change with every
// response.
func (c Config) warnOfVary(b *pipeline.Build) {
	for _, name := range c.Vary {
		switch {
		case name == "HTTP_COOKIE":
			b.Warn("vary", "HTTP_COOKIE changes when the cookie itself is issued, "+
				"so every request gets a new id: leave it out")
		case environ(name) != nil:
		case environ(environName(name)) != nil:
			b.Warn("vary", fmt.Sprintf("no request has an environ variable %q, "+
				"so it has no effect: did you mean %q?", name, environName(name)))
		default:
			b.Warn("vary", fmt.Sprintf("no request has an environ variable %q, "+
				"so it has no effect", name))
		}
	}
}
