// Package suggest finds the name that was probably meant by an unknown one, for the hints of error
// messages.
package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the only candidate similar to name: one edit away, else two edits, else with a
// common prefix.
func Nearest(name string, candidates []string) (string, bool) {
	var near [3][]string
	var prefix []string
	for _, candidate := range candidates {
		if candidate == name {
			continue
		}
		if d := editDistance(name, candidate); d <= 2 && d < len(name) && d < len(candidate) {
			near[d] = append(near[d], candidate)
		}
		if len(name) >= 3 && len(candidate) >= 3 && (strings.HasPrefix(candidate, name) ||
			strings.HasPrefix(name, candidate)) {
			prefix = append(prefix, candidate)
		}
	}
	for _, group := range append(near[:], prefix) {
		if len(group) > 0 {
			return group[0], len(group) == 1
		}
	}
	return "", false
}

// DidYouMean returns the hint for an unknown name: the only similar candidate, or else all
// candidates.
func DidYouMean(name string, candidates []string) string {
	if near, ok := Nearest(name, candidates); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return Have(candidates)
}

// Have lists the candidates, sorted, up to a maximum.
func Have(candidates []string) string {
	if len(candidates) == 0 {
		return "there is none"
	}
	const most = 20
	names := slices.Compact(slices.Sorted(slices.Values(candidates)))
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return "have: " + strings.Join(names, ", ") + more
}

// editDistance returns the Levenshtein distance in bytes. Above two it is not exact, which makes
// long, different names cheap.
func editDistance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 || len(a) > 200 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// IsSlip reports whether a and b are equal, differ in one letter, or have two neighbouring letters
// exchanged.
func IsSlip(a, b string) bool {
	if editDistance(a, b) <= 1 {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
