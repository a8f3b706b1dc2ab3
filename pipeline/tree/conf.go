package tree

import "iter"

// A Setting is a key with its value and the place where the value is written.
type Setting struct {
	Key   string
	Value string // interpolated

	File    string // "" for a value given from outside, by the caller of Load
	Line    int    // from 1; 0 for a value given from outside, for here and __file__
	Section string // where it is written, such as "DEFAULT"; "" if in no file
	Written string // the key as written there, such as "set debug"
	Raw     string // the value as written there, before interpolation

	literal  bool       // Raw is the value: no interpolation
	assigned bool       // the value comes from Options.Set
	lines    []int      // the line numbers of Raw's lines
	refs     []*Setting // the settings that interpolation used
	getter   *Setting   // the "get" setting that copied it from the global conf, or nil
}

// source describes where the setting comes from, in a few words.
func (s *Setting) source() string {
	switch {
	case s.Line > 0:
		return position(s.File, s.Line)
	case s.File != "":
		return "set by the loader"
	default:
		return "given from outside"
	}
}

// hides explains why a setting of the same name in a section has no effect.
func (s *Setting) hides() string {
	if s.Section == "DEFAULT" {
		return "[DEFAULT] (" + s.source() + ") has it too"
	}
	return "it is " + s.source()
}

// place returns the setting whose line an error names: the setting itself, or, if its value is
// written in no file, the "get" that asked for it.
func (s *Setting) place() *Setting {
	if s.Line == 0 && s.getter != nil {
		return s.getter
	}
	return s
}

// NewError returns an error about the setting: err is the rule that the value breaks, and the hint
// says what to write instead.
func (s *Setting) NewError(err error, hint string) *Error {
	at := s.place()
	return &Error{
		File: at.File, Line: at.Line, Section: at.Section, Key: at.Written,
		Value: s.Value, Origin: s.origin(), Err: err, Hint: hint,
	}
}

// newErrorWithoutValue returns an error about the setting that omits its value: an unknown key may
// hold a secret.
func (s *Setting) newErrorWithoutValue(err error, hint string) *Error {
	e := s.NewError(err, hint)
	e.Value, e.Origin = "", ""
	return e
}

// NewWarning returns a warning about the setting.
func (s *Setting) NewWarning(message string) Warning {
	return Warning{File: s.File, Line: s.Line, Section: s.Section, Key: s.Written, Message: message}
}

// origin explains how the value was composed, when the line alone does not show it.
func (s *Setting) origin() string {
	text := ""
	for _, ref := range s.refs {
		if ref.Line == 0 && ref.File != "" {
			continue // here and __file__ need no explanation
		}
		if text != "" {
			text += ", "
		}
		if ref.Line > 0 {
			text += ref.Key + " is from " + ref.source()
		} else {
			text += ref.Key + " is " + ref.source()
		}
	}
	switch {
	case s.place() != s:
		text = s.Written + " is " + s.source()
	case s.Line == 0 && s.File == "":
		text = s.source()
	}
	return text
}

// A Conf is an ordered set of settings: the global or the local conf of a node. A Conf returned by
// this package is read-only and safe for concurrent use.
type Conf struct {
	keys     []string
	settings map[string]*Setting
}

func newConf() *Conf { return &Conf{settings: map[string]*Setting{}} }

// Get returns the setting of a key.
func (c *Conf) Get(key string) (Setting, bool) {
	if s := c.find(key); s != nil {
		return *s, true
	}
	return Setting{}, false
}

// Len returns the number of settings.
func (c *Conf) Len() int {
	if c == nil {
		return 0
	}
	return len(c.keys)
}

// All returns the settings in the order in which their keys were first set.
func (c *Conf) All() iter.Seq[Setting] {
	return func(yield func(Setting) bool) {
		if c == nil {
			return
		}
		for _, key := range c.keys {
			if !yield(*c.settings[key]) {
				return
			}
		}
	}
}

// Map returns the keys with their values.
func (c *Conf) Map() map[string]string {
	m := make(map[string]string, c.Len())
	for s := range c.All() {
		m[s.Key] = s.Value
	}
	return m
}

func (c *Conf) find(key string) *Setting {
	if c == nil {
		return nil
	}
	return c.settings[key]
}

func (c *Conf) set(s *Setting) {
	if _, ok := c.settings[s.Key]; !ok {
		c.keys = append(c.keys, s.Key)
	}
	c.settings[s.Key] = s
}

func (c *Conf) update(other *Conf) {
	if other == nil || other == c {
		return
	}
	for _, key := range other.keys {
		c.set(other.settings[key])
	}
}

// take removes the setting of key and returns it.
func (c *Conf) take(key string) *Setting {
	s := c.settings[key]
	if s == nil {
		return nil
	}
	delete(c.settings, key)
	for i, k := range c.keys {
		if k == key {
			c.keys = append(c.keys[:i:i], c.keys[i+1:]...)
			break
		}
	}
	return s
}

func (c *Conf) clone() *Conf {
	d := newConf()
	d.update(c)
	return d
}

// same reports whether both have the same keys and values, in any order.
func (c *Conf) same(other *Conf) bool {
	if c.Len() != other.Len() {
		return false
	}
	for _, key := range c.keys {
		if o := other.find(key); o == nil || o.Value != c.settings[key].Value {
			return false
		}
	}
	return true
}
