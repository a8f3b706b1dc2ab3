package show

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// DOT writes the tree in the language of Graphviz: a box for each factory, in the order in which a
// request passes them, and a frame around the boxes of one section.
func (v *View) DOT(w io.Writer) error {
	d := &dot{out: bufio.NewWriter(w)}
	d.print("digraph pasteline {\n")
	d.print("  rankdir = TB; compound = true; fontname = \"sans-serif\";\n")
	d.print("  node [shape = box, style = rounded, fontname = \"sans-serif\", fontsize = 11];\n")
	d.print("  edge [fontname = \"sans-serif\", fontsize = 10];\n")
	d.part(v.shapes, "  ")
	d.print("}\n")
	return d.out.Flush()
}

type dot struct {
	out   *bufio.Writer
	boxes int
	sets  int
}

func (d *dot) print(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format, args...) // Flush returns the error
}

// part writes a part, and returns the first and the last box on the path of a request. They are
// equal if the part has one box. The path ends at a composite.
func (d *dot) part(p *part, indent string) (first, last string) {
	if len(p.inner) == 0 {
		return d.box(p, indent)
	}
	d.print("%ssubgraph cluster_%d {\n", indent, d.sets)
	d.sets++
	d.print("%s  label = %s; labeljust = l; style = rounded;\n", indent, d.label(p))
	for _, inner := range p.inner {
		begin, end := d.part(inner, indent+"  ")
		if first == "" {
			first = begin
		} else {
			d.print("%s  %s -> %s;\n", indent, last, begin)
		}
		last = end
	}
	d.print("%s}\n", indent)
	return first, last
}

func (d *dot) box(p *part, indent string) (first, last string) {
	id := fmt.Sprintf("n%d", d.boxes)
	d.boxes++
	missing := ""
	if p.missing {
		missing = ", style = \"rounded,dashed\""
	}
	d.print("%s%s [label = %s%s];\n", indent, id, d.label(p), missing)
	for _, c := range p.children {
		begin, _ := d.part(c.part, indent)
		d.print("%s%s -> %s [label = %s];\n", indent, id, begin, quote(c.key))
	}
	return id, id
}

// label returns the title of a part and its settings, in lines aligned to the left.
func (d *dot) label(p *part) string {
	var b strings.Builder
	for _, text := range p.caption() {
		b.WriteString(text + "\n")
	}
	return quote(b.String())
}

// quote returns a DOT string whose lines are aligned to the left.
func quote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\l`).Replace(s)
	return `"` + s + `"`
}

// caption is what stands in a part's box: the title, then the settings, one line each.
func (p *part) caption() []string {
	lines := []string{p.title()}
	if p.missing {
		lines[0] += " (not registered)"
	}
	for _, l := range p.settings {
		lines = append(lines, l.label()+" = "+strings.ReplaceAll(l.value, "\n", " "))
	}
	return lines
}
