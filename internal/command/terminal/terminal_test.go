package terminal_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"unicode"

	"github.com/pasteline/pasteline/internal/command/terminal"
)

func ExampleEscape() {
	fmt.Println(terminal.Escape("caf\u00e9 \x1b[31m\r\n\u009b2J\u202e\xff"))
	// Output: café \x1b[31m\r\n\u009b2J\u202e\xff
}

// A file and the null device, which is a character device too, are no terminals.
func TestNoTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if terminal.Is(null) || terminal.Is(new(bytes.Buffer)) || terminal.HasColors(null) {
		t.Error("taken for a terminal")
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;title\a\x9b\u0085\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range terminal.Escape(text) {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar && text == "" {
				t.Errorf("%q has %U", terminal.Escape(text), r)
			}
		}
	})
}
