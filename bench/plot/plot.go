// Package plot draws throughput and latency against the number of clients, as SVG that is legible
// on light and dark pages.
package plot

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// A Point has the figures for a number of clients. Latencies are in nanoseconds.
type Point struct {
	Clients        int
	Rate, P50, P99 float64
}

// A Chart has two panels: requests a second, and latencies. All axes are logarithmic.
type Chart struct {
	Title  string
	series []series
}

type series struct {
	name   string
	points []Point
}

// Add adds a point to the line of that name. Lines get their colours in the order of their first
// points.
func (c *Chart) Add(name string, p Point) {
	i := slices.IndexFunc(c.series, func(s series) bool { return s.name == name })
	if i < 0 {
		i = len(c.series)
		c.series = append(c.series, series{name: name})
	}
	c.series[i].points = append(c.series[i].points, p)
}

// Empty reports whether the chart has no points.
func (c *Chart) Empty() bool { return len(c.series) == 0 }

// Sizes in the units of the picture.
const (
	width, height = 960, 430
	panelWidth    = 370
	top, bottom   = 90, 370
	leftPanel     = 80
	rightPanel    = 560
)

// One colour for each line. They differ on white and on black, also for the colour-blind; the
// markers differ, too.
var colours = []string{"#2f7de1", "#e8743b", "#19a979", "#b57be8", "#d9a400", "#8a8f98"}

// SVG draws the chart.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" `+
		`aria-label="%s">`+"\n", width, height, html.EscapeString(c.Title))
	b.WriteString(`<style>
.page { fill: #fff }
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 16px; font-weight: 600 }
.grid { stroke: #8888; stroke-width: 0.5 }
.axis { stroke: #777; stroke-width: 1; fill: none }
.line { fill: none; stroke-width: 2 }
.p99 { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) { .page { fill: #0d1117 } text { fill: #ccc } }
</style>
`)
	// The page may be dark although the system of the reader is not, so the picture has its own
	// background.
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	text(&b, leftPanel, 26, "title", "start", c.Title)
	if c.Empty() {
		text(&b, leftPanel, 50, "name", "start", "not measured yet")
	}
	c.legend(&b)
	c.panel(&b, leftPanel, "requests a second",
		func(p Point) []float64 { return []float64{p.Rate} }, si)
	c.panel(&b, rightPanel, "latency: p50 (line), p99 (dashes)",
		func(p Point) []float64 { return []float64{p.P50, p.P99} }, duration)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func text(b *bytes.Buffer, x, y float64, class, anchor, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y,
		class, anchor, html.EscapeString(s))
}

func (c *Chart) legend(b *bytes.Buffer) {
	x := float64(leftPanel)
	for i, s := range c.series {
		colour := colours[i%len(colours)]
		fmt.Fprintf(b, `<line x1="%.1f" y1="46" x2="%.1f" y2="46" class="line" stroke="%s"/>`+"\n",
			x, x+24, colour)
		marker(b, i, x+12, 46, colour)
		text(b, x+30, 50, "name", "start", s.name)
		x += 60 + 7.5*float64(len(s.name))
	}
}

// An axis maps the logarithms of values to coordinates.
type axis struct{ low, high, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (math.Log(v)-math.Log(a.low))/(math.Log(a.high)-math.Log(a.low))*(a.to-a.from)
}

func (c *Chart) panel(b *bytes.Buffer, left float64, label string, values func(Point) []float64,
	format func(float64) string) {
	low, high, most := math.Inf(1), 0.0, 2
	for _, s := range c.series {
		for _, p := range s.points {
			most = max(most, p.Clients)
			for _, v := range values(p) {
				if v > 0 {
					low, high = min(low, v), max(high, v)
				}
			}
		}
	}
	if high == 0 {
		return
	}
	y := axis{math.Pow(10, math.Floor(math.Log10(low))),
		math.Pow(10, math.Ceil(math.Log10(high*1.001))), bottom, top}
	x := axis{1, float64(most), left + 10, left + panelWidth - 10}
	text(b, left, top-12, "label", "start", label)
	for v := y.low; v <= y.high*1.01; v *= 10 {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="grid"/>`+"\n", left,
			y.at(v), left+panelWidth, y.at(v))
		text(b, left-6, y.at(v)+4, "tick", "end", format(v))
	}
	for n := 1; n <= most; n *= 2 {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="grid"/>`+"\n",
			x.at(float64(n)), top, x.at(float64(n)), bottom)
		text(b, x.at(float64(n)), bottom+18, "tick", "middle", fmt.Sprint(n))
	}
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%d" height="%d" class="axis"/>`+"\n", left, top,
		panelWidth, bottom-top)
	text(b, left+panelWidth/2, bottom+40, "label", "middle", "clients at the same time")
	for i, s := range c.series {
		colour := colours[i%len(colours)]
		points := slices.SortedFunc(slices.Values(s.points),
			func(a, b Point) int { return a.Clients - b.Clients })
		for line := range len(values(points[0])) {
			class := "line"
			if line > 0 {
				class = "line p99"
			}
			fmt.Fprintf(b, `<polyline class="%s" stroke="%s" points="`, class, colour)
			for _, p := range points {
				fmt.Fprintf(b, "%.1f,%.1f ", x.at(float64(p.Clients)), y.at(values(p)[line]))
			}
			b.WriteString(`"/>` + "\n")
			if line == 0 {
				for _, p := range points {
					marker(b, i, x.at(float64(p.Clients)), y.at(values(p)[line]), colour)
				}
			}
		}
	}
}

// marker draws a small shape, which differs from line to line.
func marker(b *bytes.Buffer, i int, x, y float64, colour string) {
	switch i % 3 {
	case 0:
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, colour)
	case 1:
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="7" height="7" fill="%s"/>`+"\n", x-3.5,
			y-3.5, colour)
	default:
		fmt.Fprintf(b, `<path d="M%.1f %.1fl5 8h-10z" fill="%s"/>`+"\n", x, y-5, colour)
	}
}

func si(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g k", v/1e3)
	default:
		return fmt.Sprintf("%g", v)
	}
}

func duration(ns float64) string {
	switch {
	case ns >= 0.99e9:
		return fmt.Sprintf("%.4g s", ns/1e9)
	case ns >= 0.99e6:
		return fmt.Sprintf("%.4g ms", ns/1e6)
	case ns >= 0.99e3:
		return fmt.Sprintf("%.4g µs", ns/1e3)
	default:
		return fmt.Sprintf("%.4g ns", ns)
	}
}
