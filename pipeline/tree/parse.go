package tree

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/ini.v1"

	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
)

// maxFileSize is far above the size of a real file, and keeps a wrong path (a log, a disk) from
// being read whole.
const maxFileSize = 1 << 20

// A File is a parsed .ini file, as Python's ConfigParser understands it, before interpolation.
//
// [Parse] implements logical lines, positions and the rules of Python; ini.v1 stores sections, keys
// and values. A File is read-only and safe for concurrent use.
type File struct {
	name  string
	ini   *ini.File
	heads map[string]int               // the line of each section's header
	lines map[string]map[string][]int  // by section and key: the line numbers of the value
	order []string                     // of the sections, without DEFAULT
	given map[string]map[string]string // settings of Options.Set, by section
}

// Parse reads an .ini file by the rules that Python's ConfigParser has when PasteDeploy uses it:
//
//   - "[name]" starts a section; text after the last bracket is ignored. [DEFAULT] may occur
//     several times.
//   - A key ends at the first "=" or ":". Upper and lower case differ.
//   - A line that is indented deeper than its key continues the value, whatever it looks like;
//     empty lines in between belong to the value, lines that start with "#" or ";" do not. A
//     comment can't follow a value on its line.
//   - A section or a key that occurs twice is an error; so is a line without a delimiter, or before
//     the first section.
//   - Lines end with LF, CRLF or CR. The text is UTF-8, without a byte order mark.
//
// Errors call the file by name. The error is of type [Errors] and has all errors.
func Parse(name string, data []byte) (*File, error) {
	if e := checkText(name, data); e != nil {
		return nil, Errors{e}
	}
	p := &parser{file: &File{
		name: name,
		// no child sections: "\n" is in no name
		ini:   ini.Empty(ini.LoadOptions{ChildSectionDelimiter: "\n"}),
		heads: map[string]int{},
		lines: map[string]map[string][]int{ini.DefaultSection: {}},
	}}
	p.file.ini.BlockMode = false // no writes after parsing, so no lock
	for i, line := range splitLines(data) {
		p.line(i+1, line)
	}
	p.endOption()
	if len(p.errs) > 0 {
		return nil, sorted(p.errs)
	}
	return p.file, nil
}

func checkText(name string, data []byte) *Error {
	at := func(offset int) int {
		before := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data[:offset]))
		return 1 + strings.Count(before, "\n")
	}
	if len(data) > maxFileSize {
		return &Error{
			File: name, Err: fmt.Errorf("larger than %dMB", maxFileSize>>20),
			Hint: "is it an .ini file?",
		}
	}
	if strings.HasPrefix(string(data), "\ufeff") {
		return &Error{
			File: name, Line: 1, Err: errors.New("starts with a byte order mark"),
			Hint: `save it as plain UTF-8, "without BOM"`,
		}
	}
	for offset := 0; offset < len(data); {
		r, size := utf8.DecodeRune(data[offset:])
		if r == utf8.RuneError && size == 1 {
			return &Error{File: name, Line: at(offset), Err: fmt.Errorf("byte 0x%02x is not UTF-8",
				data[offset]), Hint: "save the file as UTF-8"}
		}
		offset += size
	}
	return nil
}

// A parser processes the lines as ConfigParser does.
type parser struct {
	file *File
	errs Errors

	headless bool   // an error before the first section has been reported
	section  string // "" before the first; no section has an empty name
	again    bool   // the section is a duplicate, which is the only error reported of it
	indent   int    // of the last header or key
	half     string // the hint about a key that was probably meant to start a section, or ""
	key      string // "" when a line can't go on with a value
	value    []string
	numbers  []int
}

// fail records an error. It does not quote the line, which may have a secret in an unexpected
// place.
func (p *parser) fail(n int, key string, err error, hint string) {
	p.errs = append(p.errs, &Error{
		File: p.file.name, Line: n, Section: p.section, Key: key,
		Err: err, Hint: hint,
	})
}

func (p *parser) line(n int, line string) {
	text := pystr.Strip(line)
	switch {
	case isComment(text):
		return
	case text == "":
		if p.key != "" {
			p.add(n, "")
		}
		return
	}
	indent := indentation(line)
	if p.key != "" && indent > p.indent {
		p.add(n, text)
		return
	}
	p.indent = indent
	if name, ok := headerName(text); ok {
		p.startSection(n, name)
		return
	}
	if p.section == "" {
		if !p.headless {
			p.headless = true
			p.fail(n, "", errors.New("the line stands before the first [section]"),
				cmp.Or(HalfHeader(text),
					"write [DEFAULT] above it, or the section that it belongs to"))
		}
		return
	}
	p.option(n, text)
}

// splitLines splits a file into lines, which end with LF, CRLF or CR.
func splitLines(data []byte) []string {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	}
	return lines
}

// isComment reports whether a line, without the white space around it, is a comment.
func isComment(text string) bool {
	return strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";")
}

// indentation returns the number of characters of white space in front of a line.
func indentation(line string) int {
	n := 0
	for _, r := range line {
		if !pystr.IsSpace(r) {
			break
		}
		n++
	}
	return n
}

// headerName returns the name of the section that a line starts.
func headerName(text string) (name string, ok bool) {
	if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
		return text[1:end], true
	}
	return "", false
}

func (p *parser) add(n int, text string) {
	p.value = append(p.value, text)
	p.numbers = append(p.numbers, n)
}

func (p *parser) startSection(n int, name string) {
	p.endOption()
	p.section, p.half, p.again = name, "", false
	first, exists := p.file.heads[name]
	if !exists {
		p.file.heads[name] = n
		if name == ini.DefaultSection {
			return
		}
		p.file.order = append(p.file.order, name)
		p.file.lines[name] = map[string][]int{}
		if _, err := p.file.ini.NewSection(name); err != nil {
			p.fail(n, "", err, "")
		}
	} else if name != ini.DefaultSection {
		p.again = true
		p.fail(n, "", fmt.Errorf("the section is there already, at line %d", first),
			"put the settings of both there")
	}
}

func (p *parser) option(n int, text string) {
	delimiter := strings.IndexAny(text, "=:")
	if delimiter < 0 {
		p.fail(n, "", errors.New("the line is no setting, since it has no delimiter"),
			cmp.Or(HalfHeader(text),
				`write "key = value", or indent it if it goes on with the line above`))
		return
	}
	p.endOption()
	key := pystr.StripRight(text[:delimiter])
	if key == "" {
		p.fail(n, "", errors.New("the line has no key"), `write "key = value"`)
		return
	}
	if first, ok := p.file.lines[p.section][key]; ok && !p.again {
		p.fail(n, key, fmt.Errorf("the key is there already, at line %d", first[0]),
			cmp.Or(p.half, "keep one of them"))
	}
	if HalfHeader(key) != "" && p.half == "" {
		p.half = fmt.Sprintf(`if line %d is to start a section, it ends with "]"`, n)
	}
	p.key = key
	p.add(n, pystr.Strip(text[delimiter+1:]))
}

// HalfHeader returns the hint about a line, or a key, that was probably meant to start a section, or
// "".
func HalfHeader(text string) string {
	switch {
	case !strings.HasPrefix(text, "["):
		return ""
	case strings.Contains(text, "]"):
		return "a section has a name, as [app:main]"
	default:
		return `a line that starts a section ends with "]"`
	}
}

// endOption stores the key and value that were read in ini.v1.
func (p *parser) endOption() {
	if p.key == "" {
		return
	}
	if p.again {
		p.key, p.value, p.numbers = "", nil, nil
		return
	}
	value := pystr.StripRight(strings.Join(p.value, "\n"))
	if _, twice := p.file.lines[p.section][p.key]; !twice {
		p.file.lines[p.section][p.key] = p.numbers
	}
	if _, err := p.file.ini.Section(p.section).NewKey(p.key, value); err != nil {
		p.fail(p.numbers[0], p.key, err, "")
	}
	p.key, p.value, p.numbers = "", nil, nil
}

// assign applies an element of Options.Set. Names of sections and keys may both contain dots, so
// the longest section that fits is chosen.
func (f *File) assign(assignment string) *Error {
	name, value, ok := strings.Cut(assignment, "=")
	section, found := "", false
	for _, head := range append([]string{ini.DefaultSection}, f.order...) {
		if rest, ok := strings.CutPrefix(name, head+"."); ok && rest != "" &&
			len(head) >= len(section) {
			section, found = head, true
		}
	}
	switch {
	case !ok || !strings.Contains(name, "."):
		return &Error{
			File: f.name, Key: name, Err: errors.New("can't be set from outside"),
			Hint: "want section.key=value, such as server:main.port=80",
		}
	case !found:
		wanted, _, _ := cutLast(name, ".")
		return &Error{
			File: f.name, Key: name, Err: fmt.Errorf("the file has no section [%s]", wanted),
			Hint: suggest.DidYouMean(wanted, f.order),
		}
	}
	if f.given == nil {
		f.given = map[string]map[string]string{}
	}
	if f.given[section] == nil {
		f.given[section] = map[string]string{}
	}
	f.given[section][pystr.Strip(name[len(section)+1:])] = pystr.Strip(value)
	return nil
}

// Sections returns the names of the sections in their order, without DEFAULT.
func (f *File) Sections() []string { return append([]string(nil), f.order...) }

// Name returns the name of the file, as errors have it.
func (f *File) Name() string { return f.name }

// Settings returns the settings of a section as they are written, in their order: Value is Raw,
// without interpolation, and without the settings of [DEFAULT]. A section that does not exist has
// none.
func (f *File) Settings(section string) []Setting {
	var settings []Setting
	for _, key := range f.keys(section) {
		settings = append(settings, *f.setting(section, key))
	}
	return settings
}

func (f *File) keys(section string) []string {
	if _, ok := f.lines[section]; !ok {
		return nil
	}
	keys := f.ini.Section(section).KeyStrings()
	for _, key := range slices.Sorted(maps.Keys(f.given[section])) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// setting returns a key's raw value, or nil.
func (f *File) setting(section, key string) *Setting {
	if value, ok := f.given[section][key]; ok {
		return &Setting{
			Key: key, Value: value, Raw: value, Written: key, Section: section,
			literal: true, assigned: true,
		}
	}
	lines, ok := f.lines[section][key]
	if !ok {
		return nil
	}
	raw := f.ini.Section(section).Key(key).Value()
	return &Setting{
		Key: key, Value: raw, Raw: raw, Written: key, File: f.name, Line: lines[0],
		Section: section, lines: lines,
	}
}

// String formats the file in its plainest form: without comments, one "key = value" per line,
// continuation lines indented. Parsing the text gives the same sections, keys and values.
func (f *File) String() string {
	var b strings.Builder
	for _, section := range append([]string{ini.DefaultSection}, f.order...) {
		keys := f.keys(section)
		if section == ini.DefaultSection && len(keys) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, key := range keys {
			value := f.ini.Section(section).Key(key).Value()
			fmt.Fprintf(&b, "%s = %s\n", key, strings.ReplaceAll(value, "\n", "\n\t"))
		}
	}
	return b.String()
}
