package browserid

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pasteline/pasteline/pipeline"
)

// Register adds the filter to r under "egg:pasteline#browserid" and the names that it has in the original.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#browserid"
	pipeline.Filter(r, name, build)
	r.Alias("egg:repoze.browserid#browserid", name)
	r.Alias("call:repoze.browserid.middleware:make_middleware", name)
}

// build is New for a section of an .ini: relative paths begin at its folder, and what is dangerous but works is warned
// about where it is written, or refused.
func build(b *pipeline.Build, c Config) (func(http.Handler) http.Handler, error) {
	if c.CookiePath == "" {
		c.CookiePath = NoPath // written so: an absent one is "/" by now
	}
	if here, ok := b.Global("here"); ok && c.SecretKeyFile != "" && !filepath.IsAbs(c.SecretKeyFile) {
		c.SecretKeyFile = filepath.Join(here, c.SecretKeyFile)
	}
	c.readFile = b.ReadFile
	f, err := c.filter()
	if err != nil {
		return nil, err
	}
	if err := c.checkSecrets(b, f.repoze.secrets); err != nil {
		return nil, err
	}
	if c.SecretKeyFile != "" {
		c.warnOfFile(b)
	}
	c.warnOfVary(b)
	return f.wrap, nil
}

// checkSecrets refuses a secret that everybody knows, unless debug is on, and warns of short ones.
func (c Config) checkSecrets(b *pipeline.Build, secrets []string) error {
	key, secret := c.source(), secrets[0]
	switch {
	case isPlaceholder(secret) && !b.Debug():
		return &pipeline.Error{
			Key:  key,
			Err:  errors.New("this secret is an example that everybody knows, so that anybody can forge a browser id"),
			Hint: makeOne + " (for development, debug = true in [DEFAULT] lets it pass)",
		}
	case isPlaceholder(secret):
		b.Warn(key, "this secret is an example that everybody knows: good enough for development, refused without debug; "+makeOne)
	case len(secret) < minSecretLen:
		b.Warn(key, fmt.Sprintf("this secret has %d characters and may be guessed: %s", len(secret), makeOne))
	}
	for i, old := range secrets[1:] {
		if i >= len(secrets)-1-len(c.OldSecretKeys) {
			key = "old_secret_keys"
		}
		switch {
		case isPlaceholder(old) && !b.Debug():
			b.Warn(key, "one of the former secrets is an example that everybody knows: as long as it is accepted, anybody can forge a browser id")
		case !isPlaceholder(old) && len(old) < minSecretLen:
			b.Warn(key, fmt.Sprintf("one of the former secrets has %d characters and may be guessed: as long as it is accepted, so may browser ids", len(old)))
		}
	}
	return nil
}

// warnOfFile warns of a file with secrets that any user of the machine can read, or write.
func (c Config) warnOfFile(b *pipeline.Build) {
	info, err := os.Stat(c.SecretKeyFile)
	if err != nil || runtime.GOOS == "windows" { // which has no such modes
		return
	}
	if mode := info.Mode().Perm(); mode&0o006 != 0 {
		b.Warn("secret_key_file", fmt.Sprintf("every user of this machine can read or change the file (mode %04o), and be any browser then: chmod 600 %s",
			mode, c.SecretKeyFile))
	}
}

// warnOfVary warns of names that make nothing vary, and of those that make everything.
func (c Config) warnOfVary(b *pipeline.Build) {
	for _, name := range c.Vary {
		switch {
		case name == "HTTP_COOKIE":
			b.Warn("vary", "HTTP_COOKIE changes with the very cookie that is issued, so every request is a new visitor: leave it out")
		case environ(name) != nil:
		case environ(environName(name)) != nil:
			b.Warn("vary", fmt.Sprintf("no request has an environ variable %q, so nothing varies on it: did you mean %q?", name, environName(name)))
		default:
			b.Warn("vary", fmt.Sprintf("no request has an environ variable %q, so nothing varies on it", name))
		}
	}
}
