package pipeline

import "iter"

// A Setting is a key with its value, and where the value comes from.
type Setting struct {
	Key   string
	Value string // interpolated

	File    string // "" when it was given from outside
	Line    int    // from 1; 0 when it was given from outside, or is here or __file__
	Section string // the section that it is written in, such as "DEFAULT"; "" when it is not from a file
	Written string // the key as it is written there, such as "set debug"
	Raw     string // the value as it is written there, before interpolation

	literal  bool       // whether Raw is the value, whatever percent signs it has
	assigned bool       // whether Options.Set gives the value
	lines    []int      // of Raw's lines
	refs     []*Setting // what interpolation put in
	getter   *Setting   // the "get" that took it from the global conf, if one did
}

// source says in a few words where the setting comes from.
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

// hides says why a setting of that name in a section does not count.
func (s *Setting) hides() string {
	if s.Section == "DEFAULT" {
		return "[DEFAULT] (" + s.source() + ") has it too"
	}
	return "it is " + s.source()
}

// place is the line to look at: where the value is written, or, when that is in no file, where it was asked for.
func (s *Setting) place() *Setting {
	if s.Line == 0 && s.getter != nil {
		return s.getter
	}
	return s
}

// fault makes a fault about the setting.
func (s *Setting) fault(err error, hint string) *Error {
	at := s.place()
	return &Error{File: at.File, Line: at.Line, Section: at.Section, Key: at.Written, Value: s.Value, Origin: s.origin(), Err: err, Hint: hint}
}

// unquoted makes a fault about the setting that leaves out the value: nobody knows yet whether it is a secret.
func (s *Setting) unquoted(err error, hint string) *Error {
	fault := s.fault(err, hint)
	fault.Value, fault.Origin = "", ""
	return fault
}

// origin tells how the value came about, when reading the line is not enough.
func (s *Setting) origin() string {
	text := ""
	for _, ref := range s.refs {
		if ref.Line == 0 && ref.File != "" {
			continue // here and __file__ are as everybody expects
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

// A Conf is an ordered set of settings: the global or the local conf of a node.
// It is read-only for those who get it from Resolve, and then safe for concurrent use.
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

// Len returns how many settings there are.
func (c *Conf) Len() int {
	if c == nil {
		return 0
	}
	return len(c.keys)
}

// All returns the settings in their order: as they were first set.
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

// take removes the setting of key, and returns it.
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

// same reports whether both have the same values, in whatever order.
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
