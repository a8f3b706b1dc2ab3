package tree

import (
	"fmt"
	"regexp"
)

// An eggLoader resolves the entry points of one distribution: "egg:" references.
type eggLoader struct{ dist string }

func (l eggLoader) context(r *resolver, typ *objectType, name *string, global *Conf,
	at reference,
) *Node {
	if name != nil && isAbsolute(*name) {
		return r.load(typ, *name, nil, "", global, at)
	}
	entryPoint := "main"
	if name != nil {
		entryPoint = *name
	}
	ref, err := eggReference(l.dist, entryPoint)
	if err != nil {
		return r.fail(at.malformed(err))
	}
	node := newNode(typ.kind, ref, typ.protocols[0][0], global, l, at)
	node.factory = r.names.find(typ.kind, ref)
	if typ == typeApp {
		if composite := r.names.find(KindComposite, ref); composite != nil {
			if node.factory != nil {
				return r.fail(at.newError("", fmt.Errorf("%s is registered both as an app and as a "+
					"composite", ref), "write paste.app_factory or paste.composite_factory"))
			}
			node.become(KindComposite, "paste.composite_factory", composite)
		}
	}
	node.Registered = node.factory != nil
	node.guessed = node.factory == nil
	return node
}

// A callLoader resolves one function: a "call:" reference. The kind of object that the function
// makes is known only from the section that uses it.
type callLoader struct{ spec string }

func (l callLoader) context(r *resolver, typ *objectType, _ *string, global *Conf,
	at reference,
) *Node {
	ref, err := callReference(l.spec)
	if err != nil {
		return r.fail(at.malformed(err))
	}
	return newNode(typ.kind, ref, "", global, l, at)
}

func newNode(kind Kind, ref Factory, protocol string, global *Conf, l loader, at reference) *Node {
	// An empty global conf is copied, others are shared with the section that passed them on: so
	// PasteDeploy does it, and a "set" further out shows in the shared ones.
	if global.Len() == 0 {
		global = newConf()
	}
	return &Node{
		Kind: kind, Name: ref.String(), Factory: ref, Protocol: protocol, Source: at.source(),
		GlobalConf: global, LocalConf: newConf(), loader: l, trail: at.up, written: at, placed: at,
	}
}

func (n *Node) become(kind Kind, protocol string, f *FactoryInfo) {
	n.Kind, n.Protocol, n.factory, n.Registered, n.guessed = kind, protocol, f, f != nil, false
}

var absolutePattern = regexp.MustCompile(`^[a-zA-Z]+:`)

// isAbsolute reports whether a name has a scheme, and so is not looked up in the current file.
func isAbsolute(name string) bool { return absolutePattern.MatchString(name) }
