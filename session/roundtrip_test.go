package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/session"
)

type (
	hidden   struct{ n int }
	shown    struct{ N int64 }
	skipping struct {
		N     int
		Cache int `json:"-"`
	}
	failure struct{ Code int }
	stamped struct {
		time.Time
		N int
	}
	inner    struct{ N int }
	outer    struct{ inner }
	writable struct{ n int }
)

func (f *failure) Error() string { return fmt.Sprint(f.Code) }

func (w writable) MarshalJSON() ([]byte, error) { return json.Marshal(w.n) }

// Set refuses values that would be different when read back.
func TestSetRefusesLossyValues(t *testing.T) {
	t.Parallel()
	const large = 1<<53 + 1
	tests := []struct {
		name  string
		value any
		want  string // a part of the error; empty: it is stored
	}{
		{
			"an integer of many digits in a map",
			map[string]any{"n": int64(large)},
			`at ["n"]: the number 9007199254740993 in an interface becomes 9007199254740992`,
		},
		{"in a list", []any{1, uint64(1<<64 - 1)}, "at [1]: the number 18446744073709551615"},
		{"in a struct in a map", map[string]any{"a": shown{large}}, "9007199254740993"},
		{"in a typed map in a list", []any{map[string]int64{"a": large}}, "9007199254740993"},
		{
			"in a json.Number",
			map[string]any{"n": json.Number("0.10000000000000000001")},
			"0.10000000000000000001",
		},
		{"behind a pointer", map[string]any{"n": new(int64)}, ""},
		{"of few digits", map[string]any{
			"n": 1 << 53, "x": float32(0.1), "y": 1e300,
			"z": json.Number("1.50"),
		}, ""},
		{"in a typed map", map[string]int64{"n": large}, ""},
		{"in a typed struct", shown{large}, ""},
		{"no UTF-8 in a list", []string{"a", "\xff"}, `at [1]: "\xff" is not valid UTF-8`},
		{"as a key", map[string]int{"\xff": 1}, `the key "\xff" is not valid UTF-8`},
		{"two keys without valid UTF-8", map[string]int{"\xff": 1, "\xfe": 2}, "2 keys become 1"},
		{"in an interface", map[string]any{"a": "\xff"}, `at ["a"]: "\xff" is not valid UTF-8`},
		{"in a field", struct{ S string }{"\xff"}, `at .S: "\xff" is not valid UTF-8`},
		{"a replacement character", []string{"\uFFFD"}, ""},
		{
			"bytes in an interface",
			map[string]any{"b": []byte("x")},
			"bytes in an interface become a string",
		},
		{"bytes in a typed map", map[string][]byte{"b": {0xff}}, ""},
		{"an error", errors.New("broken"), "JSON leaves out the field s of errors.errorString"},
		{
			"a wrapped error", fmt.Errorf("a: %w", context.Canceled),
			"it would be different when read back",
		},
		{
			"an error in a map",
			map[string]any{"err": errors.New("broken")},
			"JSON leaves out the field s",
		},
		{"an error with exported fields", &failure{3}, ""},
		{
			"a field that is not exported",
			hidden{1},
			"JSON leaves out the field n of session_test.hidden",
		},
		{"an unexported field that is zero", hidden{}, ""},
		{"a field with the tag -", skipping{1, 2}, ""},
		{"an embedded field", outer{inner{1}}, ""},
		{"a number by value", *big.NewInt(5), "its JSON can't be read"},
		{"a number by pointer", big.NewInt(5), ""},
		{"a type with MarshalJSON alone", writable{5}, "its JSON can't be read"},
		{"a field beside an embedded time", stamped{time.Unix(start, 0), 5}, "at .N: 5 becomes 0"},
		{"a time", time.Now(), ""},
		{"times", map[string]any{"at": time.Now(), "list": []time.Time{time.Now()}}, ""},
		{"an address", struct{ A netip.Addr }{netip.MustParseAddr("::1")}, ""},
		{"keys that are texts", map[netip.Addr]string{netip.MustParseAddr("::1"): "home"}, ""},
		{"a URL", url.URL{Scheme: "https", Host: "localhost"}, ""},
		{"a URL with a password", url.URL{User: url.UserPassword("a", "b")}, "the field username"},
		{"an empty struct", map[string]any{
			"nil": nil, "map": map[string]int(nil), "list": []int{},
			"pointer": (*int)(nil),
		}, ""},
		{"nil slices", struct{ A, B []int }{nil, []int{}}, ""},
		{"nested", map[string]any{"a": []any{
			map[string]any{"b": "c", "d": true, "e": nil},
			[]string{"f"},
		}}, ""},
		{"raw", json.RawMessage(`{"a": "\ufffd", "n": 9007199254740993}`), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, session.Config{})
			do(t, func(ctx context.Context) {
				err := f.get(ctx, t, "id").Set("v", tt.value)
				_, ok := errors.AsType[*session.ValueError](err)
				if ok != (tt.want != "") || tt.want == "" && err != nil || ok &&
					!strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want a ValueError: %q", err, tt.want)
				}
			})
			if n := len(f.records(t)); (n == 0) != (tt.want != "") {
				t.Errorf("%d records", n)
			}
		})
	}
}
