package serve_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A jsonSchema checks values against the part of JSON schema, draft 2020-12, that our schemas use.
type jsonSchema struct{ root map[string]any }

// annotations are the keywords that restrict nothing.
var annotations = []string{
	"$schema", "$defs", "title", "description", "default", "writeOnly",
}

func parseSchema(t *testing.T, text []byte) jsonSchema {
	t.Helper()
	root, ok := parseJSON(t, text).(map[string]any)
	if !ok || root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Fatalf("no schema: %.200s", text)
	}
	return jsonSchema{root}
}

func parseJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// resolve returns the schema that a $ref stands for.
func (s jsonSchema) resolve(schema map[string]any) (map[string]any, error) {
	ref, ok := schema["$ref"].(string)
	if !ok {
		return schema, nil
	}
	pointer, err := url.PathUnescape(strings.TrimPrefix(ref, "#/"))
	if err != nil {
		return nil, err
	}
	at := s.root
	for word := range strings.SplitSeq(pointer, "/") {
		word = strings.NewReplacer("~1", "/", "~0", "~").Replace(word)
		if at, ok = at[word].(map[string]any); !ok {
			return nil, fmt.Errorf("%s: nothing there", ref)
		}
	}
	return at, nil
}

// faults returns what makes v invalid.
func (s jsonSchema) faults(schema map[string]any, at string, v any) (faults []string) {
	schema, err := s.resolve(schema)
	if err != nil {
		return []string{at + ": " + err.Error()}
	}
	fault := func(format string, args ...any) {
		faults = append(faults, at+": "+fmt.Sprintf(format, args...))
	}
	for keyword, want := range schema {
		switch text, isText := v.(string); keyword {
		case "type":
			if !slices.ContainsFunc(list(want), func(name any) bool { return hasType(v, name) }) {
				fault("%v is no %v", v, want)
			}
		case "enum":
			if !slices.ContainsFunc(list(want), func(one any) bool {
				return reflect.DeepEqual(one, v)
			}) {
				fault("%v is none of %v", v, want)
			}
		case "pattern":
			if isText && !regexp.MustCompile(want.(string)).MatchString(text) {
				fault("%q does not match %s", text, want)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < want.(float64) {
				fault("%v is below %v", n, want)
			}
		case "maximum":
			if n, ok := v.(float64); ok && n > want.(float64) {
				fault("%v is above %v", n, want)
			}
		case "items":
			if items, ok := v.([]any); ok {
				for i, item := range items {
					faults = append(faults, s.faults(want.(map[string]any),
						fmt.Sprintf("%s/%d", at, i), item)...)
				}
			}
		case "required":
			if object, ok := v.(map[string]any); ok {
				for _, key := range want.([]any) {
					if _, ok := object[key.(string)]; !ok {
						fault("no %v", key)
					}
				}
			}
		case "properties", "patternProperties", "additionalProperties":
			// below, together
		default:
			if !slices.Contains(annotations, keyword) && !strings.HasPrefix(keyword, "x-") {
				fault("unknown keyword %s in the schema", keyword)
			}
		}
	}
	if object, ok := v.(map[string]any); ok {
		for key, value := range object {
			faults = append(faults, s.property(schema, at+"/"+key, key, value)...)
		}
	}
	return faults
}

// property returns what makes the value of a key invalid.
func (s jsonSchema) property(schema map[string]any, at, key string, v any) (faults []string) {
	known := false
	if properties, _ := schema["properties"].(map[string]any); properties[key] != nil {
		known = true
		faults = s.faults(properties[key].(map[string]any), at, v)
	}
	patterns, _ := schema["patternProperties"].(map[string]any)
	for pattern, inner := range patterns {
		if regexp.MustCompile(pattern).MatchString(key) {
			known = true
			faults = append(faults, s.faults(inner.(map[string]any), at, v)...)
		}
	}
	if additional, _ := schema["additionalProperties"].(bool); !known && !additional {
		faults = append(faults, at+": no such property")
	}
	return faults
}

func list(v any) []any {
	if all, ok := v.([]any); ok {
		return all
	}
	return []any{v}
}

func hasType(v, name any) bool {
	n, isNumber := v.(float64)
	is := map[any]bool{"number": isNumber, "integer": isNumber && n == float64(int64(n))}
	_, is["string"] = v.(string)
	_, is["boolean"] = v.(bool)
	_, is["object"] = v.(map[string]any)
	_, is["array"] = v.([]any)
	return is[name]
}

// check reports what makes a text invalid.
func (s jsonSchema) check(t *testing.T, text string) any {
	t.Helper()
	v := parseJSON(t, []byte(text))
	for _, fault := range s.faults(s.root, "", v) {
		t.Errorf("%s in\n%s", fault, text)
	}
	return v
}
