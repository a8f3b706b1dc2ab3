package serve

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// A severity says whether a finding makes a command fail. Its values are also the levels of SARIF.
type severity string

const (
	severityError   severity = "error"
	severityWarning severity = "warning"
	severityNote    severity = "note"
)

// A finding is an error, a warning or a note about a configuration, in the form of --json.
type finding struct {
	Severity severity `json:"severity"`
	Rule     string   `json:"rule"` // one of rules
	File     string   `json:"file,omitempty"`
	Line     int      `json:"line,omitempty"`
	Section  string   `json:"section,omitempty"`
	Key      string   `json:"key,omitempty"`
	Value    string   `json:"value,omitempty"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
}

// A rule is a class of findings.
type rule struct{ id, text string }

// rules are the classes of findings. Their ids are stable: programs filter by them.
var rules = []rule{
	{"file", "A file can't be read, or has a syntax error."},
	{"section", "A section is missing, or can't be used."},
	{"setting", "A setting is missing, or has a value that can't be used."},
	{"unknown-setting", "A key that the factory of the section does not have."},
	{"not-registered", "A name for which the program has no factory."},
	{"broken-pipeline", "Requests would fail, or a guarantee would be lost."},
	{"advice", "A line that works, but probably not as intended."},
	{"unchecked", "A check that was not possible beside other processes."},
}

func newFinding(severity severity, rule string, f tree.Finding) finding {
	return finding{
		Severity: severity, Rule: rule, File: f.File, Line: f.Line, Section: f.Section, Key: f.Key,
		Value: f.Value, Message: f.Message, Hint: f.Hint,
	}
}

// faultFindings returns the errors of a configuration that err joins.
func faultFindings(err error) []finding {
	all, _ := errors.AsType[tree.Errors](tree.JoinErrors(err))
	found := []finding{}
	for _, e := range all {
		found = append(found, newFinding(severityError, ruleOf(e), e.Finding()))
	}
	return found
}

// ruleOf returns the class of an error.
func ruleOf(e *tree.Error) string {
	switch {
	case errors.Is(e, tree.ErrBroken):
		return "broken-pipeline"
	case errors.Is(e, tree.ErrUnknownSetting):
		return "unknown-setting"
	case errors.Is(e, tree.ErrNotRegistered):
		return "not-registered"
	case e.Key != "":
		return "setting"
	case e.Section != "":
		return "section"
	}
	return "file"
}

// adviceFindings returns the findings of warnings.
func adviceFindings(severity severity, warnings []tree.Warning) []finding {
	var found []finding
	for _, w := range warnings {
		found = append(found, newFinding(severity, "advice", w.Finding()))
	}
	return found
}

// sortFindings sorts by file and line; findings about the same line keep their order.
func sortFindings(found []finding) {
	slices.SortStableFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// valid reports whether no finding is an error.
func valid(found []finding) bool {
	return !slices.ContainsFunc(found, func(f finding) bool { return f.Severity == severityError })
}

// errPrinted is the error of a command that has printed its errors as a part of its output.
var errPrinted = errors.New("printed already")

// printedUnless returns errPrinted unless all is well.
func printedUnless(ok bool) error {
	if ok {
		return nil
	}
	return errPrinted
}

// writeJSON writes the output of --json.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
