package attempt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/observe"
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
	id     string // of the request, by which the log names it; empty: unknown
}

// problemOf returns err as the client of the request of ctx may see it. It has the request's id if
// the server is at fault, so that its client can report the failure.
func problemOf(ctx context.Context, status int, err error) problem {
	p := problem{status: status, title: http.StatusText(status)}
	if status >= http.StatusInternalServerError {
		p.id = observe.ID(ctx)
	}
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

// style is the style sheet of the page.
const style = "\n:root { color-scheme: light dark }\n" +
	"body { font: 1.0625rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 12vh auto;\n" +
	"  padding: 0 1.25rem; color: light-dark(#1d2733, #dfe5ec); overflow-wrap: anywhere;\n" +
	"  background: light-dark(#fff, #14191f) }\n" +
	"h1 { font-size: 1.75rem; line-height: 1.2 }\n" +
	"footer { margin-top: 2.5rem; border-top: 1px solid light-dark(#d5dce4, #343e49);\n" +
	"  padding-top: .75rem; font-size: .875rem; color: light-dark(#56626f, #9aa7b5) }\n"

// policy is the Content-Security-Policy of the page: nothing but its own style sheet.
var policy = "default-src 'none'; style-src '" + StyleHash(style) +
	"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// StyleHash returns the source expression by which a Content-Security-Policy allows a style sheet.
func StyleHash(sheet string) string {
	sum := sha256.Sum256([]byte(sheet))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (p problem) html() []byte {
	var b bytes.Buffer
	title := html.EscapeString(p.title)
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>%d %s</title>\n"+
		"<style>%s</style>\n</head>\n<body>\n<main>\n<h1>%s</h1>\n",
		p.status, title, style, title)
	if p.detail != "" {
		fmt.Fprintf(&b, "<p>%s</p>\n", html.EscapeString(p.detail))
	} else if p.status >= http.StatusInternalServerError && p.id != "" {
		b.WriteString("<p>The server failed to answer this request. " +
			"If that happens again, please report it with the id of the request.</p>\n")
	}
	b.WriteString("</main>\n")
	if p.id != "" {
		fmt.Fprintf(&b, "<footer>Request <code>%s</code></footer>\n", html.EscapeString(p.id))
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
	if p.id != "" {
		members["request_id"] = p.id
	}
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

// Prefers returns the media type, of those that [Respond] offers, that the Accept fields of a request
// prefer: text/plain, text/html, application/problem+json or application/json.
func Prefers(r *http.Request) string { return prefers(r.Header.Values("Accept")) }

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
