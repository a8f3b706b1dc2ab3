package logging

import (
	"slices"
	"strings"
)

// A pythonWord is a word of a Python expression: a string, a name with its dots, or anything else by itself.
type pythonWord struct {
	text   string
	quoted bool
}

func (w pythonWord) isValue() bool { return w.quoted || !strings.Contains("(){}[],:=", w.text) }

// pythonWords takes the args of a handler apart, such as ('%(here)s/site.log', 'a'). It understands what such args are
// made of, and evaluates nothing.
func pythonWords(text string) []pythonWord {
	var words []pythonWord
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		var word pythonWord
		start := strings.TrimLeft(text, "rRuUbB")
		switch {
		case start != "" && (start[0] == '\'' || start[0] == '"'):
			raw := strings.ContainsAny(text[:len(text)-len(start)], "rR")
			word, text = pythonString(start, raw)
		case strings.IndexByte("(){}[],:=", text[0]) >= 0:
			word, text = pythonWord{text: text[:1]}, text[1:]
		default:
			end := strings.IndexAny(text, "(){}[],:='\" \t\n")
			if end < 0 {
				end = len(text)
			}
			word, text = pythonWord{text: text[:end]}, text[end:]
		}
		words = append(words, word)
	}
	return words
}

// pythonString reads a string that text starts with, and returns what follows it.
func pythonString(text string, raw bool) (word pythonWord, rest string) {
	var b strings.Builder
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == quote:
			return pythonWord{b.String(), true}, text[i+1:]
		case c == '\\' && !raw && i+1 < len(text):
			if i++; text[i] != quote && text[i] != '\\' {
				b.WriteByte('\\') // an escape that no path has
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return pythonWord{b.String(), true}, ""
}

// argument returns what stands behind one of the keys of a dict, such as {'filename': 'site.log'}.
func argument(words []pythonWord, keys ...string) []pythonWord {
	for i := range words {
		if words[i].quoted && slices.Contains(keys, words[i].text) && i+2 < len(words) && words[i+1].text == ":" {
			return words[i+2 : i+3]
		}
	}
	return nil
}
