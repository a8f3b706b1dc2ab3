package tree

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pasteline/pasteline/internal/redact"
)

const (
	maxInterpolationDepth = 10 // as in Python
	maxValue              = 1 << 20
	maxRefs               = 4 // more would make a message unreadable
	environment           = "ENV_"
)

// An interpolator replaces %(name)s in values by other settings and environment variables, by the
// rules of Python's BasicInterpolation.
type interpolator struct {
	// lookup returns a setting with its raw value, or nil.
	lookup func(name string) *Setting
	// spend counts work, and fails above a limit: a few lines that name each other many times must
	// not keep the loader busy.
	spend func(n int) error

	// learn is called with the text of each reference whose name looks like that of a secret.
	learn func(secret string)

	key  string   // of the setting that is interpolated
	raw  string   // its value
	path []string // the names of the references being expanded
	out  strings.Builder
	refs []*Setting
}

// unknownNameError reports a reference to a setting that does not exist.
type unknownNameError struct {
	name string
	key  string // of the value with the reference
}

func (e unknownNameError) Error() string {
	if variable, ok := strings.CutPrefix(e.name, environment); ok {
		if name := redact.Name(e.key, e.name); name != e.name {
			return fmt.Sprintf("%%(%s)s: the environment variable is not set, and its name is not "+
				"shown, since it may be a secret", name)
		}
		return fmt.Sprintf("%%(%s)s: the environment variable %s is not set", e.name, variable)
	}
	return fmt.Sprintf("%%(%s)s: no setting of that name, here or in [DEFAULT]",
		redact.Name(e.key, e.name))
}

// namesItselfError reports a setting whose value refers to the setting itself.
type namesItselfError struct{ name, key string }

func (e namesItselfError) Error() string {
	return fmt.Sprintf("%%(%s)s is the setting itself", redact.Name(e.key, e.name))
}

// interpolate expands %(name)s and %% in the raw value of a setting, and returns the settings that
// it used.
func (p interpolator) interpolate(s *Setting) (string, []*Setting, error) {
	if !strings.Contains(s.Raw, "%") {
		return s.Raw, nil, p.spend(len(s.Raw))
	}
	p.key, p.raw = s.Key, s.Raw
	if err := p.expand(s.Raw, 1); err != nil {
		return "", nil, err
	}
	return p.out.String(), p.refs, nil
}

func (p *interpolator) write(text string) error {
	if p.out.Len()+len(text) > maxValue {
		return fmt.Errorf("longer than %dMB when its %%(name)s are replaced", maxValue>>20)
	}
	p.out.WriteString(text)
	return p.spend(1 + len(text))
}

// expand writes a value with its references replaced. Its errors do not quote the value, which may
// be a secret.
func (p *interpolator) expand(value string, depth int) error {
	if depth > maxInterpolationDepth {
		return p.tooDeep()
	}
	for rest := value; rest != ""; {
		percent := strings.IndexByte(rest, '%')
		if percent < 0 {
			return p.write(rest)
		}
		if err := p.write(rest[:percent]); err != nil {
			return err
		}
		rest = rest[percent:]
		switch {
		case strings.HasPrefix(rest, "%%"):
			if err := p.write("%"); err != nil {
				return err
			}
			rest = rest[2:]
		case strings.HasPrefix(rest, "%("):
			end := strings.IndexByte(rest, ')')
			if end < len("%(x") || !strings.HasPrefix(rest[end:], ")s") {
				return p.fail(value, rest, "is not the start of a %(name)s")
			}
			if err := p.reference(rest[2:end], depth); err != nil {
				return err
			}
			rest = rest[end+2:]
		default:
			return p.fail(value, rest, "stands alone")
		}
	}
	return nil
}

// reference writes the value that a name stands for, and reports it to learn if it is a secret.
func (p *interpolator) reference(name string, depth int) error {
	from := p.out.Len()
	err := p.standsFor(name, depth)
	if err == nil && redact.IsSecretKey(name) {
		p.learn(p.out.String()[from:])
	}
	return err
}

func (p *interpolator) standsFor(name string, depth int) error {
	setting := p.lookup(name)
	if setting == nil {
		if variable, ok := strings.CutPrefix(name, environment); ok {
			if value, set := os.LookupEnv(variable); set {
				return p.write(value) // without interpolation
			}
		}
		return unknownNameError{name, p.key}
	}
	if depth == 1 && len(p.refs) < maxRefs &&
		!slices.ContainsFunc(p.refs, func(s *Setting) bool { return s.Key == name }) {
		p.refs = append(p.refs, setting)
	}
	if strings.Contains(setting.Raw, "%") && !setting.literal {
		p.path = append(p.path, name)
		err := p.expand(setting.Raw, depth+1)
		p.path = p.path[:len(p.path)-1]
		return err
	}
	return p.write(setting.Raw)
}

// tooDeep returns the error for too many nested references, with the cycle if there is one.
func (p *interpolator) tooDeep() error {
	last := len(p.path) - 1
	for i := last - 1; i >= 0; i-- {
		if p.path[i] == p.path[last] && i == last-1 && p.path[i] == p.key {
			return namesItselfError{p.path[i], p.key}
		}
		if p.path[i] == p.path[last] {
			return fmt.Errorf("its %%(name)s go round in a circle: %s",
				strings.Join(p.path[i:], " -> "))
		}
	}
	return fmt.Errorf("its %%(name)s lead from one to the next more than %d times",
		maxInterpolationDepth)
}

func (p *interpolator) fail(value, rest, what string) error {
	in := ""
	if value != p.raw {
		in = " of what it refers to"
	}
	return fmt.Errorf("the percent sign at character %d%s %s; write %%%% for a "+
		"percent sign",
		1+utf8.RuneCountInString(value[:len(value)-len(rest)]), in, what)
}

var errTooMuch = errors.New("configuration too large after expansion; check for sections that " +
	"include each other")
