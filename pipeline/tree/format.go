package tree

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// Format returns an .ini file in its canonical layout, with the same sections, keys, values and
// comments. Settings are written "key = value", from the first column; an empty line stands in front
// of each section, and never two in a row outside of values. Continuation lines keep their
// indentation relative to the key, with four spaces for a tab; lines of a value that are indented
// less than its first one are aligned with that. Lines end with LF, without white space before it.
// Formatting the result again does not change it.
//
// Errors call the file by name; they are those of [Parse].
func Format(name string, data []byte) ([]byte, error) {
	before, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	f := &formatter{}
	for _, line := range splitLines(data) {
		f.line(line)
	}
	f.flush(end)
	text := []byte(f.out.String())
	if after, err := Parse(name, text); err != nil || !before.same(after) {
		return nil, Errors{{File: name, Err: errors.New("can't be formatted without changing it")}}
	}
	return text, nil
}

// same reports whether two files have the same sections, keys and values, in the same order.
func (f *File) same(other *File) bool { return f.String() == other.String() }

// A lineKind is the kind of a line that is neither empty nor a comment.
type lineKind int

const (
	header lineKind = iota
	setting
	continuation
	end // of the file
)

// A formatter writes the lines of a valid file. Empty lines and comments wait until the next line
// shows whether they stand inside a value.
type formatter struct {
	out     strings.Builder
	pending []string
	inValue bool // the last line belongs to a setting
	indent  int  // of the last header or setting, in characters
	width   int  // the same in columns
	first   int  // the columns of the value's first continuation line; 0 before it
}

func (f *formatter) line(line string) {
	text := pystr.Strip(line)
	if text == "" || isComment(text) {
		f.pending = append(f.pending, text)
		return
	}
	if f.inValue && indentation(line) > f.indent {
		f.continuation(width(line), text)
		return
	}
	f.indent, f.width, f.first = indentation(line), width(line), 0
	if _, ok := headerName(text); ok {
		f.flush(header)
		f.inValue = false
		f.out.WriteString(text + "\n")
		return
	}
	f.flush(setting)
	f.inValue = true
	key, value := text, ""
	if delimiter := strings.IndexAny(text, "=:"); delimiter >= 0 {
		key, value = pystr.StripRight(text[:delimiter]), pystr.Strip(text[delimiter+1:])
	}
	f.out.WriteString(pystr.StripRight(key+" = "+value) + "\n")
}

// continuation writes a continuation line of a value, with the comments and empty lines before it.
func (f *formatter) continuation(width int, text string) {
	f.first = cmp.Or(f.first, max(width, f.width+1))
	spaces := strings.Repeat(" ", max(width, f.first)-f.width)
	for _, line := range append(f.pending, text) {
		if line != "" {
			line = spaces + line
		}
		f.out.WriteString(line + "\n")
	}
	f.pending = nil
}

// flush writes the comments and empty lines in front of a header, a setting or the end of the file.
func (f *formatter) flush(next lineKind) {
	lines := slices.CompactFunc(f.pending, func(a, b string) bool { return a == "" && b == "" })
	f.pending = nil
	if f.out.Len() == 0 && len(lines) > 0 && lines[0] == "" {
		lines = lines[1:]
	}
	if last := len(lines) - 1; next == end && last >= 0 && lines[last] == "" {
		lines = lines[:last]
	}
	if next == header && f.out.Len() > 0 && !slices.Contains(lines, "") {
		lines = append([]string{""}, lines...)
	}
	for _, line := range lines {
		f.out.WriteString(line + "\n")
	}
}

// width returns the width of the white space in front of a line, with four columns for a tab.
func width(line string) int {
	n := 0
	for _, r := range line {
		switch {
		case r == '\t':
			n += 4
		case pystr.IsSpace(r):
			n++
		default:
			return n
		}
	}
	return n
}
