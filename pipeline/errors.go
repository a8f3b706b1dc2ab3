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

// An Error is one fault of a configuration, and where it is.
//
// A factory, or a settings struct's Validate, returns plain errors, or an Error with the Key alone (and, where it helps,
// a Hint); the loader fills in the rest. Of several errors joined with [errors.Join] each is reported by itself.
type Error struct {
	File    string // as it was named; "" when the fault is not in a file
	Line    int    // where the value was written, from 1; 0 when the fault concerns the file as a whole
	Section string // such as "app:main"
	Key     string
	Value   string // the value as it was understood; "***" for a secret
	Origin  string // how the value came about, when it is not what stands at Line
	Err     error  // the rule that was broken
	Hint    string // what to write instead, or what there is to choose from

	choices string          // what there is to choose from; of several faults the first alone shows it
	listed  bool            // whether this fault shows the choices
	secrets *redact.Secrets // of the files that were loaded
	plain   bool            // whether a factory says that the setting is no secret, whatever its key looks like
}

// Error returns the fault in one line that starts with the position, so that editors can jump to it. The line shows no secret
// that package pipeline knows of, whatever Err says.
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
			text = strings.TrimPrefix(text, "storage: "+redact.Value("", e.Value)+": ") // it stands there already
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

// shown returns the value as it may be shown.
func (e *Error) shown() string {
	if e.plain && redact.IsSecretKey(e.Key) {
		return e.secrets.Value("", e.Value)
	}
	return e.secrets.Value(e.Key, e.Value)
}

// Unwrap returns the rule that was broken.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the faults of a configuration, sorted by file and line. Load and Resolve return them.
type Errors []*Error

// Error returns one line for each fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, fault := range e {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, fault := range e {
		errs[i] = fault
	}
	return errs
}

// JoinErrors makes one error of several that Load, LoadServer and Resolve returned for the same files: each fault once,
// sorted by file and line. It returns nil when there is none.
func JoinErrors(errs ...error) error {
	var faults Errors
	for _, err := range errs {
		faults = append(faults, flatten(err, nil)...)
	}
	return sorted(faults)
}

// flatten takes err apart into faults. Those that have no position yet are for locate to complete.
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
			return inner // what a composite says around the fault of a child adds nothing to the child's own position
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

// A Warning is about something that works, but hardly as meant.
type Warning struct {
	File    string
	Line    int
	Section string
	Key     string
	Message string // what is odd, and what to write instead

	// Broken is whether requests will fail, or a guarantee is lost, because of it. It loads all the same, as with PasteDeploy.
	Broken bool
}

// Fault returns the warning as a fault, for those that go no further with one.
func (w Warning) Fault() *Error {
	return &Error{File: w.File, Line: w.Line, Section: w.Section, Key: w.Key, Err: errors.New(w.Message)}
}

// String returns the warning in the form of an Error.
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

// isInvisible reports whether a character would break a line, or not be seen in it: controls, the spaces and line separators
// of Unicode, marks that turn the direction of the text.
func isInvisible(r rune) bool { return !unicode.IsPrint(r) }

// oneLine keeps what a file, or an error from elsewhere, says from breaking the line of a message.
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
