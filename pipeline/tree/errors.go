package tree

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
// A factory, or the Validate method of its settings, returns plain errors, or an Error with the Key
// alone (and, where it helps, a Hint); the loader fills in the rest. Errors joined with
// [errors.Join] are reported one by one.
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
// contains no secret that this package knows of, whatever Err says.
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
	b.WriteString(strings.Join(slices.Concat([]string{e.message()}, e.hints()), "; "))
	return b.String()
}

// message returns the rule that is broken, in one line.
func (e *Error) message() string {
	if e.Err == nil {
		return ""
	}
	text := e.Err.Error()
	if e.Value != "" {
		// already shown
		text = strings.TrimPrefix(text, "storage: "+redact.Value("", e.Value)+": ")
	}
	return oneLine(e.secrets.Hide(text))
}

// hints returns what to write instead, each in one line.
func (e *Error) hints() []string {
	var hints []string
	if e.Hint != "" {
		hints = append(hints, oneLine(e.secrets.Hide(e.Hint)))
	}
	if e.listed {
		hints = append(hints, oneLine(e.choices))
	}
	return hints
}

// Finding returns the error in parts, for output to programs.
func (e *Error) Finding() Finding {
	f := Finding{
		File: e.File, Line: e.Line, Section: oneLine(redact.Key(e.Section)),
		Key: oneLine(redact.Key(e.Key)), Message: e.message(), Hint: strings.Join(e.hints(), "; "),
	}
	if e.Value != "" {
		f.Value = e.shown()
	}
	return f
}

// A Finding is an error or a warning in parts. Like the text of the error, no part contains a secret
// that this package knows of.
type Finding struct {
	File    string // as it was named; "" if the finding is not about a file
	Line    int    // from 1; 0 if the finding is about the whole file
	Section string // such as "app:main", or ""
	Key     string // of the setting, or ""
	Value   string // of the setting, "***" for a secret, or "" if it does not matter
	Message string // the rule that is broken, in one line
	Hint    string // what to write instead, or ""
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
	for i, single := range e {
		lines[i] = single.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, single := range e {
		errs[i] = single
	}
	return errs
}

// JoinErrors joins errors about the same files, such as those of [Resolve] and of package
// pipeline's Load and LoadServer: each error once, sorted by file and line. The result is of type
// [Errors], or nil if there is no error.
func JoinErrors(errs ...error) error {
	var all Errors
	for _, err := range errs {
		all = append(all, flatten(err, nil)...)
	}
	return sorted(all)
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
		var errs Errors
		for _, err := range e.Unwrap() {
			errs = append(errs, flatten(err, locate)...)
		}
		return errs
	}
	whole := &Error{Err: err}
	if inner := flatten(errors.Unwrap(err), nil); len(inner) > 0 {
		if inner[0].File != "" {
			// the text of a composite around it adds nothing to the child's own position
			return inner
		}
		whole.Key = inner[0].Key
	}
	if locate != nil {
		locate(whole)
	}
	return Errors{whole}
}

func sorted(errs Errors) error {
	if len(errs) == 0 {
		return nil
	}
	slices.SortStableFunc(errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	seen, listed := map[string]bool{}, map[string]bool{}
	return slices.DeleteFunc(errs, func(e *Error) bool {
		e.listed = false
		text := e.Error()
		if seen[text] {
			return true
		}
		seen[text] = true
		if e.choices != "" {
			e.listed = !listed[e.choices]
			listed[e.choices] = true
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

// Err converts the warning to an error, for callers that stop at warnings.
func (w Warning) Err() *Error {
	return &Error{
		File: w.File, Line: w.Line, Section: w.Section, Key: w.Key,
		Err: warningError(w),
	}
}

// A warningError is a warning that is an error.
type warningError Warning

func (w warningError) Error() string { return redact.Text(w.Message) }

// Is reports whether target is ErrBroken and the warning is about a pipeline that is broken.
func (w warningError) Is(target error) bool { return w.Broken && target == ErrBroken }

// Finding returns the warning in parts, for output to programs.
func (w Warning) Finding() Finding { return w.Err().Finding() }

// String formats the warning like an Error.
func (w Warning) String() string {
	e := Error{File: w.File, Line: w.Line, Section: w.Section, Key: w.Key}
	return e.Error() + oneLine(redact.Text(w.Message))
}

// ErrBroken matches the errors of [Warning.Err] for a warning that is Broken.
var ErrBroken = errors.New("requests fail, or a guarantee is lost")

// ErrNotRegistered is wrapped by the errors about a name for which the catalog has no factory.
var ErrNotRegistered = errors.New("not registered")

// ErrUnknownSetting is wrapped by the errors about a key that the factory of its section does not
// have.
var ErrUnknownSetting = errors.New("unknown setting")

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
