package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/internal/redact"
)

// An Error is one error in a configuration, with its position.
//
// A factory, or a settings struct's Validate, returns plain errors, or an Error with the Key alone
// (and, where it helps, a Hint); the loader fills in the rest. Errors joined with [errors.Join] are
// reported one by one.
type Error struct {
	File    string // as it was named; "" if the error is not in a file
	Line    int    // of the value, from 1; 0 if the error concerns the whole file
	Section string // such as "app:main"
	Key     string
	Value   string // after interpolation; "***" for a secret
	Origin  string // how the value was composed, if it is not written at Line
	Err     error  // the rule that is broken
	Hint    string // what to write instead, or the possible values

	choices string          // the possible values; only the first of several errors shows them
	listed  bool            // this error shows the choices
	secrets *redact.Secrets // of the loaded files, to be hidden in messages
	// the factory declares the setting as no secret, even if its key looks like one
	plain bool
}

// Error returns one line that starts with the position, so that editors can jump to it. The line
// contains no secret that package pipeline knows of, whatever Err says.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(oneLine(position(e.File, e.Line)))
		b.WriteString(": ")
	}
	if e.Section != "" {
		fmt.Fprintf(&b, "[%s]", oneLine(redact.Key(e.Section)))
	}
	if e.Key != "" {
		if e.Section != "" {
			b.WriteByte(' ')
		}
		b.WriteString(oneLine(redact.Key(e.Key)))
		if e.Value != "" {
			fmt.Fprintf(&b, " = %q", e.shown())
		}
		if e.Origin != "" {
			fmt.Fprintf(&b, " (%s)", e.Origin)
		}
	}
	if e.Section != "" || e.Key != "" {
		b.WriteString(": ")
	}
	if e.Err != nil {
		text := e.Err.Error()
		if e.Value != "" {
			// already shown
			text = strings.TrimPrefix(text, "storage: "+redact.Value("", e.Value)+": ")
		}
		b.WriteString(oneLine(e.secrets.Hide(text)))
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(oneLine(e.secrets.Hide(e.Hint)))
	}
	if e.listed {
		b.WriteString("; ")
		b.WriteString(oneLine(e.choices))
	}
	return b.String()
}

// shown returns the value with secrets hidden.
func (e *Error) shown() string {
	if e.plain && redact.IsSecretKey(e.Key) {
		return e.secrets.Value("", e.Value)
	}
	return e.secrets.Value(e.Key, e.Value)
}

// Unwrap returns the rule that is broken.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the errors of a configuration, sorted by file and line. Load and Resolve return
// them.
type Errors []*Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, fault := range e {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, fault := range e {
		errs[i] = fault
	}
	return errs
}

// JoinErrors joins errors that Load, LoadServer and Resolve returned for the same files: each error
// once, sorted by file and line. It returns nil if there is none.
func JoinErrors(errs ...error) error {
	var faults Errors
	for _, err := range errs {
		faults = append(faults, flatten(err, nil)...)
	}
	return sorted(faults)
}

// flatten splits err into single errors. It calls locate, if not nil, for each that has no position
// yet.
func flatten(err error, locate func(*Error)) Errors {
	if err == nil {
		return nil
	}
	switch e := err.(type) { //nolint:errorlint // the tree is walked here, level by level
	case *Error:
		if e.File != "" || locate == nil {
			return Errors{e}
		}
		whole := *e
		locate(&whole)
		return Errors{&whole}
	case interface{ Unwrap() []error }:
		var faults Errors
		for _, err := range e.Unwrap() {
			faults = append(faults, flatten(err, locate)...)
		}
		return faults
	}
	fault := &Error{Err: err}
	if inner := flatten(errors.Unwrap(err), nil); len(inner) > 0 {
		if inner[0].File != "" {
			// the text of a composite around it adds nothing to the child's own position
			return inner
		}
		fault.Key = inner[0].Key
	}
	if locate != nil {
		locate(fault)
	}
	return Errors{fault}
}

func sorted(faults Errors) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	seen, listed := map[string]bool{}, map[string]bool{}
	return slices.DeleteFunc(faults, func(fault *Error) bool {
		fault.listed = false
		text := fault.Error()
		if seen[text] {
			return true
		}
		seen[text] = true
		if fault.choices != "" {
			fault.listed = !listed[fault.choices]
			listed[fault.choices] = true
		}
		return false
	})
}

// A Warning is about a setting or section that works, but probably not as intended.
type Warning struct {
	File    string
	Line    int
	Section string
	Key     string
	Message string // the reason, and what to write instead

	// Broken reports that requests fail, or a guarantee is lost. Load succeeds all the same, as
	// with PasteDeploy.
	Broken bool
}

// Fault converts the warning to an error, for callers that stop at warnings.
func (w Warning) Fault() *Error {
	return &Error{
		File: w.File, Line: w.Line, Section: w.Section, Key: w.Key,
		Err: errors.New(w.Message),
	}
}

// String formats the warning like an Error.
func (w Warning) String() string {
	e := Error{File: w.File, Line: w.Line, Section: w.Section, Key: w.Key}
	return e.Error() + oneLine(redact.Text(w.Message))
}

func position(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// isInvisible reports whether a character would break a line or be invisible in it: controls,
// Unicode's spaces and line separators, marks that change the text direction.
func isInvisible(r rune) bool { return !unicode.IsPrint(r) }

// oneLine escapes the invisible characters of a text from a file or a foreign error, so that a
// message stays in one line.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, isInvisible) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isInvisible(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
