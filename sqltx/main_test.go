package sqltx_test

import (
	"flag"
	"testing"
)

// The tests wait for database servers more than they compute, so more of them run at a time than
// there are processors.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	flag.Parse()
	m.Run()
}
