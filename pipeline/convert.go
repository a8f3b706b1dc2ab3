package pipeline

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pasteline/pasteline/internal/redact"
)

// AsBool reads a truth value as PasteDeploy's asbool does: true, yes, on, y, t or 1, and false, no,
// off, n, f or 0, in any case, with space around it. Anything else, the empty string too, is an
// error.
func AsBool(s string) (bool, error) {
	switch strings.ToLower(strip(s)) {
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
func AsList(s string) []string { return fields(s) }

// SplitList splits s at each sep, and strips the white space around the elements, as PasteDeploy's
// aslist does with a separator; the list of an empty string has one empty element.
func SplitList(s, sep string) []string {
	list := strings.Split(s, sep)
	for i := range list {
		list[i] = strip(list[i])
	}
	return list
}

// isSpace reports whether Python's str.isspace does: Unicode white space and the four information
// separators.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

func strip(s string) string      { return strings.TrimFunc(s, isSpace) }
func stripRight(s string) string { return strings.TrimRightFunc(s, isSpace) }
func fields(s string) []string   { return strings.FieldsFunc(s, isSpace) }

// Bytes is a size in bytes. A setting of this type is a whole number, or a number with a unit:
// "2MB", "1.5 GiB", "512k". The units are powers of 1024, with or without the i, as in the
// configuration files of Zope.
type Bytes int64

// Limit returns the size in bytes for a Config in which zero means the default limit and a negative
// number means no limit: an explicit 0 becomes -1.
func (b Bytes) Limit() int64 {
	if b == 0 {
		return -1
	}
	return int64(b)
}

// AtLeastOne returns the size in bytes, and 1 for an explicit 0. It is for a Config in which zero
// means the default, and where one byte has the effect of none.
func (b Bytes) AtLeastOne() int64 { return max(int64(b), 1) }

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	errWant := errors.New("want a size in bytes, such as 2MB")
	s := strings.ToLower(strip(string(text)))
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz ")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(s[len(number):]), "b"), "i")
	shift := 0
	switch unit {
	case "":
	case "k":
		shift = 10
	case "m":
		shift = 20
	case "g":
		shift = 30
	case "t":
		shift = 40
	default:
		return errWant
	}
	if n, err := AsInt(number); err == nil {
		size := new(big.Int).Lsh(big.NewInt(n), uint(shift))
		if !size.IsInt64() || n < 0 {
			return errWant
		}
		*b = Bytes(size.Int64())
		return nil
	}
	f, err := strconv.ParseFloat(number, 64)
	size := f * float64(int64(1)<<shift)
	if err != nil || !(size >= 0 && size < math.MaxInt64) {
		return errWant
	}
	*b = Bytes(size)
	return nil
}

// String formats the size with the largest unit that divides it.
func (b Bytes) String() string {
	for _, unit := range []struct {
		size Bytes
		name string
	}{{1 << 40, "TB"}, {1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "KB"}} {
		if b >= unit.size && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// asDuration reads "30s", "1m30s", or a plain number of seconds, as the Python originals do.
func asDuration(s string) (time.Duration, error) {
	s = strip(s)
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	seconds, err := strconv.ParseFloat(s, 64)
	ns := seconds * float64(time.Second)
	if err != nil || !(ns > math.MinInt64 && ns < math.MaxInt64) {
		return 0, errors.New("want a duration, such as 30s (a plain number is seconds)")
	}
	return time.Duration(math.Round(ns)), nil
}

// A Secret is a setting that is never shown: printed, logged or marshalled, it reads "***". Errors
// about it do not quote it either.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "***", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format prints "***" whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText returns "***", so that encoding/json and slog hide the secret too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText keeps the text as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

const hidden = redact.Hidden
