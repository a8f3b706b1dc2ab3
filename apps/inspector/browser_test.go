package inspector_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/pasteline/pasteline/internal/testing/browsertest"
)

const place = "/_pasteline"

// The page shows a request as soon as it has ended, and a lost attempt with its key and its winner.
func TestPageIsLive(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	page := browsertest.Open(t, browsertest.Options{})
	page.Go(s.URL + place + "/")
	page.Wait(`document.getElementById("live").textContent === "Live"`)
	if text := page.Text(); !strings.Contains(text, "No request yet") {
		t.Errorf("the first page shows: %s", text)
	}
	page.Screenshot("idle")
	c := client(t)
	do(t, c, http.MethodGet, s.URL+"/hello")
	page.Wait(`document.querySelector(".row .path")?.textContent === "/hello"`)
	page.Wait(`document.querySelector('[data-v="requests"]').textContent === "1"`)

	race(t, c, s.URL)
	page.Wait(`document.querySelectorAll(".row .loss").length === 1`)
	loss := page.Get(`document.querySelector(".loss").textContent`)
	if !strings.HasPrefix(loss, "Attempt 1 lost over session ") || !strings.Contains(loss, "to request ") ||
		!strings.HasSuffix(loss, "POST /incr") {
		t.Errorf("got %q, want the key and the winner", loss)
	}
	page.Wait(`document.querySelector('[data-v="lost"]').textContent === "1"`)
	page.Wait(`document.querySelector("tr.hot .lostn")?.textContent === "1"`)
	page.Screenshot("race")
}

// Tab, the arrow keys and Enter lead to the details of a request.
func TestPageByKeyboard(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	c := client(t)
	race(t, c, s.URL)
	page := browsertest.Open(t, browsertest.Options{})
	page.Go(s.URL + place + "/")
	page.Wait(`document.querySelectorAll(".row a[role=button]").length === 3`)
	focus := func() string {
		return page.Get(`document.activeElement.id || document.activeElement.closest(".row")?.id || ""`)
	}
	want := []string{"pause", "all", "only"}
	for _, id := range want {
		if page.Press(kb.Tab); focus() != id {
			t.Fatalf("Tab leads to %q, want %q", focus(), id)
		}
	}
	if outline := page.Get(`getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus is not visible: %q", outline)
	}
	page.Press(kb.Tab)
	first := focus()
	page.Press(kb.ArrowDown)
	if second := focus(); first == second || !strings.HasPrefix(second, "r") {
		t.Errorf("arrow down leads from %q to %q", first, second)
	}
	page.Press(kb.Enter)
	page.Wait(`document.activeElement.getAttribute("aria-expanded") === "true"`)
	page.Wait(`document.querySelector(".details h3")?.textContent.startsWith("Attempt 1 of")`)
	text := page.Text()
	for _, part := range []string{"storage:memory://", "session", "range", "put", "committed"} {
		if !strings.Contains(text, part) {
			t.Errorf("the details do not show %q:\n%s", part, text)
		}
	}
	page.Screenshot("details")
	page.Press(kb.Escape)
	page.Wait(`!document.querySelector(".details")`)
}

// Without scripts the page shows a snapshot, and the rows are links to pages.
func TestPageWithoutScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	race(t, client(t), s.URL)
	wait(t, "the end of three requests", func() bool { return s.snapshot(place).Totals.Requests == 3 })
	page := browsertest.Open(t, browsertest.Options{NoScript: true})
	page.Go(s.URL + place + "/")
	text := page.Text()
	for _, part := range []string{"A snapshot", "lost over session", "/incr", "retry", "Settings in effect"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page does not show %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "Pause") {
		t.Error("a button that needs a script is shown")
	}
	page.Screenshot("noscript")
	page.Click(".row a")
	page.Wait(`document.querySelector(".single .details") !== null`)
}

// A narrow window needs no horizontal scrolling, also with long paths and open details.
func TestPageIsNarrow(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	c := client(t)
	race(t, c, s.URL)
	do(t, c, http.MethodGet, s.URL+"/"+strings.Repeat("long", 60))
	do(t, c, http.MethodGet, s.URL+"/"+strings.Repeat("long", 60)+"?conflict=1")
	page := browsertest.Open(t, browsertest.Options{Width: 390, Height: 844})
	page.Go(s.URL + place + "/")
	page.Wait(`document.querySelectorAll(".row").length === 5`)
	page.Do(`document.querySelectorAll("details").forEach((d) => d.open = true)`)
	page.Click(".row.troubled a")
	page.Wait(`document.querySelector(".details")`)
	page.CheckWidth()
	page.Screenshot("narrow")
}

// All texts have enough contrast, in light and in dark colors.
func TestPageHasContrast(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "")
	c := client(t)
	race(t, c, s.URL)
	do(t, c, http.MethodPost, s.URL+"/fail")
	for _, dark := range []bool{false, true} {
		t.Run(fmt.Sprint("dark=", dark), func(t *testing.T) {
			t.Parallel()
			page := browsertest.Open(t, browsertest.Options{Dark: dark})
			page.Go(s.URL + place + "/")
			page.Wait(`document.querySelectorAll(".row").length === 4`)
			page.Do(`document.querySelectorAll("details").forEach((d) => d.open = true)`)
			page.Click(".row.troubled a")
			page.Wait(`document.querySelector(".details")`)
			page.CheckContrast()
			ground := page.Get(`getComputedStyle(document.body).backgroundColor`)
			if isDark := ground == "rgb(20, 20, 26)"; isDark != dark {
				t.Errorf("the background is %s", ground)
			}
			page.Screenshot(fmt.Sprintf("contrast-dark-%v", dark))
		})
	}
}

// The page works wherever it is mounted, also behind retry and tm.
func TestPageAtAnotherPlace(t *testing.T) {
	t.Parallel()
	ini := strings.Replace(fmt.Sprintf(siteINI, "/deep/below", "", t.Name()), "tm myapp", "tm both", 1)
	ini = strings.Replace(ini, "/deep/below = inspector", "", 1) + `
[composite:both]
use = egg:Paste#urlmap
/ = myapp
/deep/below = inspector
`
	s := serveINI(t, ini)
	page := browsertest.Open(t, browsertest.Options{})
	page.Go(s.URL + "/deep/below")
	page.Wait(`location.pathname === "/deep/below/" && document.getElementById("live").textContent === "Live"`)
	do(t, client(t), http.MethodGet, s.URL+"/hello")
	page.Wait(`document.querySelector(".row .path")?.textContent === "/hello"`)
	page.Click(".row a")
	page.Wait(`document.querySelector(".details")`)
}

// A client that needs the token gets a form; the token is in no URL.
func TestSignIn(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-test"
	s := newSite(t, place, "allow =\ntoken = "+token)
	page := browsertest.Open(t, browsertest.Options{})
	page.Allow("403 (Forbidden)")
	page.Go(s.URL + place + "/")
	page.Wait(`document.activeElement.name === "token"`)
	page.Press("wrong" + kb.Enter)
	page.Wait(`document.querySelector("#wrong")`)
	page.Screenshot("sign-in")
	page.Press(token + kb.Enter)
	page.Wait(`document.getElementById("live")?.textContent === "Live"`)
	url := page.Get(`location.href`)
	if strings.Contains(url, token) || !strings.HasSuffix(url, place+"/") {
		t.Errorf("got the URL %s", url)
	}
}

// A reload ends the streams of the old pipeline; the page goes on with the new one and shows what has
// changed.
func TestPageAfterReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, place, "requests = 100")
	page := browsertest.Open(t, browsertest.Options{})
	page.Go(s.URL + place + "/")
	page.Wait(`document.getElementById("live").textContent === "Live"`)
	do(t, client(t), http.MethodGet, s.URL+"/hello")
	page.Wait(`document.querySelectorAll(".row").length === 1`)
	page.Allow("ERR_INCOMPLETE_CHUNKED_ENCODING")
	s.load(fmt.Sprintf(siteINI, place, "requests = 200", t.Name()))
	page.Wait(`document.querySelector("del")?.textContent === "100" && document.querySelector("ins").textContent === "200"`)
	if text := page.Text(); !strings.Contains(text, "/hello") {
		t.Error("the records did not survive the reload")
	}
	do(t, client(t), http.MethodGet, s.URL+"/hello")
	page.Wait(`document.querySelectorAll(".row").length === 2`)
	page.Screenshot("reload")
}
