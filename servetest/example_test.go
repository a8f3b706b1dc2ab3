package servetest_test

import (
	"context"
	"fmt"
	"os"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/servetest"
)

// A test passes its own t; this one prints.
func Example() {
	t := &printer{}
	defer t.end()

	site := servetest.New(t, "../development.ini", myapp.Register)
	one, other := site.Browser(), site.Browser()
	one.PostForm("/incr", nil)
	other.PostForm("/incr", nil)
	got := one.PostForm("/incr", nil)
	fmt.Println(got.Status, got.Body)
	// Output: 200 2
}

// A printer is a testing.TB outside of a test.
type printer struct{ recorder }

func (p *printer) Context() context.Context { return context.Background() }

func (p *printer) TempDir() string {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
