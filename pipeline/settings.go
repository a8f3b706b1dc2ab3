package pipeline

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/internal/suggest"
	"github.com/pasteline/pasteline/pipeline/convert"
	"github.com/pasteline/pasteline/pipeline/internal/pystr"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A schema describes a struct of settings.
type schema struct {
	typ    reflect.Type
	fields []field
	rest   *field // the ini:"*" field, for all other keys
}

// A field is one setting of a schema.
type field struct {
	index      []int
	typ        reflect.Type
	key        string
	def        string
	hasDefault bool
	help       string
	required   bool
	nonempty   bool
	secret     bool
	oneOf      []string
	min, max   string
}

var (
	typeDuration  = reflect.TypeFor[time.Duration]()
	typeBytes     = reflect.TypeFor[Bytes]()
	typeSecret    = reflect.TypeFor[Secret]()
	typeStrings   = reflect.TypeFor[[]string]()
	typeStringMap = reflect.TypeFor[map[string]string]()
	typeSettings  = reflect.TypeFor[[]tree.Setting]()
	typeText      = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemas are the schemas by type. A schema is never changed, and every reload registers all
// factories again.
var schemas sync.Map

// knownSchema returns the schema of a struct, as newSchema does.
func knownSchema(typ reflect.Type) (*schema, error) {
	if known, ok := schemas.Load(typ); ok {
		s, _ := known.(*schema)
		return s, nil
	}
	s, err := newSchema(typ)
	if err == nil {
		schemas.Store(typ, s)
	}
	return s, err
}

// newSchema reads the tags of a struct. An error in them is a programming error, which Registry
// reports by a panic.
func newSchema(typ reflect.Type) (*schema, error) {
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("settings are a struct, not %v", typ)
	}
	s := &schema{typ: typ}
	seen := map[string]string{}
	for _, sf := range reflect.VisibleFields(typ) {
		tag := sf.Tag.Get("ini")
		if !sf.IsExported() || sf.Anonymous && tag == "" || tag == "-" {
			continue
		}
		f, err := newField(sf)
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", typ, sf.Name, err)
		}
		if tag == "*" {
			if s.rest != nil {
				return nil, fmt.Errorf(`%v.%s: a second field with ini:"*"`, typ, sf.Name)
			}
			s.rest = &f
			continue
		}
		if other, ok := seen[f.key]; ok {
			return nil, fmt.Errorf("%v.%s: the key %q is %s's already", typ, sf.Name, f.key, other)
		}
		seen[f.key] = sf.Name
		s.fields = append(s.fields, f)
	}
	return s, nil
}

func newField(sf reflect.StructField) (field, error) {
	f := field{
		index: sf.Index, typ: sf.Type, key: sf.Tag.Get("ini"), help: sf.Tag.Get("help"),
		required: sf.Tag.Get("required") == "true", nonempty: sf.Tag.Get("nonempty") == "true",
		oneOf: strings.Fields(sf.Tag.Get("oneof")), min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
	}
	f.def, f.hasDefault = sf.Tag.Lookup("default")
	if f.key == "*" {
		if f.typ != typeStringMap && f.typ != typeSettings {
			return f, fmt.Errorf(`a field with ini:"*" is a map[string]string or a `+
				`[]tree.Setting, not %v`, f.typ)
		}
		return f, nil
	}
	if f.key == "" {
		f.key = snakeCase(sf.Name)
	}
	switch tag, tagged := sf.Tag.Lookup("secret"); {
	case tagged:
		f.secret = tag == "true"
	default:
		f.secret = sf.Type == typeSecret || sf.Type.Kind() == reflect.String &&
			redact.IsPasswordKey(f.key)
	}
	f.boundByType()
	for _, text := range []string{f.def, f.min, f.max} {
		if text == "" {
			continue
		}
		if err := f.parse(reflect.New(f.typ).Elem(), text); err != nil {
			return f, fmt.Errorf("tag %q: %w", text, err)
		}
	}
	if f.def == "" {
		if _, err := f.typeName(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// boundByType sets the bounds of small integer types, so that the help and errors state them.
func (f *field) boundByType() {
	if reflect.PointerTo(f.typ).Implements(typeText) || f.typ == typeDuration {
		return
	}
	var least, most string
	switch bits := uint(f.typ.Size() * 8); f.typ.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32:
		least, most = strconv.FormatInt(-1<<(bits-1), 10), strconv.FormatInt(1<<(bits-1)-1, 10)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		least, most = "0", strconv.FormatInt(1<<bits-1, 10)
	case reflect.Uint, reflect.Uint64:
		least = "0"
	default:
		return
	}
	f.min, f.max = cmp.Or(f.min, least), cmp.Or(f.max, most)
}

// snakeCase converts the name of a field to a key: CommitVeto to commit_veto, URLPrefix to
// url_prefix.
func snakeCase(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// decode decodes conf into a struct of settings. The errors have the keys of settings, and no
// positions.
func (s *schema) decode(conf *tree.Conf) (reflect.Value, error) {
	v := reflect.New(s.typ).Elem()
	var errs []error
	known := map[string]bool{}
	for _, f := range s.fields {
		known[f.key] = true
		setting, found := conf.Get(f.key)
		switch {
		case found:
			if err := f.decode(v.FieldByIndex(f.index), setting.Value); err != nil {
				if setting.Value == "" {
					err = fmt.Errorf("empty: %w", err)
				}
				errs = append(errs, &Error{Key: f.key, Err: err})
			}
		case f.required:
			errs = append(errs, &Error{
				Key: f.key, Err: errors.New("missing"),
				Hint: "write " + f.key + " = …" + f.helpInBrackets(),
			})
		case f.hasDefault:
			if err := f.parse(v.FieldByIndex(f.index), f.def); err != nil {
				panic(err) // checked by newField
			}
		}
	}
	if s.rest != nil {
		s.decodeRest(v.FieldByIndex(s.rest.index), conf, known)
	} else {
		for setting := range conf.All() {
			if !known[setting.Key] {
				errs = append(errs, &Error{
					Key: setting.Key, Err: tree.ErrUnknownSetting,
					Hint: cmp.Or(tree.HalfHeader(setting.Written), s.suggest(setting.Key)),
				})
			}
		}
	}
	if len(errs) > 0 {
		return v, errors.Join(errs...)
	}
	if validator, ok := reflect.TypeAssert[interface{ Validate() error }](v.Addr()); ok {
		return v, validator.Validate()
	}
	return v, nil
}

func (s *schema) decodeRest(v reflect.Value, conf *tree.Conf, known map[string]bool) {
	if v.Kind() == reflect.Map {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for setting := range conf.All() {
		switch {
		case known[setting.Key]:
		case v.Kind() == reflect.Map:
			v.SetMapIndex(reflect.ValueOf(setting.Key), reflect.ValueOf(setting.Value))
		default:
			v.Set(reflect.Append(v, reflect.ValueOf(setting)))
		}
	}
}

func (s *schema) suggest(key string) string {
	type hinter interface{ Hint(key string) string }
	if other, ok := reflect.TypeAssert[hinter](reflect.New(s.typ)); ok {
		if hint := other.Hint(key); hint != "" {
			return hint
		}
	}
	keys := make([]string, len(s.fields))
	for i, f := range s.fields {
		keys[i] = f.key
	}
	if len(keys) == 0 {
		return "it takes no settings"
	}
	return suggest.DidYouMean(key, keys)
}

func (f *field) helpInBrackets() string {
	if f.help == "" {
		return ""
	}
	return " (" + f.help + ")"
}

// decode sets v from the text of a setting and checks the bounds.
func (f *field) decode(v reflect.Value, text string) error {
	if f.nonempty && pystr.Strip(text) == "" {
		return f.errEmpty()
	}
	if err := f.parse(v, text); err != nil {
		return f.explain(err)
	}
	if len(f.oneOf) > 0 {
		words := []string{text}
		if f.typ == typeStrings {
			words = convert.AsList(text)
		}
		for _, word := range words {
			if !slices.Contains(f.oneOf, word) {
				return f.explain(nil)
			}
		}
	}
	for _, bound := range []struct {
		text string
		sign int
	}{{f.min, -1}, {f.max, 1}} {
		if bound.text == "" {
			continue
		}
		limit := reflect.New(f.typ).Elem()
		if err := f.parse(limit, bound.text); err != nil {
			panic(err) // checked by newField
		}
		if compare(v, limit) == bound.sign {
			return f.explain(nil)
		}
	}
	return nil
}

// errEmpty returns the error for a setting without a value, which differs from no line at all.
func (f *field) errEmpty() error {
	switch {
	case f.required:
		return errors.New("want a value" + f.helpInBrackets())
	case f.def != "":
		return fmt.Errorf("want a value, or no such line: then it is %s", f.def)
	default:
		return errors.New("want a value, or no such line" + f.helpInBrackets())
	}
}

// explain returns the rule that a value must follow, with the bounds and an example.
func (f *field) explain(err error) error {
	name, _ := f.typeName()
	switch {
	case len(f.oneOf) > 0:
		return fmt.Errorf("want %s", orList(f.oneOf))
	case name == "":
		return err
	}
	rule := "want " + name
	switch {
	case f.min != "" && f.max != "":
		rule += " from " + f.min + " to " + f.max
	case f.min != "":
		rule += " of " + f.min + " or more"
	case f.max != "":
		rule += " of " + f.max + " or less"
	}
	if f.typ.Kind() != reflect.Bool {
		rule += ", such as " + f.example()
	}
	if f.typ == typeDuration {
		rule += " (a plain number is seconds)"
	}
	return errors.New(rule)
}

func (f *field) example() string {
	switch {
	case f.typ == typeDuration && f.def == "0" && f.max == "": // an example that shows a unit
		return "30s"
	case f.def != "":
		return f.def
	case f.min != "":
		return f.min
	case f.max != "":
		return f.max
	case f.typ == typeDuration:
		return "30s"
	case f.typ == typeBytes:
		return "2MB"
	case f.typ.Kind() == reflect.Float64 || f.typ.Kind() == reflect.Float32:
		return "0.5"
	default:
		return "3"
	}
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// typeName returns the name of the type in messages and help, or "" for a TextUnmarshaler, whose
// errors explain it.
func (f *field) typeName() (string, error) {
	switch f.typ {
	case typeDuration:
		return "a duration", nil
	case typeBytes:
		return "a size in bytes", nil
	case typeSecret:
		return "a secret", nil
	case typeStrings:
		return "a list of words", nil
	}
	if reflect.PointerTo(f.typ).Implements(typeText) {
		return "", nil
	}
	switch f.typ.Kind() {
	case reflect.String:
		return "text", nil
	case reflect.Bool:
		return "true or false", nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number", nil
	case reflect.Float32, reflect.Float64:
		return "a number", nil
	default:
		return "", fmt.Errorf("settings of type %v are not known; give it an UnmarshalText method",
			f.typ)
	}
}

var errTooBig = errors.New("the number is out of range")

// parse sets v from text without checking the bounds.
func (f *field) parse(v reflect.Value, text string) error {
	switch f.typ {
	case typeDuration:
		d, err := asDuration(text)
		v.SetInt(int64(d))
		return err
	case typeStrings:
		v.Set(reflect.ValueOf(convert.AsList(text)))
		return nil
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch f.typ.Kind() {
	case reflect.String:
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, err := convert.AsBool(text)
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := convert.AsInt(text)
		if err == nil && v.OverflowInt(n) {
			err = errTooBig
		}
		v.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := convert.AsInt(text)
		if err == nil && (n < 0 || v.OverflowUint(uint64(n))) {
			err = errTooBig
		}
		v.SetUint(uint64(max(n, 0)))
		return err
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(pystr.Strip(text), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("want a number")
		}
		v.SetFloat(x)
		return nil
	default:
		_, err := f.typeName()
		return err
	}
}

// compare compares two values of the same numeric type; values of other types count as equal.
func compare(a, b reflect.Value) int {
	sign := func(less, more bool) int {
		switch {
		case less:
			return -1
		case more:
			return 1
		}
		return 0
	}
	switch {
	case a.CanInt():
		return sign(a.Int() < b.Int(), a.Int() > b.Int())
	case a.CanUint():
		return sign(a.Uint() < b.Uint(), a.Uint() > b.Uint())
	case a.CanFloat():
		return sign(a.Float() < b.Float(), a.Float() > b.Float())
	}
	return 0
}
