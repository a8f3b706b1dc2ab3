package serve_test

import (
	"os"
	"testing"

	"github.com/pasteline/pasteline/internal/redact/redacttest"
)

// TestMain sets the variables that files of redacttest refer to for all tests, so that those tests
// can run in parallel.
func TestMain(m *testing.M) {
	for name, value := range redacttest.Env {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
