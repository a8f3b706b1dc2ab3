// Package show draws a resolved tree of package pipeline: as text for people, as JSON for programs, and as a picture in DOT
// or SVG.
//
//	tree, err := tree.Resolve("site.ini", tree.KindApp, pipeline.Options{Registry: registry})
//	…
//	err = show.New(tree, show.Options{Registry: registry}).Text(os.Stdout)
//
// It needs no factory: names that are not registered are drawn too, and marked.
//
// # Secrets
//
// Unless [Options] says Reveal, secrets are drawn as ***. The settings struct of a factory says which of its settings are
// secret. Of settings that no struct knows those are taken for secrets whose key looks like it: secret, password, token, key
// and their like. Wherever else in the tree the value of a secret turns up, by interpolation or "get", it is hidden there
// too, and so is what a URI has as user and password.
//
// # Caveats
//
// The children of a composite are known for certain only when it has been created: it asks for them one by one. In the
// text and the pictures the apps that its settings name stand for them; the JSON has none.
//
// A View is safe for concurrent use if the tree is not changed, which nothing in package pipeline does.
package show
