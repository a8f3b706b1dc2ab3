package pipeline

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

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

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	errWant := errors.New("want a size in bytes, such as 2MB")
	s := strings.ToLower(pystr.Strip(string(text)))
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
	if n, err := convert.AsInt(number); err == nil {
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
	s = pystr.Strip(s)
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
	return redact.Hidden
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
