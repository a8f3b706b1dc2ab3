package browserid

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// settings declares the settings of an .ini section.
type settings struct {
	SecretKey         pipeline.Secret `ini:"secret_key" help:"the secret that signs the cookies"`
	SecretKeyFile     string          `ini:"secret_key_file" nonempty:"true" help:"a file with the secret on its first line; further lines are older secrets that are still accepted"`
	SecretKeyEnv      string          `ini:"secret_key_env" nonempty:"true" help:"an environment variable with the secret"`
	OldSecretKeys     keys            `ini:"old_secret_keys" secret:"true" help:"earlier secrets that are still accepted, one per line"`
	ReplaceSecrets    bool            `ini:"replace_secrets" default:"false" help:"let a reload replace all secrets at once, so that every browser gets a new id"`
	CookieName        string          `ini:"cookie_name" nonempty:"true" default:"repoze.browserid" help:"the cookie's name"`
	CookiePath        string          `ini:"cookie_path" default:"/" help:"the path below which the browser sends the cookie"`
	CookieDomain      string          `ini:"cookie_domain" help:"the domain to which, with its subdomains, the browser sends the cookie; if empty, the host alone"`
	CookieLifetime    lifetime        `ini:"cookie_lifetime" help:"how long the browser keeps the cookie, in seconds or as 720h; if empty, until it is closed"`
	CookieSecure      toggle          `ini:"cookie_secure" help:"send the cookie over https only: true, false, or auto (if the request came over https); auto if not given"`
	CookieHTTPOnly    toggle          `ini:"cookie_httponly" help:"hide the cookie from scripts of the page: true or false; true if not given"`
	CookiePartitioned bool            `ini:"cookie_partitioned" default:"false" help:"for a site that other sites embed: the browser keeps a separate cookie for each of them"`
	CookieSameSite    SameSite        `ini:"cookie_samesite" oneof:"lax strict none off" help:"which requests from other sites carry the cookie; lax if not given"`
	Vary              []string        `ini:"vary" help:"properties of the request (WSGI environ names) such as HTTP_USER_AGENT; a cookie is valid only while they have the same values"`
	Lazy              bool            `ini:"lazy" default:"false" help:"issue a cookie to a new browser only if the app uses its id or session"`
	Compat            Compat          `ini:"compat" oneof:"none read repoze" help:"cookies of Python's repoze.browserid: none (ignore them), read (accept them, but issue new ones), repoze (accept and issue them)"`
}

// config returns the Config for s.
func (s settings) config() (Config, error) {
	c := Config{
		SecretKey:         s.SecretKey,
		SecretKeyFile:     s.SecretKeyFile,
		SecretKeyEnv:      s.SecretKeyEnv,
		OldSecretKeys:     s.OldSecretKeys,
		ReplaceSecrets:    s.ReplaceSecrets,
		CookieName:        s.CookieName,
		CookiePath:        s.CookiePath,
		CookieDomain:      s.CookieDomain,
		CookieLifetime:    time.Duration(s.CookieLifetime),
		CookieSecure:      s.CookieSecure.secure(),
		CookiePartitioned: s.CookiePartitioned,
		CookieSameSite:    s.CookieSameSite,
		Vary:              s.Vary,
		Lazy:              s.Lazy,
		Compat:            s.Compat,
	}
	if c.CookiePath == "" {
		// the setting is present and empty; if it is absent, its default is "/"
		c.CookiePath = NoPath
	}
	switch s.CookieHTTPOnly {
	case unset:
	case auto:
		return c, &pipeline.Error{
			Key: "cookie_httponly", Value: "auto", Err: errors.New("want true or false"),
		}
	default:
		c.CookieHTTPOnly = new(s.CookieHTTPOnly == on)
	}
	return c, nil
}

// A toggle is a boolean that can be unset. The zero toggle is unset.
type toggle uint8

// Values of a toggle.
const (
	unset toggle = iota
	on
	off
	auto // depends on the request; only for cookie_secure
)

// UnmarshalText accepts "auto" and the booleans of PasteDeploy; empty is off, as in
// repoze.browserid.
func (t *toggle) UnmarshalText(text []byte) error {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "true", "yes", "on", "y", "t", "1":
		*t = on
	case "false", "no", "off", "n", "f", "0", "":
		*t = off
	case "auto":
		*t = auto
	default:
		return fmt.Errorf("want true, false or auto, not %q", text)
	}
	return nil
}

// MarshalText is the inverse of UnmarshalText; the default is empty.
func (t toggle) MarshalText() ([]byte, error) {
	return []byte([...]string{"", "true", "false", "auto"}[t&3]), nil
}

// A lifetime is a time.Duration that is written in an .ini as a number of seconds, or with units
// such as "720h".
type lifetime time.Duration

// UnmarshalText accepts whole seconds, a duration with units, or an empty text, which is 0.
func (l *lifetime) UnmarshalText(text []byte) error {
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
	*l = lifetime(d)
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (l lifetime) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d", time.Duration(l)/time.Second), nil
}

// secure returns the Secure for t.
func (t toggle) secure() Secure { return [...]Secure{"", SecureOn, SecureOff, SecureAuto}[t] }

// keys are secrets, one per line: a secret may contain blanks.
type keys []pipeline.Secret

// UnmarshalText parses one secret per line.
func (k *keys) UnmarshalText(text []byte) error {
	*k = nil
	for _, line := range lines(string(text)) {
		*k = append(*k, pipeline.Secret(line))
	}
	return nil
}
