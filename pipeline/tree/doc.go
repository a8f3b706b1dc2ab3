// Package tree reads .ini files and resolves them to a tree of apps and filters as data, without
// creating any of them. It is for tools: a program that serves a site calls package pipeline's Load.
//
//	t, err := tree.Resolve("site.ini", tree.KindApp, tree.Options{Catalog: registry})
//	if err != nil {
//		return err // one line per error: file, line, section, key, the reason and a hint
//	}
//	for s := range t.Root.LocalConf.All() {
//		fmt.Println(s.File, s.Line, s.Key, t.Shown(t.Root, s))
//	}
//
// [Parse] reads one file by the rules of Python's ConfigParser: sections, keys and raw values, each
// with its line. [Resolve] starts from a section and follows use, filter-with, filter-app, pipelines
// and other files, as PasteDeploy does. The result is a [Tree] of nodes. Each [Node] has the
// reference to its factory, its global conf (the settings that apply to all sections) and its local
// conf (those of its section), and each [Setting] the file and line where its value is written.
// [ReadSection] reads a section that is no part of a pipeline, such as [logging].
//
// A [Catalog] tells which factories exist, and which of their settings are secret. Without one a
// tree can still be resolved; its nodes are marked as not registered.
//
// Errors are of type [Errors]: all errors of the files, sorted by line. Neither errors nor warnings
// show a value that is known to be a secret.
package tree
