package show

import (
	"strings"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// A reference is a word in a setting of a composite that names an app.
type reference struct {
	key  string // of the setting
	name string
	node *tree.Node
}

// references returns the apps that the settings of a composite name, in the order of the settings.
func references(resolved *tree.Tree, n *tree.Node) []reference {
	if n.Kind != tree.KindComposite {
		return nil
	}
	var found []reference
	for s := range n.LocalConf.All() {
		for word := range strings.FieldsSeq(s.Value) {
			if app := resolved.Named(n, word); app != nil {
				found = append(found, reference{s.Key, word, app})
			}
		}
	}
	return found
}
