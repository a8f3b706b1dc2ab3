// Package pystr splits and strips text as the methods of Python's str do, with Python's idea of
// white space. Files that Python programs read have to mean the same here.
package pystr

import (
	"strings"
	"unicode"
)

// IsSpace reports whether Python's str.isspace does: Unicode white space and the four information
// separators.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// Strip returns s without the white space at both ends, as str.strip.
func Strip(s string) string { return strings.TrimFunc(s, IsSpace) }

// StripRight returns s without the white space at its end, as str.rstrip.
func StripRight(s string) string { return strings.TrimRightFunc(s, IsSpace) }

// Fields returns the words of s, as str.split.
func Fields(s string) []string { return strings.FieldsFunc(s, IsSpace) }
