package logging

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"strconv"
	"strings"
)

// The args of a handler are a Python expression, such as ('%(here)s/site.log', 'a', 10*1024*1024,
// 5). Its value is a string, a float64 for every number, a bool, nil for None, a []any for a tuple
// or a list, a pythonDict, a pythonName, or a pythonCall.
type (
	pythonDict map[string]any
	pythonName string // dotted, such as sys.stderr
	pythonCall struct {
		function pythonName
		args     []any
		keywords pythonDict
	}
)

// evaluate returns the value of a Python expression. An empty one is an empty tuple.
func evaluate(text string) (value any, err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case pythonFault:
			value, err = nil, errors.New(string(fault))
		default:
			panic(fault)
		}
	}()
	p := &pythonParser{rest: text}
	if p.next(); p.kind == wordEnd {
		return []any{}, nil
	}
	if value = p.list(); p.kind != wordEnd {
		p.fail()
	}
	return value, nil
}

// A pythonFault is the panic value of the parser.
type pythonFault string

type wordKind int

const (
	wordEnd wordKind = iota
	wordString
	wordNumber
	wordName
	wordSign
)

type pythonParser struct {
	rest  string
	kind  wordKind
	word  string // the value, for a string
	depth int
}

func (p *pythonParser) fail() {
	if p.kind == wordEnd {
		panic(pythonFault("it ends too soon"))
	}
	panic(pythonFault(fmt.Sprintf("%q is not understood", p.word)))
}

// next reads the next word.
func (p *pythonParser) next() {
	text := strings.TrimLeft(p.rest, " \t\r\n\f\\")
	if text == "" {
		p.kind, p.word, p.rest = wordEnd, "", ""
		return
	}
	start := strings.TrimLeft(text, "rRuU")
	switch {
	case start != "" && (start[0] == '\'' || start[0] == '"'):
		p.kind = wordString
		p.word, p.rest = pythonString(start, strings.ContainsAny(text[:len(text)-len(start)], "rR"))
	case isDigit(text[0]) || text[0] == '.' && len(text) > 1 && isDigit(text[1]):
		end := 1
		for end < len(text) && (isNamePart(text[end]) || text[end] == '.' ||
			strings.IndexByte("+-", text[end]) >= 0 && strings.IndexByte("eE", text[end-1]) >= 0 &&
				!strings.HasPrefix(text, "0x")) {
			end++
		}
		p.kind, p.word, p.rest = wordNumber, text[:end], text[end:]
	case isNamePart(text[0]):
		end := 1
		for end < len(text) && (isNamePart(text[end]) || text[end] == '.') {
			end++
		}
		p.kind, p.word, p.rest = wordName, text[:end], text[end:]
	default:
		end := 1
		if len(text) > 1 && (text[:2] == "**" || text[:2] == "//" || text[:2] == "<<") {
			end = 2
		}
		p.kind, p.word, p.rest = wordSign, text[:end], text[end:]
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNamePart(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// pythonString reads the string at the start of text, and returns the rest of text.
func pythonString(text string, raw bool) (value, rest string) {
	var b strings.Builder
	quote := text[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(text, triple) {
		quote = triple
	}
	for i := len(quote); i < len(text); i++ {
		switch c := text[i]; {
		case strings.HasPrefix(text[i:], quote):
			return b.String(), text[i+len(quote):]
		case c == '\\' && !raw && i+1 < len(text):
			if i++; text[i] != quote[0] && text[i] != '\\' {
				b.WriteByte('\\') // not an escape that paths contain
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	panic(pythonFault("a string is not closed"))
}

// take reads the next word if it is sign, and reports whether it was.
func (p *pythonParser) take(sign string) bool {
	if p.kind != wordSign || p.word != sign {
		return false
	}
	p.next()
	return true
}

// list reads expressions separated by commas, which are a tuple, or one expression.
func (p *pythonParser) list() any {
	first := p.expression()
	if p.kind != wordSign || p.word != "," {
		return first
	}
	all := []any{first}
	for p.take(",") {
		if p.kind == wordEnd || p.kind == wordSign && p.word == ")" {
			break
		}
		all = append(all, p.expression())
	}
	return all
}

// maxDepth limits the nesting of expressions.
const maxDepth = 50

func (p *pythonParser) expression() any {
	if p.depth++; p.depth > maxDepth {
		panic(pythonFault("it is nested too deep"))
	}
	defer func() { p.depth-- }()
	return p.operation(0)
}

// operators are the binary operators, from the lowest precedence to the highest.
var operators = [][]string{{"<<"}, {"+", "-"}, {"*", "/", "//", "%"}}

func (p *pythonParser) operation(strength int) any {
	if strength == len(operators) {
		return p.signed()
	}
	left := p.operation(strength + 1)
	for p.kind == wordSign {
		sign := ""
		for _, known := range operators[strength] {
			if p.word == known {
				sign = known
			}
		}
		if sign == "" {
			break
		}
		p.next()
		left = calculate(left, sign, p.operation(strength+1))
	}
	return left
}

func (p *pythonParser) signed() any {
	if p.take("-") {
		return calculate(0.0, "-", p.nested(p.signed))
	}
	if p.take("+") {
		return p.nested(p.signed)
	}
	base := p.atom()
	if p.take("**") {
		return calculate(base, "**", p.nested(p.signed))
	}
	return base
}

// nested calls read one level deeper, for recursion that does not go through expression.
func (p *pythonParser) nested(read func() any) any {
	if p.depth++; p.depth > maxDepth {
		panic(pythonFault("it is nested too deep"))
	}
	defer func() { p.depth-- }()
	return read()
}

func calculate(left any, sign string, right any) any {
	a, aIsText := left.(string)
	b, bIsText := right.(string)
	if aIsText && bIsText && sign == "+" {
		return a + b
	}
	x, xIsNumber := left.(float64)
	y, yIsNumber := right.(float64)
	if !xIsNumber || !yIsNumber {
		panic(pythonFault(fmt.Sprintf("%q stands between what are not two numbers", sign)))
	}
	switch sign {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	case "%":
		return x - y*math.Floor(x/y)
	case "**":
		return math.Pow(x, y)
	}
	return x * math.Pow(2, y)
}

func (p *pythonParser) atom() any {
	word := p.word
	switch p.kind {
	case wordString:
		var b strings.Builder
		for ; p.kind == wordString; p.next() { // adjacent strings are one
			b.WriteString(p.word)
		}
		return b.String()
	case wordNumber:
		p.next()
		return pythonNumber(word)
	case wordName:
		p.next()
		switch word {
		case "None":
			return nil
		case "True", "False":
			return word == "True"
		}
		if p.take("(") {
			return p.call(pythonName(word))
		}
		return pythonName(word)
	case wordSign:
		switch {
		case p.take("("):
			if p.take(")") {
				return []any{}
			}
			inner := p.list()
			p.close(")")
			return inner
		case p.take("["):
			all := []any{}
			for !p.take("]") {
				all = append(all, p.expression())
				p.comma("]")
			}
			return all
		case p.take("{"):
			all := pythonDict{}
			for !p.take("}") {
				key, ok := p.expression().(string)
				if !ok {
					p.fail()
				}
				p.close(":")
				all[key] = p.expression()
				p.comma("}")
			}
			return all
		}
	case wordEnd:
	}
	p.fail()
	return nil
}

// close reads a required sign.
func (p *pythonParser) close(sign string) {
	if !p.take(sign) {
		p.fail()
	}
}

// comma reads the comma after an element, which is optional before end.
func (p *pythonParser) comma(end string) {
	if !p.take(",") && (p.kind != wordSign || p.word != end) {
		p.fail()
	}
}

func pythonNumber(word string) any {
	if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSuffix(word, "L"), "l"), 0,
		64); err == nil {
		return float64(n)
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(word, "_", ""), 64)
	if err != nil {
		panic(pythonFault(fmt.Sprintf("%q is no number", word)))
	}
	return f
}

// call reads the arguments of a call, and evaluates the functions that are common in settings.
func (p *pythonParser) call(function pythonName) any {
	c := pythonCall{function: function, keywords: pythonDict{}}
	for !p.take(")") {
		value := p.expression()
		if name, ok := value.(pythonName); ok && p.take("=") {
			c.keywords[string(name)] = p.expression()
		} else {
			c.args = append(c.args, value)
		}
		p.comma(")")
	}
	switch {
	case function == "dict" && len(c.args) == 0:
		return c.keywords
	case function == "os.path.join" && len(c.keywords) == 0 && len(c.args) > 0:
		joined := ""
		for _, arg := range c.args {
			part, ok := arg.(string)
			if !ok {
				return c
			}
			if path.IsAbs(part) {
				joined = ""
			}
			joined = path.Join(joined, part)
		}
		return joined
	}
	return c
}

// A signature is the list of parameter names of a Python class.
type signature []string

// bind returns the arguments by parameter name.
func (s signature) bind(args any, keywords any) (pythonDict, error) {
	list, ok := args.([]any)
	if !ok {
		list = []any{args} // a tuple of one without its comma
	}
	if len(list) > len(s) {
		return nil, fmt.Errorf("there are %d, and at most %d are known: %s", len(list), len(s),
			strings.Join(s, ", "))
	}
	bound := pythonDict{}
	for i, value := range list {
		bound[s[i]] = value
	}
	dict, ok := keywords.(pythonDict)
	if !ok {
		if list, isList := keywords.([]any); !isList || len(list) > 0 {
			return nil, errors.New("kwargs is no dict, such as {'backupCount': 5}")
		}
	}
	maps.Copy(bound, dict)
	return bound, nil
}
