// Package browsertest looks at pages with an installed Chromium, for tests.
//
//	page := browsertest.Open(t, browsertest.Options{Width: 390, Height: 844})
//	page.Go(server.URL)
//	page.Wait(`document.querySelectorAll(".row").length > 0`)
//	page.Screenshot("narrow")
//
// A message of the page on the console that is an error, an exception of a script and a violation of
// the Content-Security-Policy fail the test. Screenshots are kept by go test -artifacts.
//
// Without Chromium the test is skipped, or fails when PASTELINE_REQUIRE_SERVICES is set.
package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

// Chromium is the browser.
var Chromium = testserver.Software{
	Name: "Chromium", Program: "chromium", Folders: []string{"/usr/lib/chromium"},
	Package: "chromium",
}

// timeLimit is the time after which an action of a page fails.
const timeLimit = 30 * time.Second

// Options select how a page is shown.
type Options struct {
	Width, Height int64 // of the window in CSS pixels; default 1280 × 900
	Dark          bool  // the user prefers dark colors
	NoScript      bool  // scripts are disabled
}

// A Page is a page of a browser of its own, which ends with the test.
type Page struct {
	tb  testing.TB
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it

	mu      sync.Mutex // guards faults
	faults  []string
	allowed []string
}

// Open starts a browser.
func Open(tb testing.TB, o Options) *Page {
	tb.Helper()
	program := Chromium.Require(tb)
	flags := append(chromedp.DefaultExecAllocatorOptions[:], // the sandbox refuses root
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(tb.TempDir()))
	parent, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	tb.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(parent)
	tb.Cleanup(cancel)
	p := &Page{tb: tb, ctx: ctx}
	tb.Cleanup(p.check)
	if o.Width == 0 {
		o.Width, o.Height = 1280, 900
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	p.must("starting "+program, chromedp.Do(ctx, chromedp.EmulateViewport(o.Width, o.Height)))
	_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled,
		emulation.SetScriptExecutionDisabledParams{Value: o.NoScript})
	p.must("disabling scripts", err)
	_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
	p.must("choosing colors", err)
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the browser has ended
			}
			if m.Type == chromedp.ConsoleException || m.Type == "error" {
				p.fault(m.Text + " " + m.URL)
			}
		}
	}()
	return p
}

func (p *Page) must(what string, err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatalf("%s: %v", what, err)
	}
}

func (p *Page) fault(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, text)
}

// Allow makes faults whose text contains part no failure of the test.
func (p *Page) Allow(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, part)
}

func (p *Page) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		ok := false
		for _, part := range p.allowed {
			ok = ok || strings.Contains(fault, part)
		}
		if !ok {
			p.tb.Errorf("the page reports: %s", fault)
		}
	}
}

// run runs an action within the time limit.
func run[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, timeLimit)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	p.must(what, err)
	return result
}

// Go opens a URL and waits until it is loaded.
func (p *Page) Go(url string) {
	p.tb.Helper()
	run(p, url, chromedp.Navigate(url))
}

// Do evaluates JavaScript.
func (p *Page) Do(script string) {
	p.tb.Helper()
	run(p, script, chromedp.Evaluate[chromedp.Void](script))
}

// Get returns the value of an expression of JavaScript, a string. It also works if scripts are
// disabled.
func (p *Page) Get(expression string) string {
	p.tb.Helper()
	return run(p, expression, chromedp.Evaluate[string](expression))
}

// Text returns the visible text of the page.
func (p *Page) Text() string {
	p.tb.Helper()
	return p.Get(`document.body.innerText`)
}

// Wait waits until an expression of JavaScript is true.
func (p *Page) Wait(expression string) {
	p.tb.Helper()
	for deadline := time.Now().Add(timeLimit); ; time.Sleep(20 * time.Millisecond) {
		if run(p, expression, chromedp.Evaluate[bool]("Boolean("+expression+")")) {
			return
		}
		if time.Now().After(deadline) {
			p.tb.Fatalf("not true in time: %s\nthe page:\n%s", expression, p.Text())
		}
	}
}

// Click clicks the first element of a CSS selector.
func (p *Page) Click(selector string) {
	p.tb.Helper()
	run(p, selector, chromedp.Click(chromedp.CSS(selector)))
}

// Press sends keys to the element that has the focus, as of package chromedp/kb.
func (p *Page) Press(keys string) {
	p.tb.Helper()
	run(p, "pressing keys", chromedp.KeyEvent(keys))
}

// Screenshot stores a picture of the whole page among the artifacts of the test.
func (p *Page) Screenshot(name string) {
	p.tb.Helper()
	picture := run(p, name, chromedp.FullScreenshot(100))
	file := filepath.Join(p.tb.ArtifactDir(), name+".png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Logf("screenshot: %s", file)
}

// scrolls is an expression for the element that makes the page wider than the window, or "".
const scrolls = `document.documentElement.scrollWidth <= innerWidth ? "" :
	[...document.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.tagName + "." + e.className).join(" ")`

// CheckWidth fails the test if the page has to be scrolled horizontally.
func (p *Page) CheckWidth() {
	p.tb.Helper()
	if wide := p.Get(scrolls); wide != "" {
		p.tb.Errorf("wider than the window: %s", wide)
	}
}

// contrasts is an expression for the texts whose contrast to their background is below 4.5.
const contrasts = `(() => {
	const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), a: n[3] ?? 1 }; };
	const lum = ([r, g, b]) => {
		const f = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
		return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
	};
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		let rgb = [255, 255, 255];
		for (const l of layers.reverse()) rgb = rgb.map((v, i) => v * (1 - l.a) + l.rgb[i] * l.a);
		return rgb;
	};
	const bad = [];
	for (const e of document.querySelectorAll("body *")) {
		const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
		if (!own || !e.getClientRects().length || e.closest("script, title, .sr")) continue;
		const a = lum(parse(getComputedStyle(e).color).rgb), b = lum(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + e.textContent.trim().slice(0, 20));
	}
	return bad.join("\n");
})()`

// CheckContrast fails the test if a text has too little contrast to its background.
func (p *Page) CheckContrast() {
	p.tb.Helper()
	if bad := p.Get(contrasts); bad != "" {
		p.tb.Errorf("too little contrast:\n%s", bad)
	}
}
