package tree_test

import (
	"fmt"

	"github.com/pasteline/pasteline/pipeline/tree"
)

func Example() {
	const site = `[DEFAULT]
color = green
[pipeline:main]
pipeline = egg:repoze.tm2#tm app
[app:app]
use = egg:guestbook
title = %(color)s book
`
	t, err := tree.Resolve("site.ini", tree.KindApp, tree.Options{
		ReadFile: func(string) ([]byte, error) { return []byte(site), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := t.Root.App
	fmt.Println(t.Root.Kind, "of", t.Root.Filters[0].Name, "and", app.Name)
	for s := range app.LocalConf.All() {
		fmt.Printf("%s:%d: %s = %s\n", s.File, s.Line, s.Key, t.Shown(app, s))
	}
	// Output:
	// pipeline of egg:repoze.tm2#tm and app:app
	// site.ini:7: title = green book
}
