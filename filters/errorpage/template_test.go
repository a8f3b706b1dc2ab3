package errorpage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The template of the setting is the page for browsers in production: with the fields of the failure,
// escaped, and without its cause. Other clients get JSON or text as without it.
func TestTemplate(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "error.html")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("<!DOCTYPE html><title>{{.Title}}</title><p class=own>{{.Status}} {{.Detail}} [{{.RequestID}}]</p>")
	production := strings.Replace(whole, "debug = true", "debug = false", 1)
	ini := strings.Replace(production, "pipeline =\n", "pipeline =\n    errors\n", 1) +
		"\n[filter:errors]\nuse = egg:pasteline#errorpage\ntemplate = " + name + "\n"
	s := serveINI(t, ini)

	got := s.get("/error", asHTML)
	id := got.header.Get("X-Request-Id")
	want := "<!DOCTYPE html><title>Internal Server Error</title><p class=own>500  [" + id + "]</p>"
	if got.status != 500 || id == "" || got.body != want ||
		got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("got %d %s, want the template\n%s", got.status, got.header, got.body)
	}
	if got := s.get("/transient", asHTML); got.status != 503 ||
		!strings.Contains(got.body, "<title>Service Unavailable</title>") || !strings.Contains(got.body, "class=own") {
		t.Errorf("a conflict: got %d\n%s", got.status, got.body)
	}
	if got := s.get("/panic", asHTML); got.status != 500 || !strings.Contains(got.body, "class=own") ||
		strings.Contains(got.body, "price of 7") {
		t.Errorf("a panic: got %d\n%s", got.status, got.body)
	}
	for _, accept := range []string{asJSON, asText} {
		if got := s.get("/error", accept); strings.Contains(got.body, "class=own") || got.status != 500 {
			t.Errorf("%s: got %d\n%s", accept, got.status, got.body)
		}
	}

	for text, want := range map[string]string{
		"{{.Title":        "it can't be read",
		"{{.NoSuchName}}": "it can't be filled in",
	} {
		write(text)
		if _, err := load(t, ini, registerShop); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "template") {
			t.Errorf("%s: got the error %v, want %q", text, err, want)
		}
	}
}
