package storage

import (
	"regexp"
	"strings"
)

// secretOption finds the values of query parameters that are secrets in some database's URI.
var secretOption = regexp.MustCompile(`(?i)([?&;][^=&;]*(?:pass|pwd|secret|token|key)[^=&;]*=)[^&;#]*`)

// Redact returns uri as it may be shown: without user and password, and without the values of options that look like secrets.
// It also does so for what is not a well-formed URI, and then rather hides too much: a password may hold any character.
func Redact(uri string) string {
	uri = secretOption.ReplaceAllString(uri, "${1}***")
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || strings.HasPrefix(rest, "/") { // without a host there is no user: an @ is part of a path
		return uri
	}
	before, _, _ := strings.Cut(rest, "?")
	at := strings.LastIndex(before, "@")
	if at < 0 {
		return uri
	}
	return scheme + "://***" + rest[at:]
}
