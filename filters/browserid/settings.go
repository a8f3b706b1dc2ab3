package browserid

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// settings are the settings of an .ini section.
type settings struct {
	SecretKey         pipeline.Secret `ini:"secret_key" help:"the secret that signs the cookies"`
	SecretKeyFile     string          `ini:"secret_key_file" nonempty:"true" help:"a file with the secret on its first line, and older ones that are still accepted below"`
	SecretKeyEnv      string          `ini:"secret_key_env" nonempty:"true" help:"an environment variable with the secret"`
	OldSecretKeys     keys            `ini:"old_secret_keys" secret:"true" help:"earlier secrets that are still accepted, one per line"`
	ReplaceSecrets    bool            `ini:"replace_secrets" default:"false" help:"whether a reload may replace all secrets at once, so that every browser gets a new id"`
	CookieName        string          `ini:"cookie_name" nonempty:"true" default:"repoze.browserid" help:"the cookie's name"`
	CookiePath        string          `ini:"cookie_path" default:"/" help:"the path below which the browser sends the cookie"`
	CookieDomain      string          `ini:"cookie_domain" help:"the domain whose subdomains get the cookie too; the host alone if empty"`
	CookieLifetime    lifetime        `ini:"cookie_lifetime" help:"seconds for which the browser keeps the cookie; until it is closed if empty"`
	CookieSecure      toggle          `ini:"cookie_secure" help:"send the cookie over https only: true, false, or auto (for visitors who came over https); auto if not given"`
	CookieHTTPOnly    toggle          `ini:"cookie_httponly" help:"hide the cookie from scripts: true or false; true if not given"`
	CookiePartitioned bool            `ini:"cookie_partitioned" default:"false" help:"for a site that others embed: the browser keeps a cookie for each of them"`
	CookieSameSite    SameSite        `ini:"cookie_samesite" oneof:"lax strict none off" help:"which requests from other sites carry the cookie; lax if not given"`
	Vary              []string        `ini:"vary" help:"environ names such as HTTP_USER_AGENT; a cookie is good only while they stay the same"`
	Lazy              bool            `ini:"lazy" default:"false" help:"issue a cookie only if the app asks for the browser id"`
	Compat            Compat          `ini:"compat" oneof:"none read repoze" help:"cookies of the Python original: none, read (accept them, issue new ones), repoze (issue them too)"`
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
		c.CookiePath = NoPath // the setting is present and empty; an absent one is "/" by now
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

// UnmarshalText accepts "auto" and the booleans of PasteDeploy; empty is off, as in the original.
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
