package myapp_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/pasteline/pasteline/internal/testing/browsertest"
)

// The two requests of a race are drawn while they run, in the timelines and as dots in the picture of
// the pipeline; afterwards the lost attempt says what it was lost over, and to which request.
func TestRaceIsDrawn(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	for _, dark := range []bool{false, true} {
		t.Run(fmt.Sprint("dark=", dark), func(t *testing.T) {
			t.Parallel()
			page := browsertest.Open(t, browsertest.Options{Dark: dark})
			page.Go(b.base + "/")
			for _, title := range []string{"browserid", "retry", "tm", "myapp"} {
				inside := fmt.Sprintf(`[...document.querySelectorAll(".frame .title strong")]
					.some((e) => e.textContent === %q)`, title)
				page.Wait(inside)
			}
			page.Screenshot("before")
			page.Wait(`!document.querySelector("[data-of=n]").disabled`)
			// The observer keeps what was drawn while the race ran.
			page.Do(`window.drawn = {dots: "", bars: 0};
				new MutationObserver(() => {
					for (const e of document.querySelectorAll(".frame .dots"))
						if (e.textContent) drawn.dots += e.closest(".frame").querySelector("strong").textContent + " ";
					if (document.querySelector(".verdict").textContent.includes("running"))
						drawn.bars = Math.max(drawn.bars, document.querySelectorAll(".runners rect").length);
				}).observe(document.body, {subtree: true, childList: true})`)
			page.Click("[data-of=n]")
			page.Wait(`document.querySelector(".runners rect")`)
			page.Screenshot("while")
			page.Wait(`document.querySelector(".verdict").textContent.includes("both changes were kept")`)
			if got := page.Get(`document.querySelector(".verdict").textContent`); got !=
				"Stored 1 and 2 in 3 attempts: both changes were kept." {
				t.Errorf("got %q", got)
			}
			if got := page.Get(`document.querySelector("#you ~ .lead").textContent`); got !=
				"Welcome back. This is your session." {
				t.Errorf("the page does not show that the session has begun: %q", got)
			}
			if got := page.Get(`window.drawn.dots`); !strings.Contains(got, "myapp") {
				t.Errorf("no request was drawn in the app: %q", got)
			}
			page.Wait(`window.drawn.bars >= 2`)
			loss := page.Get(`document.querySelector(".runners .loss").textContent`)
			if !strings.HasPrefix(loss, "Attempt 1 lost over session ") ||
				!strings.HasSuffix(loss, "POST /incr") || !strings.Contains(loss, "to request ") {
				t.Errorf("got %q, want the key and the winner", loss)
			}
			page.Wait(`document.querySelectorAll(".runners rect.lost").length >= 1`)
			page.Wait(`[...document.querySelectorAll(".frame .dots")].every((e) => e.textContent === "")`)
			if got := page.Get(`document.activeElement.dataset.of`); got != "n" {
				t.Errorf("the focus is on %q, want the button", got)
			}
			page.CheckContrast()
			page.Screenshot("after")
			page.Go(b.base + "/") // drawn by the template now
			page.Wait(`document.querySelectorAll(".runners rect.lost").length >= 1`)
			page.CheckContrast()
		})
	}
}

// The keyboard starts a race, and a narrow window needs no horizontal scrolling.
func TestRaceByKeyboardAndNarrow(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	page := browsertest.Open(t, browsertest.Options{Width: 390, Height: 844})
	page.Go(b.base + "/")
	page.CheckWidth()
	page.Do(`document.querySelector("[data-of=shared]").focus()`)
	page.Press(kb.Enter)
	page.Wait(`[...document.querySelectorAll(".verdict")].some((e) => e.textContent.includes("were kept"))`)
	page.CheckWidth()
	page.Screenshot("narrow")
}

// Without debug there are no timelines, and the race still tells its result. The picture of the
// pipeline names no other app.
func TestRaceInProduction(t *testing.T) {
	t.Parallel()
	text := strings.Replace(ini(allFilters, ""), "debug = true", "debug = false", 1)
	text = strings.Replace(text, "my-secret-key", "0bd5bf0fdd0b1a5c8d0e6e4be2e3a4d2", 1)
	text = strings.Replace(text, "myapp\n", "both\n", 1)
	text = strings.Replace(text, "tm myapp", "tm both", 1) + `
[composite:both]
use = egg:Paste#urlmap
/ = myapp
/hidden = egg:pasteline#echo
`
	b := newBrowser(t, text, io.Discard)
	page := browsertest.Open(t, browsertest.Options{})
	page.Go(b.base + "/")
	if shown := page.Text(); strings.Contains(shown, "/hidden") || !strings.Contains(shown, "urlmap") &&
		!strings.Contains(shown, "both") {
		t.Errorf("the picture of the pipeline is wrong:\n%s", shown)
	}
	page.Click("[data-of=n]")
	page.Wait(`document.querySelector(".verdict").textContent.includes("both changes were kept")`)
	if got := page.Get(`String(document.querySelectorAll(".runners rect, .dots").length)`); got == "0" {
		t.Error("the picture has no frames")
	}
	if got := page.Get(`String(document.querySelectorAll(".runners rect").length)`); got != "0" {
		t.Errorf("got %s bars", got)
	}
	b.want(404, "GET", "/races/x", nil)
}

// Without scripts the page shows the pipeline, and the timelines of the last race.
func TestPageWithoutScript(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, ini(allFilters, ""), io.Discard)
	b.want(200, "POST", "/shared/incr?race=shell", nil)
	b.want(200, "POST", "/shared/incr?race=shell", nil)
	page := browsertest.Open(t, browsertest.Options{NoScript: true})
	page.Go(b.base + "/")
	text := page.Text()
	for _, part := range []string{"request 1", "request 2", "1 attempt", "race=shell", "retry"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page does not show %q:\n%s", part, text)
		}
	}
	page.CheckWidth()
}
