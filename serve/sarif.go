package serve

import (
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	programversion "github.com/pasteline/pasteline/internal/version"
)

// The types of this file are the part of SARIF 2.1.0 that writeSARIF uses: the format in which
// editors and CI systems take the findings of a checker.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	ColumnKind  string            `json:"columnKind"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	ShortDescription sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	ExecutionSuccessful bool `json:"executionSuccessful"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     severity        `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	PhysicalLocation *sarifPhysical `json:"physicalLocation,omitempty"`
	LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

// A sarifRegion without columns is the whole line.
type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
}

// writeSARIF writes findings in the format SARIF 2.1.0. A finding without a file is located at the
// start of config, if that is the path of a file, since GitHub ignores results without a location.
func writeSARIF(w io.Writer, config, version string, found []finding) error {
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name: "pasteline", Version: version, InformationURI: "https://" + programversion.Module,
		}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: true}},
		ColumnKind:  "unicodeCodePoints",
		Results:     []sarifResult{},
	}
	for _, r := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{r.id, sarifText{r.text}})
	}
	for _, f := range found {
		run.Results = append(run.Results, sarifResult{
			RuleID:    f.Rule,
			RuleIndex: slices.IndexFunc(rules, func(r rule) bool { return r.id == f.Rule }),
			Level:     f.Severity, Message: sarifText{f.text()}, Locations: f.locations(config),
		})
	}
	return writeJSON(w, sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	})
}

// text returns the finding without file, line and section.
func (f finding) text() string {
	text := f.Message
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return text
}

func (f finding) locations(config string) []sarifLocation {
	var l sarifLocation
	if path, isFile := configPath(config); f.File == "" && isFile {
		f.File = path
	}
	if f.File != "" {
		l.PhysicalLocation = &sarifPhysical{
			sarifArtifact{fileURI(f.File)}, sarifRegion{max(f.Line, 1)},
		}
	}
	if f.Section != "" {
		name := f.Section
		if f.Key != "" {
			name += "/" + f.Key
		}
		l.LogicalLocations = []sarifLogical{{name}}
	}
	if l.PhysicalLocation == nil && l.LogicalLocations == nil {
		return []sarifLocation{}
	}
	return []sarifLocation{l}
}

// fileURI returns the URI of a file: relative for a relative path, which CI systems resolve from
// the root of the repository.
func fileURI(path string) string {
	volume := filepath.VolumeName(path)
	slashed := filepath.ToSlash(filepath.Clean(path))
	switch {
	case strings.HasPrefix(slashed, "//"): // a share of Windows: its server is the host
		host, rest, _ := strings.Cut(slashed[2:], "/")
		return (&url.URL{Scheme: "file", Host: host, Path: "/" + rest}).String()
	case filepath.IsAbs(path):
		if volume != "" {
			slashed = "/" + slashed
		}
		return (&url.URL{Scheme: "file", Path: slashed}).String()
	}
	return (&url.URL{Path: slashed}).String() // with ./ before a colon in the first segment
}
