package errorpage_test

import (
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/browsertest"
)

// The page has enough contrast in light and in dark colors, and a narrow window needs no horizontal
// scrolling, also with all details open.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	s := serveINI(t, withoutTM)
	for _, o := range []browsertest.Options{{}, {Dark: true}, {Width: 390, Height: 844}} {
		t.Run(fmt.Sprintf("dark=%v width=%d", o.Dark, o.Width), func(t *testing.T) {
			t.Parallel()
			page := browsertest.Open(t, o)
			page.Allow("500 (Internal Server Error)")
			page.Go(s.url + "/session")
			page.Wait(`document.querySelector(".remedy")`)
			page.Screenshot("closed")
			page.Do(`document.querySelectorAll("details").forEach((d) => d.open = true)`)
			page.CheckWidth()
			page.CheckContrast()
			page.Screenshot("open")
		})
	}
}
