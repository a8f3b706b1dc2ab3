package migrate

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Report writes a summary of the plan, for readers new to Go and to this project.
func (p *Plan) Report(w io.Writer) error {
	r := &report{out: bufio.NewWriter(w), plan: p}
	r.composition()
	r.registration()
	r.notNeeded()
	r.lines()
	r.additions()
	r.secrets()
	return r.out.Flush()
}

type report struct {
	out  *bufio.Writer
	plan *Plan
	rows [][2]string
}

// Flush returns the error
func (r *report) print(format string, args ...any) { _, _ = fmt.Fprintf(r.out, format, args...) }

// table prints rows with an aligned second column.
func (r *report) table() {
	width := 0
	for _, row := range r.rows {
		if n := utf8.RuneCountInString(row[0]); n <= widest {
			width = max(width, n)
		}
	}
	for _, row := range r.rows {
		gap := strings.Repeat(" ", max(width-utf8.RuneCountInString(row[0]), 0)+2)
		r.print("%s\n", strings.TrimRight("  "+row[0]+gap+row[1], " "))
	}
	r.rows = nil
}

// widest is the greatest length of a left column that is aligned.
const widest = 64

// place returns a position as text, with the name of the file only if there are several.
func (p *Plan) place(at tree.Position) string {
	switch {
	case at.File == "":
		return ""
	case at.Line == 0:
		return oneLine(at.File)
	}
	return fmt.Sprintf("%s:%d", oneLine(at.File), at.Line)
}

// composition prints the trees, the served ones first.
func (r *report) composition() {
	p := r.plan
	r.print("%s composes, from the outermost to the innermost:\n\n", oneLine(p.main().path))
	drawn := map[string]bool{}
	for i, resolved := range p.roots {
		if i == p.served {
			r.table()
			r.print("\nNothing of that uses these other sections:\n\n")
		}
		r.node(resolved, resolved.Root, "", drawn)
	}
	r.table()
}

func (r *report) node(resolved *tree.Tree, n *tree.Node, indent string, drawn map[string]bool) {
	title := string(n.Kind)
	named := n.Source.Section != "" && n.Source.Section == n.Name
	if named {
		title = "[" + oneLine(redact.Key(n.Name)) + "]"
	}
	if n.Kind == tree.KindFilterWith {
		title = "[" + oneLine(redact.Key(n.Source.Section)) + "], with a filter around it"
	}
	if n.Factory != (tree.Factory{}) {
		title += " " + oneLine(redact.Key(n.Factory.String()))
	}
	key := string(n.Kind) + "\n" + n.Source.File + "\n" + n.Source.Section + "\n" + n.Name
	inner, named2 := parts(n), children(resolved, n)
	if drawn[key] && len(inner)+len(named2) > 0 {
		r.rows = append(r.rows, [2]string{indent + title, "see above"})
		return
	}
	drawn[key] = true
	r.rows = append(r.rows, [2]string{indent + title, r.plan.describe(n)})
	for _, part := range inner {
		r.node(resolved, part, indent+"  ", drawn)
	}
	for i, c := range named2 {
		if i == 0 || c.setting.Key != named2[i-1].setting.Key {
			r.rows = append(r.rows,
				[2]string{indent + "  " + oneLine(redact.Key(c.setting.Key)) + ":", ""})
		}
		r.node(resolved, c.node, indent+"    ", drawn)
	}
}

// describe describes the conversion of a node.
func (p *Plan) describe(n *tree.Node) string {
	switch {
	case n.Factory == (tree.Factory{}):
		return ""
	case n.Registered:
		return "works here"
	}
	name := strings.TrimSuffix(n.Factory.String(), "#main")
	for _, s := range p.stubs {
		if s.conversion == value || !sameName(s.name, name) || s.kind != n.Kind &&
			!areApps(s.kind, n.Kind) {
			continue
		}
		switch s.conversion {
		case passes:
			return "not needed here"
		case sameAs:
			return "works here, as " + s.function
		case isServed:
			return "works here, as egg:Paste#http"
		case toWrite:
			return "to be written in Go"
		}
	}
	return ""
}

// registration prints the lines of Go.
func (r *report) registration() {
	p := r.plan
	for _, s := range p.sorted() {
		if s.conversion == toWrite {
			r.rows = append(r.rows, [2]string{p.place(s.at), s.line()})
		}
	}
	if len(r.rows) == 0 {
		r.print("\nNothing has to be written in Go: all that the file names is here.\n")
	} else {
		r.print(`
To be written in Go: apps and filters that are no part of this program. Each line below tells it which function makes one of
them, out of the settings of its section; the project has the lines in register.go, and the functions in apps.go and
filters.go. As long as a function is not written, what it makes answers every request with the status 501 (Not Implemented)
and its name. A filter lets no request pass until then, since it may be the one that checks log-ins. Write the outermost first.

`)
		r.table()
	}
	for _, s := range p.sorted() {
		if s.conversion == value {
			r.rows = append(r.rows, [2]string{p.place(s.at), s.line()})
		}
	}
	if len(r.rows) > 0 {
		r.print("\nNames in settings that stood for functions in Python. In the project each of " +
			"them does what the usual one does; write yours\n" +
			"in its place:\n\n")
		r.table()
	}
}

// notNeeded prints the filters that let requests pass, and other names of registered factories.
func (r *report) notNeeded() {
	p := r.plan
	for _, s := range p.sorted() {
		if s.conversion == passes {
			r.rows = append(r.rows, [2]string{p.place(s.at), oneLine(s.name) + ": " + s.hint})
		}
	}
	if len(r.rows) > 0 {
		r.print("\nFilters that are not needed here. In the project requests pass them as if " +
			"they were not there:\n\n")
		r.table()
	}
	for _, s := range p.sorted() {
		if s.conversion == sameAs {
			r.rows = append(r.rows, [2]string{p.place(s.at), oneLine(s.name) + ": taken for " +
				s.function + "; look whether it did more"})
		}
	}
	if len(r.rows) > 0 {
		r.print("\nNames that are taken for others, which are here:\n\n")
		r.table()
	}
}

// lines prints the notes about settings. Those of one section with the same text share a line.
func (r *report) lines() {
	p := r.plan
	notes := slices.SortedStableFunc(slices.Values(p.notes), func(a, b note) int {
		return cmp.Or(cmp.Compare(a.at.File, b.at.File), cmp.Compare(a.at.Line, b.at.Line))
	})
	if len(notes) > 0 {
		r.print("\nLines that mean something else here, or nothing. They stay in the copy as " +
			"they are, but for those that are taken out or\n" +
			"replaced. Settings that are not named here are for the functions above, or work:\n\n")
	}
	done := map[int]bool{}
	for i, n := range notes {
		if done[i] {
			continue
		}
		keys := []string{shownKey(n.key)}
		for j := i + 1; j < len(notes) && n.key != ""; j++ {
			if other := notes[j]; other.text == n.text && other.at.File == n.at.File &&
				other.at.Section == n.at.Section {
				done[j] = true
				keys = append(keys, shownKey(other.key))
			}
		}
		var where []string
		for _, part := range []string{p.place(n.at), strings.TrimSpace(section(n.at) + " " +
			strings.Join(keys, ", "))} {
			if part != "" {
				where = append(where, part)
			}
		}
		r.print("  %s\n", strings.Join(append(where, oneLine(redact.Text(n.text))), ": "))
	}
	if foreign := p.foreign(); len(foreign) > 0 {
		r.print("\nSections that nothing here reads, so that they may stay: %s\n",
			strings.Join(foreign, ", "))
	}
}

func section(at tree.Position) string {
	if at.Section == "" {
		return ""
	}
	return "[" + oneLine(redact.Key(at.Section)) + "]"
}

// additions prints the lines that the copy has in addition, and the files that are not copied.
func (r *report) additions() {
	p := r.plan
	if len(p.added) > 0 {
		r.print("\nAdded at the end of the copy:\n\n")
		for _, text := range p.added {
			r.print("  %s\n", oneLine(redact.Text(text)))
		}
	}
	if len(p.stays) > 0 {
		r.print("\nIncluded by its full path, and so not copied: %s\n",
			oneLine(redact.Text(strings.Join(p.stays, ", "))))
	}
	if names := p.variables(); len(names) > 0 {
		r.print("\nVariables of the environment that have to be set: %s\n",
			strings.Join(names, ", "))
	}
}

// secrets prints the positions of secrets in the copies.
func (r *report) secrets() {
	p := r.plan
	for _, s := range p.secrets() {
		r.rows = append(r.rows, [2]string{p.place(s.Position), section(s.Position) + " " +
			shownKey(s.key)})
	}
	if len(r.rows) == 0 {
		return
	}
	r.print(`
Secrets, as far as their names tell. A copy has them too, and the same users may read it as the old file. Keep it out of
version control, or take them from the environment: secret_key_env = VARIABLE in place of secret_key, and %%(ENV_VARIABLE)s
as any other value.

`)
	r.table()
}
