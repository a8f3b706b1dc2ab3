package config

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/convert"
)

// New returns a filter that puts conf into the context of every request. The filter is safe for
// concurrent use and is not affected by later changes of conf.
func New(conf map[string]string) func(http.Handler) http.Handler {
	c := Conf{maps.Clone(conf)}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner := r.WithContext(context.WithValue(r.Context(), ctxKey{}, c))
			defer formfiles.HandBack(r, inner)
			next.ServeHTTP(w, inner)
		})
	}
}

// Register adds the filter to r under "egg:pasteline#config" and the names of the filters of
// PasteDeploy and Paste.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#config"
	pipeline.Filter(r, name, build)
	r.Alias("egg:PasteDeploy#config", name)
	r.Alias("egg:Paste#config", name)
	r.Alias("call:paste.deploy.config:make_config_filter", name)
	r.Alias("call:paste.config:make_config_filter", name)
}

// settings declares the settings of an .ini section; any name is allowed.
type settings struct {
	Conf map[string]string `ini:"*"`
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	conf := b.GlobalConf().Map()
	maps.Copy(conf, s.Conf)
	return New(conf), nil
}

type ctxKey struct{}

// FromContext returns the configuration; ok is false, and the Conf empty, if no config filter
// stands in front of the handler that ctx belongs to.
func FromContext(ctx context.Context) (conf Conf, ok bool) {
	conf, ok = ctx.Value(ctxKey{}).(Conf)
	return conf, ok
}

// A Conf is a configuration: keys with their values. It is read-only and safe for concurrent use.
// The zero Conf is empty.
type Conf struct {
	values map[string]string
}

// Get returns the value of key as written, and whether key is set.
func (c Conf) Get(key string) (string, bool) {
	value, ok := c.values[key]
	return value, ok
}

// Text returns the value of key, or otherwise if it is not set.
func (c Conf) Text(key, otherwise string) string {
	if value, ok := c.values[key]; ok {
		return value
	}
	return otherwise
}

// Bool returns the value of key as parsed by [convert.AsBool], or otherwise if it is not set. The
// error names the key.
func (c Conf) Bool(key string, otherwise bool) (bool, error) {
	return read(c, key, otherwise, convert.AsBool)
}

// Int returns the value of key as parsed by [convert.AsInt], or otherwise if it is not set. The
// error names the key.
func (c Conf) Int(key string, otherwise int64) (int64, error) {
	return read(c, key, otherwise, convert.AsInt)
}

// Duration returns the value of key, such as "1m30s", or otherwise if it is not set; a plain number
// is in seconds. The error names the key.
func (c Conf) Duration(key string, otherwise time.Duration) (time.Duration, error) {
	return read(c, key, otherwise, func(s string) (time.Duration, error) {
		s = strings.TrimSpace(s)
		d, err := time.ParseDuration(s)
		if err != nil {
			d, err = time.ParseDuration(s + "s")
		}
		if err != nil {
			return 0, errors.New("want a duration, such as 30s (a plain number is seconds)")
		}
		return d, nil
	})
}

// List returns the words of the value of key, as split by [convert.AsList]; none if it is not set.
func (c Conf) List(key string) []string {
	return convert.AsList(c.values[key])
}

func read[T any](c Conf, key string, otherwise T, parse func(string) (T, error)) (T, error) {
	text, ok := c.values[key]
	if !ok {
		return otherwise, nil
	}
	value, err := parse(text)
	if err != nil {
		// The value is left out, as it may be a secret.
		return otherwise, fmt.Errorf("setting %s: %w", key, err)
	}
	return value, nil
}

// All returns an iterator over the keys, sorted, with their values.
func (c Conf) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, key := range c.keys() {
			if !yield(key, c.values[key]) {
				return
			}
		}
	}
}

func (c Conf) keys() []string { return slices.Sorted(maps.Keys(c.values)) }

// Format prints the keys only, whatever the verb, as values may be secrets.
func (c Conf) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "configuration of %s", strings.Join(c.keys(), ", "))
}

// LogValue returns the keys only.
func (c Conf) LogValue() slog.Value { return slog.AnyValue(c.keys()) }

// MarshalText returns the keys only, so that encoding/json shows no values.
func (c Conf) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v", c), nil }
