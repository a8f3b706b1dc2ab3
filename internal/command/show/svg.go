package show

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// SVG writes the tree as a self-contained picture: the path of a request from top to bottom,
// through the filters to the apps. It is readable on light and on dark screens.
func (v *View) SVG(w io.Writer) error {
	b := measure(v.shapes)
	s := &svg{out: bufio.NewWriter(w)}
	width, height := b.width+2*margin, b.height+2*margin+entry
	s.print(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 `+
		`%[1]d %[2]d" role="img">`+"\n", width, height)
	s.print("<title>%s</title>\n%s", escape(v.shapes.title()), svgStyle)
	s.print(`<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	if b.part.kind != "server" {
		x := margin + b.width/2
		s.print(`<text x="%d" y="%d" text-anchor="middle" class="quiet">request</text>`+"\n",
			x, margin+4)
		s.arrow(x, margin+10, x, margin+entry)
	}
	s.draw(b, margin, margin+entry)
	s.print("</svg>\n")
	return s.out.Flush()
}

const svgStyle = `<style>
.page { fill: #ffffff }
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre }
.title { font-weight: bold }
.quiet { fill: #59636e }
.frame { fill: #818b981f; stroke: #818b98 }
.box { fill: #ffffff; stroke: #59636e }
.filter { stroke: #0969da }
.app { stroke: #1a7f37 }
.composite { stroke: #9a6700 }
.server { stroke: #8250df }
.missing { stroke: #cf222e; stroke-dasharray: 5 3 }
.way { fill: none; stroke: #59636e; stroke-width: 1.5 }
.head { fill: #59636e }
@media (prefers-color-scheme: dark) {
  .page, .box { fill: #0d1117 }
  text { fill: #f0f6fc }
  .quiet { fill: #9198a1 }
  .filter { stroke: #4493f8 }
  .app { stroke: #3fb950 }
  .composite { stroke: #d29922 }
  .server { stroke: #ab7df8 }
  .missing { stroke: #f85149 }
  .way { stroke: #9198a1 }
  .head { fill: #9198a1 }
}
</style>
`

// Sizes are in pixels.
const (
	letter     = 7.3 // width of a letter, rounded up: fonts differ
	lineHeight = 17  // the height of a line of text
	pad        = 12  // between a frame and its contents
	gap        = 26  // between two boxes on the path of a request
	branch     = 46  // between a composite and its apps
	apart      = 18  // between two apps side by side
	margin     = 16
	entry      = 34 // at the top, for the incoming arrow
	longest    = 72 // letters of a line; the rest is in a tooltip
)

// A block is a part with its size.
type block struct {
	part          *part
	caption       []string
	own           int // the height of the caption with its margins
	boxWidth      int // of the box of a composite, without its apps
	width, height int
	inner         []*block
	children      []*block
}

// measure computes the size of a part from the sizes of its parts.
func measure(p *part) *block {
	b := &block{part: p, caption: p.caption()}
	for _, text := range b.caption {
		b.boxWidth = max(b.boxWidth, textWidth(text)+2*pad)
	}
	b.own = len(b.caption)*lineHeight + 2*pad - 4
	b.width, b.height = b.boxWidth, b.own
	for _, inner := range p.inner {
		block := measure(inner)
		if len(b.inner) > 0 {
			b.height += gap
		}
		b.inner = append(b.inner, block)
		b.width = max(b.width, block.width+2*pad)
		b.height += block.height
	}
	if len(b.inner) > 0 {
		b.height += pad
	}
	below, tallest := 0, 0
	for _, c := range p.children {
		block := measure(c.part)
		if len(b.children) > 0 {
			below += apart
		}
		block.width = max(block.width, 2*(textWidth(c.key)+8))
		b.children = append(b.children, block)
		below += block.width
		tallest = max(tallest, block.height)
	}
	if len(b.children) > 0 {
		b.width = max(b.width, below)
		b.height += branch + tallest
	}
	return b
}

func textWidth(s string) int {
	return int(letter * float64(min(utf8.RuneCountInString(s), longest)))
}

type svg struct{ out *bufio.Writer }

func (s *svg) print(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format, args...) // Flush returns the error
}

// draw draws a block with its upper left corner at x, y.
func (s *svg) draw(b *block, x, y int) {
	middle := x + b.width/2
	left, width, height := middle-b.boxWidth/2, b.boxWidth, b.own
	class := "box " + b.part.kind
	if len(b.inner) > 0 {
		left, width, height, class = x, b.width, b.height, "frame"
	}
	if b.part.missing {
		class += " missing"
	}
	s.print(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`+"\n", class, left, y,
		width, height)
	for i, text := range b.caption {
		look := ""
		if i == 0 {
			look = ` class="title"`
		}
		short := shorten(text)
		tip := ""
		if short != text {
			tip = "<title>" + escape(text) + "</title>"
		}
		s.print(`<text x="%d" y="%d"%s>%s%s</text>`+"\n", left+pad, y+pad+lineHeight*(i+1)-6, look,
			tip, escape(short))
	}
	below := y + b.own
	for i, inner := range b.inner {
		if i > 0 {
			s.arrow(middle, below, middle, below+gap)
			below += gap
		}
		s.draw(inner, middle-inner.width/2, below)
		below += inner.height
	}
	s.branches(b, x, y+b.own)
}

// branches draws the apps of a composite side by side.
func (s *svg) branches(b *block, x, y int) {
	if len(b.children) == 0 {
		return
	}
	middle := x + b.width/2
	total := apart * (len(b.children) - 1)
	for _, c := range b.children {
		total += c.width
	}
	x = middle - total/2
	for i, c := range b.children {
		to := x + c.width/2
		s.arrow(middle, y, to, y+branch)
		s.print(`<text x="%d" y="%d" class="quiet">%s</text>`+"\n", to+6, y+branch-10,
			escape(shorten(b.part.children[i].key)))
		s.draw(c, x, y+branch)
		x += c.width + apart
	}
}

// arrow draws an arrow from one point down to another.
func (s *svg) arrow(x1, y1, x2, y2 int) {
	s.print(`<path class="way" d="M%d %dV%dH%dV%d"/><path class="head" d="M%d %dl-4 -8h8z"/>`+"\n",
		x1, y1, y1+(y2-y1)/3, x2, y2-6, x2, y2)
}

func shorten(s string) string {
	if utf8.RuneCountInString(s) <= longest {
		return s
	}
	return string([]rune(s)[:longest-1]) + "…"
}

// escape escapes a string for XML.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
