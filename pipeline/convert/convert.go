// Package convert reads the values of settings as PasteDeploy's module paste.deploy.converters does:
// asbool, asint and aslist. Files that were written for Python programs have to mean the same here.
//
// A factory that declares its settings as a struct gets converted values, and does not call this
// package. It is for settings without a declared type, such as those of [DEFAULT].
package convert

import (
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// AsBool reads a truth value as PasteDeploy's asbool does: true, yes, on, y, t or 1, and false, no,
// off, n, f or 0, in any case, with space around it. Anything else, the empty string too, is an
// error.
func AsBool(s string) (bool, error) {
	switch strings.ToLower(pystr.Strip(s)) {
	case "true", "yes", "on", "y", "t", "1":
		return true, nil
	case "false", "no", "off", "n", "f", "0":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// AsInt reads a whole number as PasteDeploy's asint does, that is, as Python's int: white space
// around it, a sign, leading zeros, single underscores between digits, and the decimal digits of
// every script are accepted. A number that does not fit 64 bits is an error.
func AsInt(s string) (int64, error) {
	errWant := errors.New("want a whole number")
	// Python's int, unlike its strip, does not count U+001C to U+001F as white space.
	digits := []rune(strings.TrimFunc(s, unicode.IsSpace))
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	text := make([]byte, 0, len(digits)+1)
	if negative {
		text = append(text, '-')
	}
	afterDigit := false
	for i, r := range digits {
		if r == '_' && afterDigit && i+1 < len(digits) {
			afterDigit = false
			continue
		}
		value, ok := digitValue(r)
		if !ok {
			return 0, errWant
		}
		text = append(text, '0'+value)
		afterDigit = true
	}
	if !afterDigit {
		return 0, errWant
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, errors.New("want a whole number that fits 64 bits")
	}
	return n, nil
}

// digitValue returns the value of a decimal digit of any script. Unicode keeps each script's ten
// digits together and in order, so the value is the distance from the start of the run.
// Neighbouring runs, as in U+1D7CE to U+1D7FF, have ten digits each.
func digitValue(r rune) (byte, bool) {
	if r >= '0' && r <= '9' {
		return byte(r - '0'), true
	}
	if r < 0x80 || !unicode.Is(unicode.Nd, r) {
		return 0, false
	}
	start := r
	for unicode.Is(unicode.Nd, start-1) {
		start--
	}
	return byte((r - start) % 10), true //nolint:gosec // less than ten
}

// AsList splits s at white space as PasteDeploy's aslist does; the list of an empty string is
// empty.
func AsList(s string) []string { return pystr.Fields(s) }

// SplitList splits s at each sep, and strips the white space around the elements, as PasteDeploy's
// aslist does with a separator; the list of an empty string has one empty element.
func SplitList(s, sep string) []string {
	list := strings.Split(s, sep)
	for i := range list {
		list[i] = pystr.Strip(list[i])
	}
	return list
}
