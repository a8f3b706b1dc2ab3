package storage

import "github.com/pasteline/pasteline/internal/redact"

// Redact returns uri as it may be shown: without user and password, and without the values of options that look like secrets.
// It also does so for what is not a well-formed URI, and then rather hides too much: a password may hold any character.
func Redact(uri string) string { return redact.Value("", uri) }
