package cascade

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// settings declares the settings of an .ini section. All other keys are apps.
type settings struct {
	Catch     statuses       `ini:"catch" default:"404" help:"the statuses after which the next app is called, separated by blanks"`
	HighWater pipeline.Bytes `ini:"highwater" default:"2MB" help:"bytes of a request body that are kept in memory for the next app before a temporary file is used; 0 means as few as possible"`
	MaxBody   pipeline.Bytes `ini:"max_body" default:"1GB" help:"maximum size of a request body that an app before the last one reads; 0 is no limit"`
	Apps      []tree.Setting `ini:"*"`
}

// statuses is a list of statuses.
type statuses []int

// UnmarshalText parses numbers separated by blanks.
func (s *statuses) UnmarshalText(text []byte) error {
	*s = statuses{}
	for _, word := range convert.AsList(string(text)) {
		status, err := convert.AsInt(word)
		if err != nil || status < 300 || status > 599 {
			return fmt.Errorf("%q is not a status that can be caught: "+
				"want numbers from 300 to 599, such as 404 500", word)
		}
		*s = append(*s, int(status))
	}
	return nil
}

// Register adds the composite (an app made of other apps) to r under "egg:pasteline#cascade" and
// the names of Paste's cascade.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#cascade"
	pipeline.Composite(r, name, build)
	r.Alias("egg:Paste#cascade", name)
	r.Alias("call:paste.cascade:make_cascade", name)
}

func build(b *pipeline.Build, s settings) (http.Handler, error) {
	c := Config{Catch: s.Catch, HighWater: s.HighWater.Limit(), MaxBody: s.MaxBody.Limit()}
	slices.SortFunc(s.Apps, func(x, y tree.Setting) int { return cmp.Compare(x.Key, y.Key) })
	var errs []error
	for i, setting := range s.Apps {
		if !strings.HasPrefix(setting.Key, "app") {
			errs = append(errs, &pipeline.Error{
				Key:  setting.Key,
				Err:  errors.New("want a key that begins with app"),
				Hint: "write app1 = …, app2 = …, or catch = …",
			})
			continue
		}
		if i > 0 && len(setting.Key) < len(s.Apps[i-1].Key) &&
			numbered(setting.Key) && numbered(s.Apps[i-1].Key) {
			b.Warn(setting.Key, fmt.Sprintf("keys are sorted as text, "+
				"so %s is called before this one: write app01, app02, …", s.Apps[i-1].Key))
		}
		app, err := b.App(setting.Value)
		errs = append(errs, err)
		c.Apps = append(c.Apps, app)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return New(c)
}

// numbered reports whether key is app with a number.
func numbered(key string) bool {
	return strings.Trim(strings.TrimPrefix(key, "app"), "0123456789") == ""
}
