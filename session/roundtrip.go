package session

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// checkJSON returns a [ValueError] if value does not survive encoding and decoding by
// encoding/json. The argument text is the JSON of value.
//
// The content of an interface is decoded to JSON's own types: float64 for a number, []any for a
// list, map[string]any for a map or struct. That is accepted as long as digits and characters are
// the same. A nil map or slice equals an empty one.
func checkJSON(value any, text []byte) error {
	if value == nil {
		return nil
	}
	back := reflect.New(reflect.TypeOf(value))
	if err := json.Unmarshal(text, back.Interface()); err != nil {
		problem := "its JSON can't be read into a " + back.Type().Elem().String()
		return &ValueError{Problem: problem + ": " + err.Error()}
	}
	return sameValue("", reflect.ValueOf(value), back.Elem())
}

func mismatch(path, format string, args ...any) error {
	return &ValueError{Path: path, Problem: fmt.Sprintf(format, args...)}
}

// sameValue returns an error unless was equals is, which was decoded into a variable of its type.
func sameValue(path string, was, is reflect.Value) error {
	if definesJSON(was) {
		return sameText(path, was, is)
	}
	switch was.Kind() {
	case reflect.Pointer:
		if was.IsNil() || is.IsNil() {
			return sameNil(path, was, is)
		}
		return sameValue(path, was.Elem(), is.Elem())
	case reflect.Interface:
		if was.IsNil() || is.IsNil() && !isNil(was.Elem()) {
			return sameNil(path, was, is)
		}
		if is.IsNil() {
			return nil
		}
		return sameAny(path, was.Elem(), is.Elem())
	case reflect.Struct:
		return sameFields(path, was, is)
	case reflect.Map:
		return sameMap(path, was, is)
	case reflect.Slice, reflect.Array:
		if was.Len() != is.Len() {
			return mismatch(path, "%d elements become %d", was.Len(), is.Len())
		}
		for i := range was.Len() {
			at := path + "[" + strconv.Itoa(i) + "]"
			if err := sameValue(at, was.Index(i), is.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.String:
		if was.String() != is.String() {
			return mismatch(path, "%s", changedString(was.String()))
		}
		return nil
	}
	if !was.Equal(is) { // comparable: JSON refuses functions and channels
		return mismatch(path, "%v becomes %v", was, is)
	}
	return nil
}

func sameNil(path string, was, is reflect.Value) error {
	if was.IsNil() == is.IsNil() {
		return nil
	}
	return mismatch(path, "JSON can't distinguish this %s from null", was.Type())
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return v.IsNil()
	}
	return false
}

func changedString(s string) string {
	if !utf8.ValidString(s) {
		return fmt.Sprintf("%.40q is not valid UTF-8, which JSON requires; "+
			"use []byte, or a key of the session for this value alone", s)
	}
	return fmt.Sprintf("%.40q becomes another string", s)
}

// sameFields compares the fields of a struct. A field with the tag "-" is skipped: the app excludes
// it on purpose.
func sameFields(path string, was, is reflect.Value) error {
	for i := range was.NumField() {
		field := was.Type().Field(i)
		if field.Tag.Get("json") == "-" {
			continue
		}
		embedded := field.Anonymous && field.Type.Kind() == reflect.Struct
		if !field.IsExported() && !embedded {
			if !was.Field(i).IsZero() {
				return mismatch(path, "JSON leaves out the field %s of %s, which is not exported; "+
					"set a type with exported fields, or one that is "+
					"a json.Marshaler and a json.Unmarshaler",
					field.Name, was.Type())
			}
			continue
		}
		if err := sameValue(path+"."+field.Name, was.Field(i), is.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func sameMap(path string, was, is reflect.Value) error {
	if was.Len() != is.Len() {
		return mismatch(path, "%d keys become %d", was.Len(), is.Len())
	}
	for entries := was.MapRange(); entries.Next(); {
		key := entries.Key()
		at := fmt.Sprintf("%s[%#.40v]", path, key)
		found := is.MapIndex(key)
		if !found.IsValid() {
			if key.Kind() == reflect.String {
				return mismatch(path, "the key %s", changedString(key.String()))
			}
			return mismatch(path, "the key %v is lost", key)
		}
		if err := sameValue(at, entries.Value(), found); err != nil {
			return err
		}
	}
	return nil
}

// sameAny compares the content of an interface with its decoded form.
func sameAny(path string, was, is reflect.Value) error {
	for was.Kind() == reflect.Pointer || was.Kind() == reflect.Interface {
		if was.IsNil() || definesJSON(was) {
			break
		}
		was = was.Elem()
	}
	// Compare in its own type first: this finds fields that JSON leaves out.
	text, err := json.Marshal(was.Interface())
	if err != nil {
		return mismatch(path, "%v", err)
	}
	number, isNumber := reflect.TypeAssert[float64](is)
	switch {
	case isNumber:
		return sameNumber(path, string(text), number)
	case was.Kind() == reflect.Slice && was.Type().Elem().Kind() == reflect.Uint8 &&
		is.Kind() == reflect.String && !definesJSON(was):
		return mismatch(path, "bytes in an interface become a string; "+
			"use a key of the session for them alone, or a typed collection")
	case is.Kind() == reflect.String && was.Kind() == reflect.String && !definesJSON(was):
		if was.String() != is.String() {
			return mismatch(path, "%s", changedString(was.String()))
		}
		return nil
	}
	own := reflect.New(was.Type())
	if err := json.Unmarshal(text, own.Interface()); err != nil {
		return mismatch(path, "%v", err)
	}
	if err := sameValue(path, was, own.Elem()); err != nil {
		return err
	}
	return sameDigits(path, text, is.Interface())
}

// sameNumber returns an error unless is, decoded from the text of a number, has the same digits.
func sameNumber(path, text string, is float64) error {
	exact, ok := new(big.Rat).SetString(text)
	back, ok2 := new(big.Rat).SetString(strconv.FormatFloat(is, 'g', -1, 64))
	if ok && ok2 && exact.Cmp(back) == 0 {
		return nil
	}
	return mismatch(path, "the number %s in an interface becomes %s; "+
		"use a key of the session for it alone, or a typed collection",
		text, strconv.FormatFloat(is, 'f', -1, 64))
}

// sameDigits is sameNumber for all numbers of a JSON text.
func sameDigits(path string, text []byte, is any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var exact any
	if err := d.Decode(&exact); err != nil {
		return mismatch(path, "%v", err)
	}
	return digits(path, exact, is)
}

func digits(path string, exact, is any) error {
	switch exact := exact.(type) {
	case json.Number:
		if is, ok := is.(float64); ok {
			return sameNumber(path, exact.String(), is)
		}
	case []any:
		if is, ok := is.([]any); ok && len(is) == len(exact) {
			for i := range exact {
				if err := digits(path+"["+strconv.Itoa(i)+"]", exact[i], is[i]); err != nil {
					return err
				}
			}
			return nil
		}
	case map[string]any:
		if is, ok := is.(map[string]any); ok && len(is) == len(exact) {
			for key := range exact {
				at := fmt.Sprintf("%s[%.40q]", path, key)
				if err := digits(at, exact[key], is[key]); err != nil {
					return err
				}
			}
			return nil
		}
	default:
		if exact == is {
			return nil
		}
	}
	return mismatch(path, "it becomes %v", is)
}

// definesJSON reports whether the type of v defines its own JSON. As in encoding/json, a method of
// the pointer type counts only if v is addressable.
func definesJSON(v reflect.Value) bool {
	return marshals(v.Type()) || v.CanAddr() && marshals(reflect.PointerTo(v.Type()))
}

func marshals(t reflect.Type) bool {
	return t.Implements(jsonMarshaler) || t.Implements(textMarshaler)
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// sameText compares two values of a type that defines its own JSON, by that JSON. If the method
// comes from an embedded field, which does not see the other fields, the fields are compared as
// well.
func sameText(path string, was, is reflect.Value) error {
	if !was.CanInterface() || !is.CanInterface() {
		return nil // part of an unexported embedded field
	}
	a, err := textOf(was)
	if err != nil {
		return mismatch(path, "%v", err)
	}
	b, err := textOf(is)
	if err != nil {
		return mismatch(path, "%v", err)
	}
	if !bytes.Equal(a, b) {
		return mismatch(path, "%.60s becomes %.60s", a, b)
	}
	if was.Kind() == reflect.Struct {
		for i := range was.NumField() {
			if field := was.Type().Field(i); field.Anonymous && marshals(field.Type) {
				return sameFields(path, was, is)
			}
		}
	}
	return nil
}

func textOf(v reflect.Value) ([]byte, error) {
	if v.CanAddr() {
		v = v.Addr()
	}
	return json.Marshal(v.Interface())
}
