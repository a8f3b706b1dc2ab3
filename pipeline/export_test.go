package pipeline

import (
	"context"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// Create creates the object of a tree of any kind that was resolved with opts.
func Create(ctx context.Context, t *tree.Tree, opts Options) (any, error) {
	made, _, err := create(ctx, t, nil, t.Root.Kind, opts)
	return made, err
}
