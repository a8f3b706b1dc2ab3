package serve

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A schema is a JSON schema, of the part of draft 2020-12 that settings need. Keys that start with
// "x-" are annotations for what the draft has no key for.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Type        any                `json:"type,omitempty"` // a string, or a list of them
	Description string             `json:"description,omitempty"`
	Default     any                `json:"default,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     json.RawMessage    `json:"minimum,omitempty"`
	Maximum     json.RawMessage    `json:"maximum,omitempty"`
	WriteOnly   bool               `json:"writeOnly,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Patterns    map[string]*schema `json:"patternProperties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  *bool              `json:"additionalProperties,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`

	Aliases []string `json:"x-aliases,omitempty"` // other names of a factory
	Min     string   `json:"x-minimum,omitempty"` // of a duration or a size, as a file writes it
	Max     string   `json:"x-maximum,omitempty"`
	Words   []string `json:"x-words,omitempty"` // the words that a list may have
}

// settingsSchema returns the schema of an object that has, for each kind of section and each name
// that use can have there, an object with the settings of that section. A value is a string as the
// file writes it; where a setting is a number, true or false, it may have that type as well.
func settingsSchema(factories []tree.FactoryInfo) *schema {
	root := &schema{
		Schema:     "https://json-schema.org/draft/2020-12/schema",
		Title:      "settings of the sections of an .ini file",
		Type:       "object",
		Properties: map[string]*schema{}, Additional: new(false), Defs: map[string]*schema{},
	}
	for _, kind := range factoryKinds {
		root.Properties[string(kind)] = &schema{
			Type:       "object",
			Properties: map[string]*schema{}, Additional: new(false),
		}
	}
	for _, info := range factories {
		def := string(info.Kind) + " " + info.Name
		s := sectionSchema(info.Settings, info.Others)
		s.Title, s.Aliases = def, info.Aliases
		root.Defs[def] = s
		for _, name := range append([]string{info.Name}, info.Aliases...) {
			root.Properties[string(info.Kind)].Properties[name] = &schema{Ref: refTo(def)}
		}
	}
	log := sectionSchema(nil, false)
	log.Title = "[" + loggingSection + "]"
	for _, s := range logging.Settings() {
		if prefix, ok := strings.CutSuffix(s.Key, "NAME"); ok { // a key for each section
			log.Patterns = map[string]*schema{"^" + regexp.QuoteMeta(prefix): settingSchema(s)}
		} else {
			log.Properties[s.Key] = settingSchema(s)
		}
	}
	root.Properties[loggingSection] = log
	return root
}

// refTo returns the JSON pointer of a definition, as a fragment of a URI.
func refTo(def string) string {
	escaped := strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "#", "%23", " ", "%20")
	return "#/$defs/" + escaped.Replace(def)
}

// sectionSchema returns the schema of the settings of one section.
func sectionSchema(settings []tree.SettingInfo, others bool) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: &others}
	for _, setting := range settings {
		s.Properties[setting.Key] = settingSchema(setting)
		if setting.Required {
			s.Required = append(s.Required, setting.Key)
		}
	}
	return s
}

// Patterns of the values that a setting of some types can have.
const (
	wholePattern    = `^\s*[+-]?[0-9][0-9_]*\s*$`
	numberPattern   = `^\s*[+-]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$`
	boolPattern     = `^\s*([Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Yy]|[Tt]|1|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff]|[Nn]|[Ff]|0)\s*$`
	durationPattern = `^\s*[+-]?([0-9.]+([eE][+-]?[0-9]+)?|([0-9.]+(ns|us|µs|μs|ms|s|m|h))+)\s*$`
	sizePattern     = `^\s*[0-9][0-9_.]*\s*([kKmMgGtT][iI]?)?[bB]?\s*$`
)

// settingSchema returns the schema of one setting.
func settingSchema(info tree.SettingInfo) *schema {
	s := &schema{Description: info.Help, WriteOnly: info.Secret}
	isNumber := false
	switch info.Type {
	case "a whole number":
		s.Type, s.Pattern, isNumber = []string{"integer", "string"}, wholePattern, true
	case "a number":
		s.Type, s.Pattern, isNumber = []string{"number", "string"}, numberPattern, true
	case "true or false":
		s.Type, s.Pattern = []string{"boolean", "string"}, boolPattern
	case "a duration":
		s.Type, s.Pattern = []string{"string", "number"}, durationPattern
	case "a size in bytes":
		s.Type, s.Pattern = []string{"string", "integer"}, sizePattern
	case "": // only the help describes it
		s.Type = []string{"string", "number", "boolean"}
	default: // text, a list of words, or a secret
		s.Type = "string"
	}
	switch {
	case len(info.OneOf) > 0 && info.Type == "a list of words":
		words := strings.Join(quoteAll(info.OneOf), "|")
		s.Pattern, s.Words = fmt.Sprintf(`^\s*((%s)(\s+|$))*$`, words), info.OneOf
	case len(info.OneOf) > 0:
		s.Enum, s.Pattern = info.OneOf, ""
	}
	if isNumber {
		s.Minimum, s.Maximum = jsonNumber(info.Min), jsonNumber(info.Max)
	} else {
		s.Min, s.Max = info.Min, info.Max
	}
	if info.HasDefault && !info.Secret {
		s.Default = info.Default
		if number := jsonNumber(info.Default); isNumber && number != nil {
			s.Default = number
		}
		if b, err := strconv.ParseBool(info.Default); info.Type == "true or false" && err == nil {
			s.Default = b
		}
	}
	return s
}

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = regexp.QuoteMeta(word)
	}
	return quoted
}

// jsonNumber returns a number of a tag as JSON writes it, or nil if there is none.
func jsonNumber(text string) json.RawMessage {
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}
