// Package picture draws a pipeline and its requests as HTML: the filters and apps as nested frames,
// and the attempts of a request as bars for queue, handler and commit, each lost attempt with the
// key that it was lost over. The inspector and the page of apps/myapp show these pictures.
//
//	listener := new(picture.Listener)
//	b.Observe(listener)
//	…
//	record := listener.Find(r.Context())   // of the request that runs
//	row := picture.NewRow(record.Copy(time.Now()), nil)
//	bars := picture.HTML("bars", row)
//
// [CSS] has the colors, in light and dark, and the styles of both pictures. The HTML needs no script
// and no inline style, so a strict Content-Security-Policy can stay.
package picture

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strconv"
)

// CSS is the style sheet.
//
//go:embed picture.css
var CSS []byte

//go:embed picture.html
var source string

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"frame": func(f *Frame, values map[string]string) frameView { return frameView{f, values} },
	"num":   func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) },
}).Parse(source))

// frameView is the data of the template "frame".
type frameView struct {
	Frame  *Frame
	Values map[string]string
}

// HTML draws a part: "bars" of a [Row], its "losses" with remarks, or "legend", which needs no data.
func HTML(part string, data any) template.HTML {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, part, data); err != nil {
		panic(err) // a mistake in the template or in the type of data
	}
	return template.HTML(b.String()) //nolint:gosec // the template has escaped the data
}

// FramesHTML draws a frame with those inside it. Values are texts by the id of a frame and an
// ending: "f0-text" counts below the title, "f0-in" requests inside, "f0-dots" a dot for each request
// that is in the frame now. Elements with such a text have its name in the attribute data-v. Without
// values only the structure is drawn.
func FramesHTML(root *Frame, values map[string]string) template.HTML {
	return HTML("frames", frameView{root, values})
}

// Millis returns a duration in milliseconds as text with a unit.
func Millis(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
	return fmt.Sprintf("%.0f min", ms/60_000)
}
