package storage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/storage"
)

type pairs = [][2]string

func TestIntervals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		add, want pairs
	}{
		{"one", pairs{{"b", "d"}}, pairs{{"b", "d"}}},
		{"apart", pairs{{"f", "g"}, {"b", "c"}, {"d", "e"}}, pairs{{"b", "c"}, {"d", "e"}, {"f", "g"}}},
		{"touching", pairs{{"b", "c"}, {"c", "d"}}, pairs{{"b", "d"}}},
		{"touching from below", pairs{{"c", "d"}, {"b", "c"}}, pairs{{"b", "d"}}},
		{"overlapping", pairs{{"b", "d"}, {"c", "e"}}, pairs{{"b", "e"}}},
		{"inside", pairs{{"b", "e"}, {"c", "d"}}, pairs{{"b", "e"}}},
		{"around", pairs{{"c", "d"}, {"b", "e"}}, pairs{{"b", "e"}}},
		{"bridge", pairs{{"b", "c"}, {"e", "f"}, {"h", "i"}, {"bb", "g"}}, pairs{{"b", "g"}, {"h", "i"}}},
		{"open end", pairs{{"b", "c"}, {"e", ""}}, pairs{{"b", "c"}, {"e", ""}}},
		{"into open end", pairs{{"e", ""}, {"b", "f"}}, pairs{{"b", ""}}},
		{"after open end", pairs{{"e", ""}, {"x", "y"}}, pairs{{"e", ""}}},
		{"open end over all", pairs{{"b", "c"}, {"e", "f"}, {"", ""}}, pairs{{"", ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := storage.Intervals(tt.add...); !cmp.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// FuzzIntervals compares the set with a list of its intervals.
func FuzzIntervals(f *testing.F) {
	f.Add([]byte("bdcefgaz"))
	f.Fuzz(func(t *testing.T, bounds []byte) {
		var added pairs
		for ; len(bounds) >= 2; bounds = bounds[2:] {
			p := [2]string{string(bounds[:1]), string(bounds[1:2])}
			if bounds[1] == 0 {
				p[1] = ""
			}
			if p[1] == "" || p[0] < p[1] {
				added = append(added, p)
			}
		}
		set, contain := storage.Intervals(added...)
		for i := 1; i < len(set); i++ {
			if end := set[i-1][1]; end == "" || end >= set[i][0] {
				t.Errorf("%v: not sorted and apart", set)
			}
		}
		for b := range 256 {
			key, want := string([]byte{byte(b)}), false
			for _, p := range added {
				want = want || p[0] <= key && (p[1] == "" || key < p[1])
			}
			if contain(key) != want {
				t.Errorf("%v contains %q: got %t, want %t", set, key, !want, want)
			}
		}
	})
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prefix string
		to     []byte
	}{
		{"", nil},
		{"a", []byte("b")},
		{"a\xff", []byte("b")},
		{"a\xff\xff", []byte("b")},
		{"\xff", nil},
		{"\xff\xff", nil},
		{"a\x00", []byte("a\x01")},
	} {
		got := storage.Prefix([]byte(tt.prefix))
		if string(got.From) != tt.prefix || !cmp.Equal(got.To, tt.to) || got.Reverse {
			t.Errorf("%q: got %q to %q", tt.prefix, got.From, got.To)
		}
	}
}
