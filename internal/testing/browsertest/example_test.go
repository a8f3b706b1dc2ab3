package browsertest_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/testing/browsertest"
)

func Example() {
	missing := browsertest.Chromium
	missing.Program, missing.Folders = "no-chromium", nil
	_, err := missing.Look()
	fmt.Println(err)
	// Output:
	// Chromium is not installed (no no-chromium in PATH); on Debian: apt-get install chromium
}
