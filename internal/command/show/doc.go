// Package show prints a tree of package pipeline/tree: as text, as JSON for programs, and as a
// picture in DOT or SVG.
//
//	resolved, err := tree.Resolve("site.ini", tree.KindApp, tree.Options{Catalog: registry})
//	…
//	err = show.New(resolved, show.Options{Registry: registry}).Text(os.Stdout)
//
// It needs no factories: names that are not registered are printed too, and marked.
//
// # Secrets
//
// Unless [Options] has Reveal set, secrets are printed as ***. The settings struct of a factory
// declares its secret settings. A setting that no struct declares is a secret if its key looks like
// one: secret, password, token, key and similar words. The value of a secret is also hidden
// elsewhere in the tree, where interpolation or "get" has copied it, and so are user and password
// of a URI.
//
// # Caveats
//
// The children of a composite are only known once it has been created, because it requests them one
// by one. The text and the pictures show the apps that its settings name; the JSON has no children.
//
// A View is safe for concurrent use if the tree is not changed, which package pipeline never does.
package show
