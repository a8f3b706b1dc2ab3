package ptytest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/ptytest"
)

func Example() {
	test := func(t *testing.T) { // a test
		t.Helper()
		screen, terminal := ptytest.Open(t)
		fmt.Fprintln(terminal, "hello")
		fmt.Print(strings.ReplaceAll(screen.Wait(t, "\n"), "\r", ""))
	}
	fmt.Println(test != nil)
	// Output: true
}

func TestOpen(t *testing.T) {
	t.Parallel()
	screen, terminal := ptytest.Open(t)
	fmt.Fprintln(terminal, "hello")
	if got := screen.Wait(t, "\n"); got != "hello\r\n" {
		t.Errorf("got %q", got)
	}
}
