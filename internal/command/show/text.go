package show

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// Text writes the tree as text: each node with its settings below it, and their positions on the
// right. The parts of a pipeline are indented, outermost first. A global setting is printed once,
// at the outermost node that has it.
func (v *View) Text(w io.Writer) error {
	t := &text{}
	t.part(v.shapes, "")
	out := bufio.NewWriter(w)
	column := 0
	for _, row := range t.rows {
		if width := utf8.RuneCountInString(row.left()); width <= widest {
			column = max(column, width)
		}
	}
	for _, row := range t.rows {
		row.write(out, column+2, v.opts.Color)
	}
	return out.Flush()
}

// widest is the greatest length of a left column that is aligned.
const widest = 76

// A text is the rows of a tree.
type text struct{ rows []row }

// A row is a line of output.
type row struct {
	indent string
	words  []word
	place  string
}

type word struct {
	text  string
	style style
}

type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	dim    style = "\x1b[2m"
	red    style = "\x1b[31m"
	cyan   style = "\x1b[36m"
	normal style = "\x1b[0m"
)

func (t *text) part(p *part, indent string) {
	words := []word{{p.kind, cyan}}
	if p.name != "" {
		words = append(words, word{" " + p.name, bold})
	}
	switch {
	case p.use != "" && p.name != "":
		words = append(words, word{" use = " + p.use, plain})
	case p.use != "":
		words = append(words, word{" " + p.use, bold})
	}
	if p.missing {
		words = append(words, word{" (not registered)", red})
	}
	t.rows = append(t.rows, row{indent, words, p.place})
	indent += "  "
	for _, l := range p.settings {
		t.setting(l, indent)
	}
	last := line{}
	for _, c := range p.children {
		if c.line != last { // words of one setting may name several apps
			t.setting(c.line, indent)
		}
		last = c.line
		t.part(c.part, indent+"  ")
	}
	for _, inner := range p.inner {
		t.part(inner, indent)
	}
}

// setting writes the lines of a value below each other.
func (t *text) setting(l line, indent string) {
	first, rest, more := strings.Cut(l.value, "\n")
	look := plain
	if l.fallback {
		look = dim
	}
	t.rows = append(t.rows,
		row{indent, []word{{strings.TrimRight(l.label()+" = "+first, " "), look}}, l.place})
	if more {
		for further := range strings.SplitSeq(rest, "\n") {
			t.rows = append(t.rows,
				row{indent, []word{{strings.TrimRight("    "+further, " "), look}}, ""})
		}
	}
}

func (r row) left() string {
	var b strings.Builder
	b.WriteString(r.indent)
	for _, w := range r.words {
		b.WriteString(w.text)
	}
	return b.String()
}

func (r row) write(out *bufio.Writer, column int, color bool) {
	put := func(text string, look style) {
		if color && look != plain && text != "" {
			text = string(look) + text + string(normal)
		}
		_, _ = out.WriteString(text) // Flush returns the error
	}
	if strings.TrimSpace(r.left()) != "" {
		put(r.indent, plain)
	}
	for _, w := range r.words {
		put(w.text, w.style)
	}
	if r.place != "" {
		gap := max(column-utf8.RuneCountInString(r.left()), 2)
		put(strings.Repeat(" ", gap), plain)
		put(r.place, dim)
	}
	put("\n", plain)
}
