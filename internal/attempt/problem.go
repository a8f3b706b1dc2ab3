package attempt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// The media types of an answer.
const (
	plainType   = "text/plain; charset=utf-8"
	htmlType    = "text/html; charset=utf-8"
	problemType = "application/problem+json"
)

// A problem is an error as the client may see it, with the members of RFC 9457.
type problem struct {
	status int
	title  string
	detail string // what the error says for clients; empty: nothing
	kind   string // a URI that identifies the type of the problem; empty: about:blank
	extra  map[string]any
}

func problemOf(status int, err error) problem {
	p := problem{status: status, title: http.StatusText(status)}
	if p.title == "" {
		p.title = "Status " + strconv.Itoa(status)
	}
	if public, ok := errors.AsType[interface {
		error
		PublicText() string
	}](err); ok {
		p.detail = public.PublicText()
	}
	if described, ok := errors.AsType[interface {
		error
		Problem() (kind string, extra map[string]any)
	}](err); ok {
		p.kind, p.extra = described.Problem()
	}
	return p
}

// render returns p in the media type that a request with these Accept fields prefers.
func (p problem) render(accept []string) (kind string, body []byte) {
	switch prefers(accept) {
	case "text/html":
		return htmlType, p.html()
	case "application/json", problemType:
		if text, err := p.json(); err == nil {
			return problemType, text
		}
	}
	text := p.title
	if p.detail != "" {
		text = p.detail
	}
	return plainType, []byte(text + "\n")
}

func (p problem) html() []byte {
	var b bytes.Buffer
	title := html.EscapeString(p.title)
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>%d %s</title>\n"+
		"<style>body { font-family: sans-serif; margin: 3em auto; max-width: 40em; "+
		"padding: 0 1em }</style>\n"+
		"</head>\n<body>\n<h1>%s</h1>\n", p.status, title, title)
	if p.detail != "" {
		fmt.Fprintf(&b, "<p>%s</p>\n", html.EscapeString(p.detail))
	}
	b.WriteString("</body>\n</html>\n")
	return b.Bytes()
}

// json encodes p. Members of extra that have the name of a standard member are ignored. The error
// is that of a value of extra that can't be encoded.
func (p problem) json() ([]byte, error) {
	members := map[string]any{}
	maps.Copy(members, p.extra)
	for _, name := range [...]string{"type", "detail", "instance"} {
		delete(members, name)
	}
	members["title"], members["status"] = p.title, p.status
	if p.kind != "" {
		members["type"] = p.kind
	}
	if p.detail != "" {
		members["detail"] = p.detail
	}
	text, err := json.Marshal(members)
	return append(text, '\n'), err
}

// offered are the media types that an answer may be asked for in. The first is the default.
var offered = [...]string{"text/plain", "text/html", problemType, "application/json"}

// prefers returns the one of the offered media types that the Accept fields of a request give the
// highest quality. Among equals the more specific entry wins, then the one that comes first; a
// wildcard stands for the first offered type that it matches.
func prefers(accept []string) string {
	best, bestQuality, bestSpecific := offered[0], 0.0, 0
	for entry := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		mediaRange, params, _ := strings.Cut(entry, ";")
		name, specific := match(strings.ToLower(strings.TrimSpace(mediaRange)))
		quality := qualityOf(params)
		if name == "" || quality < bestQuality ||
			quality == bestQuality && specific <= bestSpecific {
			continue
		}
		best, bestQuality, bestSpecific = name, quality, specific
	}
	return best
}

// match returns the first offered type that mediaRange matches, and how specific mediaRange is;
// "" if it matches none.
func match(mediaRange string) (name string, specific int) {
	if mediaRange == "*/*" {
		return offered[0], 1
	}
	for _, name := range offered {
		if mediaRange == name {
			return name, 3
		}
	}
	for _, name := range offered {
		if kind, ok := strings.CutSuffix(mediaRange, "*"); ok && strings.HasSuffix(kind, "/") &&
			strings.HasPrefix(name, kind) {
			return name, 2
		}
	}
	return "", 0
}

// qualityOf returns the q parameter of an Accept entry; 1 if it has none, 0 if it is malformed.
func qualityOf(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		quality, err := strconv.ParseFloat(value, 64)
		if err != nil || quality < 0 || quality > 1 {
			return 0
		}
		return quality
	}
	return 1
}
