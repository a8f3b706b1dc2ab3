package show

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// raw returns the value of a setting of n for output, without secrets.
func (v *View) raw(n *tree.Node, s tree.Setting) string {
	if v.opts.Reveal {
		return s.Value
	}
	value := v.tree.Shown(n, s)
	if !byLoader(s) {
		for _, other := range v.opts.Others {
			value = other.Conceal(value)
		}
	}
	return value
}

// value is raw without control characters.
func (v *View) value(n *tree.Node, s tree.Setting) string { return clean(v.raw(n, s)) }

// key returns the key of a setting, or the name of a section, for output.
func (v *View) key(key string) string {
	if v.opts.Reveal {
		return key
	}
	return redact.Key(key)
}

// clean makes control characters other than line breaks visible, so that a file can't control the
// terminal.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !printable(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if printable(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

func printable(r rune) bool { return r == '\n' || unicode.IsPrint(r) }
