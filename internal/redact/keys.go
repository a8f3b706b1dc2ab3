package redact

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	secretWords = []string{
		"secret", "secrets", "password", "passwords", "passwd", "passphrase", "pass", "pwd", "pw",
		"token", "tokens", "key", "keys", "credential", "credentials", "salt", "signature",
	}
	// Words that end with one of these, or contain it, are secret words too: "dbpasswd",
	// "secretkey".
	secretEnds = []string{
		"passwd", "passphrase", "pwd", "token", "apikey", "accesskey",
		"privatekey", "signingkey",
	}
	secretParts = []string{"secret", "password"}
	// Words after a secret word that make the key name a property of the secret instead of the
	// secret.
	aboutSecrets = []string{
		"file", "path", "env", "dir", "directory", "folder", "name", "header", "length", "size",
		"lifetime", "timeout", "ttl", "age", "id", "prefix",
		"spaces", "type", "algorithm", "field", "param", "url", "uri", "bits", "with",
		"required", "rotation",
	}
	// Those of them that make the key name the place of the secret.
	pathsOfSecrets     = []string{"file", "path", "dir", "directory", "folder"}
	variablesOfSecrets = []string{"env"}
)

// IsSecretKey reports whether the value of a setting is a secret, judging by its key.
func IsSecretKey(key string) bool {
	words, secret := wordsOf(key)
	return secret && !slices.Contains(aboutSecrets, words[len(words)-1])
}

// IsPasswordKey is IsSecretKey for unambiguous keys only: "tls_key" may name a file, or "sort_key"
// a column.
func IsPasswordKey(key string) bool {
	words, _ := wordsOf(key)
	for i, word := range words {
		if strings.TrimRight(word, "s0123456789") == "key" {
			words[i] = ""
		}
	}
	return IsSecretKey(strings.Join(words, "_"))
}

// wordsOf returns the words of a key, in lower case, and reports whether one of them is a secret
// word.
func wordsOf(key string) (words []string, secret bool) {
	words = strings.FieldsFunc(snakeCase(key), func(r rune) bool {
		return !unicode.IsLetter(r) &&
			!unicode.IsDigit(r)
	})
	return words, slices.ContainsFunc(words, func(word string) bool {
		word = strings.TrimRightFunc(word, unicode.IsDigit)
		return slices.Contains(secretWords, word) ||
			slices.ContainsFunc(secretEnds,
				func(end string) bool { return strings.HasSuffix(word, end) }) ||
			slices.ContainsFunc(secretParts,
				func(part string) bool { return strings.Contains(word, part) })
	})
}

// snakeCase converts secretKey to secret_key.
func snakeCase(key string) string {
	var b strings.Builder
	before := rune(0)
	for _, r := range key {
		if unicode.IsUpper(r) && unicode.IsLower(before) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
		before = r
	}
	return b.String()
}

// misplaced reports whether key names the place of a secret but value does not look like a place,
// so that it may be the secret itself.
func misplaced(key, value string) bool {
	words, secret := wordsOf(key)
	if !secret || value == "" {
		return false
	}
	switch last := words[len(words)-1]; {
	case slices.Contains(pathsOfSecrets, last):
		return !isPath(value)
	case slices.Contains(variablesOfSecrets, last):
		return !isVariable(value)
	}
	return false
}

// Key returns the key of a setting for output. A line without a delimiter between key and value is
// all key: "secret_key aGVsbG8=".
func Key(key string) string {
	if first, rest, ok := strings.Cut(strings.TrimSpace(key), " "); ok && rest != "" {
		if _, secret := wordsOf(first); secret {
			return first + " " + Hidden
		}
	}
	if isRandom(key) {
		return Hidden
	}
	return Text(key)
}

// Name returns for output the name of a setting that %(name)s refers to in the value of key, or
// "ENV_" and the name of a variable: it may be a secret that was put there by mistake.
func Name(key, name string) string {
	variable, isEnv := strings.CutPrefix(name, "ENV_")
	switch {
	case isEnv && !isVariable(variable):
		return "ENV_" + Hidden
	case !isEnv && IsSecretKey(key):
		return Hidden
	}
	return Key(name)
}

var (
	variableName = regexp.MustCompile(`^_?[A-Z][A-Z0-9]{0,15}(_[A-Z0-9]{1,15})*_?$`)
	pathPart     = regexp.MustCompile(`^[\pL\pN ._@~-]*$`)
	fileName     = regexp.MustCompile(`^[\pL\pN_-]+\.[a-z]{1,7}$`)
)

// isVariable reports whether s looks like the name of an environment variable: words in capitals.
func isVariable(s string) bool {
	return variableName.MatchString(s) && !isRandom(s) &&
		(strings.Contains(s, "_") || !strings.ContainsAny(s, "0123456789"))
}

// isPath reports whether s looks like the path of a file.
func isPath(s string) bool {
	s = strings.ReplaceAll(s, `\`, "/")
	if len(s) > 2 && s[1] == ':' && s[2] == '/' {
		s = s[2:]
	}
	parts := strings.Split(s, "/")
	for _, part := range parts {
		if !pathPart.MatchString(part) || isRandom(part) {
			return false
		}
	}
	if len(parts) == 1 {
		_, secret := wordsOf(s) // "secret" is a common folder of secrets
		return fileName.MatchString(s) || secret && strings.ToLower(s) == s &&
			!strings.ContainsAny(s, "0123456789")
	}
	switch parts[0] {
	case "", ".", "..", "~":
		return true
	}
	return strings.ToLower(s) == s // base64 contains slashes too
}

// isRandom reports whether s has a part that looks like a key: long, with alternating letters and
// digits.
func isRandom(s string) bool {
	for word := range strings.FieldsFuncSeq(s,
		func(r rune) bool { return strings.ContainsRune(" ._-@~/", r) }) {
		turns, digits := 0, 0
		before := rune(0)
		for _, r := range word {
			if before != 0 && unicode.IsDigit(r) != unicode.IsDigit(before) {
				turns++
				digits++
			}
			if unicode.IsUpper(r) && unicode.IsLower(before) {
				turns++
			}
			before = r
		}
		if len(word) >= 12 && (digits >= 4 || 3*turns >= len(word)) {
			return true
		}
	}
	return false
}
