package browserid

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
)

// lines returns the non-empty lines of text without the white space around them.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

const makeOne = `make one with "openssl rand -hex 32"`

// checkSecretSource checks that there is exactly one source for the secret.
func (c *Config) checkSecretSource(f *faults) {
	var sources []string
	for _, s := range []struct{ key, value string }{
		{"secret_key", c.SecretKey.Reveal()},
		{"secret_key_file", c.SecretKeyFile},
		{"secret_key_env", c.SecretKeyEnv},
	} {
		if s.value != "" {
			sources = append(sources, s.key)
		}
	}
	switch len(sources) {
	case 0:
		f.add("secret_key", "", "no secret: %s and set it here, "+
			"or name a file in secret_key_file or an environment variable in secret_key_env",
			makeOne)
	case 1:
	default:
		f.add(sources[1], "", "%s is set as well: "+
			"keep one of them (older secrets go to old_secret_keys)", sources[0])
	}
	for _, key := range c.OldSecretKeys {
		if key == "" {
			f.add("old_secret_keys", "", "anyone can sign cookies with an empty secret")
		}
	}
}

// source returns the key of the setting that the secret comes from.
func (c *Config) source() string {
	switch {
	case c.SecretKeyFile != "":
		return "secret_key_file"
	case c.SecretKeyEnv != "":
		return "secret_key_env"
	}
	return "secret_key"
}

// secrets returns all secrets, of which the first signs.
func (c *Config) secrets() ([]string, error) {
	var keys []string
	switch c.source() {
	case "secret_key":
		keys = []string{c.SecretKey.Reveal()}
	case "secret_key_file":
		readFile := c.readFile
		if readFile == nil {
			readFile = os.ReadFile
		}
		text, err := readFile(c.SecretKeyFile)
		if err != nil {
			fault := &pipeline.Error{Key: "secret_key_file", Err: err}
			if errors.Is(err, fs.ErrNotExist) {
				makeFile := "openssl rand -hex 32 > " + c.SecretKeyFile
				fault.Hint = fmt.Sprintf("make one with %q", makeFile)
			}
			return nil, fault
		}
		keys = lines(string(text))
	case "secret_key_env":
		keys = lines(os.Getenv(c.SecretKeyEnv))
	}
	if len(keys) == 0 {
		err := fmt.Errorf("file %s has no secret in it", c.SecretKeyFile)
		if c.SecretKeyEnv != "" {
			err = fmt.Errorf("environment variable %s is empty or not set", c.SecretKeyEnv)
		}
		return nil, &pipeline.Error{Key: c.source(), Err: err, Hint: makeOne}
	}
	for _, old := range c.OldSecretKeys {
		keys = append(keys, old.Reveal())
	}
	return keys, nil
}

const (
	minSecretLen = 16 // bytes: 128 bits, if they were random
	minVariety   = 6  // different bytes: 16 random decimal digits nearly always have at least 6
)

// weaknessOf describes the weakness of a secret; it returns "" if it finds none.
func weaknessOf(secret string) string {
	switch {
	case isPlaceholder(secret):
		return "is a well-known example"
	case len(secret) < minSecretLen:
		return fmt.Sprintf("has %d characters, fewer than %d, and may be guessed",
			len(secret), minSecretLen)
	case variety(secret) < minVariety:
		return fmt.Sprintf("has only %d different characters, and may be guessed", variety(secret))
	case isRepetition(secret):
		return "repeats a few characters, and may be guessed"
	}
	return ""
}

// variety returns the number of different bytes in secret.
func variety(secret string) int {
	seen := map[byte]bool{}
	for _, c := range []byte(secret) {
		seen[c] = true
	}
	return len(seen)
}

// isRepetition reports whether secret repeats one piece that is shorter than minSecretLen. The last
// repetition may be partial.
func isRepetition(secret string) bool {
	const chance = 4 // a repetition of up to 4 characters may be chance
	for n := 1; n < minSecretLen && n+chance <= len(secret); n++ {
		if secret[n:] == secret[:len(secret)-n] {
			return true
		}
	}
	return false
}

// isPlaceholder reports whether secret is a well-known example from tutorials and templates.
func isPlaceholder(secret string) bool {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_. <>!*", r) {
			return -1
		}
		return r
	}, strings.ToLower(secret))
	switch plain {
	case "mysecretkey", "mysecret", "secret", "secretkey", "asecret", "thesecret", "yoursecret",
		"yoursecretkey", "supersecret", "topsecret", "verysecret", "changeme", "changethis",
		"changeit", "replaceme", "password", "passwort", "example", "placeholder", "foo", "test",
		"todo", "xxx", "key", "seekrit", "seekret", "itsaseekreet", "sosecret", "s3cret",
		"insecure", "default", "dev":
		return true
	}
	return false
}
